//! The agent over gRPC. Error statuses are for calls that could not start; what
//! happens later is told as a terminal event, and the status is OK.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use process::Lifecycle;
use process::trace::Lasting;
use proto::knowledge_agent_server::{KnowledgeAgent, KnowledgeAgentServer};
use proto::{AskEvent, AskRequest, CancelRequest, CancelResponse};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use tracing::{Instrument as _, Span};

use crate::engine::Engine;
use crate::reader::{Lost, Reader};
use crate::registry::{Refused, Registry};
use crate::request::{self, Violations};
use crate::{metrics, trace, turn};

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

/// A turn that says nothing, as while a tool takes its time, says that it goes
/// on.
const ALIVE_EVERY: Duration = Duration::from_secs(30);

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

    /// A reader of the turn that is asked for, and its name; it is begun when it
    /// is not known.
    fn attach(&self, asked: AskRequest) -> Result<(Reader, String), Status> {
        let asked = request::ask(asked, &self.engine.models);
        let (question, place) = asked.map_err(|wrong| invalid(&wrong))?;
        let name = question.key.turn.to_string();
        process::trace::turn(&name);
        let draining = self.life.is_draining();
        let (reader, seat) =
            self.registry.attach(&question.key, place, draining).map_err(refused)?;
        if let Some(seat) = seat {
            let span = trace::turn(question.key.turn);
            let engine = Arc::clone(&self.engine);
            let turn = turn::run(engine, question, seat, self.life.clone());
            self.life.spawn_as("answers", turn.instrument(span));
        } else {
            metrics::REATTACHES.add(1, []);
        }
        Ok((reader, name))
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<AskEvent, Status>> + Send>>;

#[tonic::async_trait]
impl KnowledgeAgent for Service {
    type AskStream = Events;

    async fn ask(&self, request: Request<AskRequest>) -> Result<Response<Events>, Status> {
        let span = trace::serve("Ask", request.metadata());
        let attached = span.in_scope(|| self.attach(request.into_inner()));
        if let Err(status) = &attached {
            trace::served(&span, Some(status));
        }
        let (reader, turn) = attached?;
        let mut response = Response::new(events(reader, span));
        if let Ok(turn) = MetadataValue::try_from(turn) {
            response.metadata_mut().insert(TURN_ID, turn);
        }
        Ok(response)
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        let span = trace::serve("Cancel", request.metadata());
        let cancelled = span.in_scope(|| {
            let key = request::cancel(request.get_ref()).map_err(|wrong| invalid(&wrong))?;
            process::trace::turn(&key.turn.to_string());
            Ok(self.registry.cancel(&key))
        });
        trace::served(&span, cancelled.as_ref().err());
        Ok(Response::new(CancelResponse { found: cancelled? }))
    }
}

/// What a reader reads, until the turn has ended; the call's hop ends with it.
fn events(reader: Reader, span: Span) -> Events {
    let begun = (Some(reader), Lasting::new(span));
    Box::pin(futures::stream::unfold(begun, |(reader, hop)| async move {
        let mut reader = reader?;
        let Ok(event) = timeout(ALIVE_EVERY, reader.next()).await else {
            return Some((Ok(AskEvent::alive()), (Some(reader), hop)));
        };
        let Some(event) = event else {
            trace::served(hop.span(), None);
            return None;
        };
        let lost = |Lost| Status::unavailable("the turn stopped here; ask again");
        let event = event.map_err(lost);
        let reader = event.is_ok().then_some(reader);
        if let Err(status) = &event {
            trace::served(hop.span(), Some(status));
        }
        Some((event, (reader, hop)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Key, Limits, Place};
    use futures::StreamExt as _;
    use proto::{Session, TurnId};

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_takes_its_time_says_that_it_goes_on() {
        let grace = Duration::from_secs(30);
        let registry = Registry::new(Limits { running: 1, ended: 1, ended_bytes: 1024, grace });
        let session = Session::parse("ann", "s").unwrap();
        let key = Key { session, turn: TurnId::new() };
        let nothing = Place { run: 0, index: 0 };
        let (reader, seat) = registry.attach(&key, nothing, false).unwrap();
        let mut events = events(reader, Span::none());
        for _ in 0..3 {
            assert!(events.next().await.unwrap().unwrap().is_alive());
        }
        let seat = seat.unwrap();
        seat.writer.say(proto::ask_event::Kind::Text("x".to_owned())).unwrap();
        let said = events.next().await.unwrap().unwrap();
        assert_eq!((said.index, said.is_alive()), (1, false), "no index is used up");
    }
}
