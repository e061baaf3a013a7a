//! The agent over gRPC. Error statuses are for calls that could not start; what
//! happens later is told as a terminal event, and the status is OK.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use process::Lifecycle;
use proto::knowledge_agent_server::{KnowledgeAgent, KnowledgeAgentServer};
use proto::{AskEvent, AskRequest, CancelRequest, CancelResponse};
use tokio::net::{TcpListener, TcpStream};
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::engine::Engine;
use crate::reader::{Lost, Reader};
use crate::registry::{Refused, Registry};
use crate::request::{self, Violations};
use crate::turn;

/// The largest request, in bytes: past what is allowed, so that most of what is
/// too large is refused by name.
const MAX_REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// Turns and other calls on one connection.
const MAX_STREAMS: u32 = 16_384;

/// Many small frames on one connection need a wide window: the budget for them
/// is half of it.
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;
const STREAM_WINDOW: u32 = 1024 * 1024;

/// A caller that does not answer a ping is gone, and its readers with it.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_WAIT: Duration = Duration::from_secs(10);

/// The metadata that names the turn, also when its id was made here.
const TURN_ID: &str = "weir-turn-id";

/// How long accepting rests after it failed, as when no file is left to open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections as [`Agent::serve`](crate::Agent::serve) should get them: small
/// frames are sent at once, and an error of accepting is waited out.
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> + Send {
    futures::stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let ready = stream.set_nodelay(true).map(|()| stream);
                    return Some((ready, listener));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// A tonic server with the agent's limits.
pub(crate) fn transport() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_WAIT))
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
}

/// The service; clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) engine: Arc<Engine>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) life: Lifecycle,
}

impl Service {
    /// The service as tonic serves it.
    pub(crate) fn server(self) -> KnowledgeAgentServer<Self> {
        KnowledgeAgentServer::new(self).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<AskEvent, Status>> + Send>>;

#[tonic::async_trait]
impl KnowledgeAgent for Service {
    type AskStream = Events;

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<Events>, Status> {
        let asked = request::ask(request.into_inner(), &self.engine.models);
        let (question, place) = asked.map_err(|wrong| invalid(&wrong))?;
        let turn = question.key.turn.to_string();
        let draining = self.life.is_draining();
        let (reader, seat) =
            self.registry.attach(&question.key, place, draining).map_err(refused)?;
        if let Some(seat) = seat {
            let engine = Arc::clone(&self.engine);
            let turn = turn::run(engine, question, seat, self.life.clone());
            self.life.spawn_as("answers", turn);
        }
        let mut response = Response::new(events(reader));
        if let Ok(turn) = MetadataValue::try_from(turn) {
            response.metadata_mut().insert(TURN_ID, turn);
        }
        Ok(response)
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let key = request::cancel(request.get_ref()).map_err(|wrong| invalid(&wrong))?;
        let found = self.registry.cancel(&key);
        Ok(Response::new(CancelResponse { found }))
    }
}

fn events(reader: Reader) -> Events {
    Box::pin(futures::stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        let event = reader.next().await?;
        let lost = |Lost| Status::unavailable("the turn stopped here; ask again");
        let reader = event.is_ok().then_some(reader);
        Some((event.map_err(lost), reader))
    }))
}

fn invalid(wrong: &Violations) -> Status {
    let fields: Vec<_> =
        wrong.0.iter().map(|it| FieldViolation::new(&it.field, &it.description)).collect();
    Status::with_error_details(
        Code::InvalidArgument,
        wrong.to_string(),
        ErrorDetails::with_bad_request(fields),
    )
}

fn refused(why: Refused) -> Status {
    match why {
        Refused::Full => Status::with_error_details(
            Code::ResourceExhausted,
            "as many turns run here as may",
            ErrorDetails::with_retry_info(Some(Duration::from_secs(1))),
        ),
        Refused::Draining => Status::unavailable("the agent is stopping"),
    }
}
