//! Which agent answers a session, and its stream as one, whatever breaks on
//! the way. Chooses nothing about the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryFutureExt as _};
use proto::knowledge_agent_client::KnowledgeAgentClient;
use proto::{AskEvent, AskRequest, CancelRequest, Event, Failed, Session, event};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Error;

/// How long an agent that failed is asked only when no other answers.
const SHUNNED: Duration = Duration::from_secs(2);
/// How long an agent may take to confirm a cancel.
const CANCEL: Duration = Duration::from_secs(1);
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Window of one stream and of the connection that all streams share, in bytes.
const WINDOWS: (u32, u32) = (1 << 20, 16 << 20);

/// An agent to ask.
#[derive(Debug, Clone)]
pub struct Agent {
    name: String,
    client: KnowledgeAgentClient<Channel>,
    shunned_until: Arc<Mutex<Option<Instant>>>,
}

impl Agent {
    /// The agent at `http://host:port`. Connects when it is first asked.
    pub fn url(url: &str) -> Result<Self, Error> {
        match url.parse::<Uri>() {
            Ok(uri) if uri.scheme().is_some() && uri.host().is_some() => {
                Ok(Self::new(url.to_owned(), endpoint(uri).connect_lazy()))
            }
            Ok(_) | Err(_) => Err(Error::BadUrl { url: url.to_owned() }),
        }
    }

    /// An agent behind a connection of the caller's own making, such as a pipe
    /// within the process.
    pub fn connector<C>(name: &str, connector: C) -> Self
    where
        C: tower::Service<Uri> + Send + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin,
        C::Future: Send,
        C::Error: std::error::Error + Send + Sync + 'static,
    {
        let uri = Uri::from_static("http://agent.internal");
        Self::new(name.to_owned(), endpoint(uri).connect_with_connector_lazy(connector))
    }

    fn new(name: String, channel: Channel) -> Self {
        let client = KnowledgeAgentClient::new(channel);
        Self { name, client, shunned_until: Arc::default() }
    }

    fn shun(&self) {
        *self.shunned_until.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + SHUNNED);
    }

    fn is_shunned(&self) -> bool {
        self.shunned_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| Instant::now() < until)
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(5))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
}

/// All agents a worker may ask.
#[derive(Debug)]
pub(crate) struct Agents {
    all: Vec<Agent>,
    patience: Duration,
}

impl Agents {
    pub(crate) fn new(all: Vec<Agent>, patience: Duration) -> Self {
        Self { all, patience }
    }

    /// The turn's events from `request.resume_after` on, up to its terminal
    /// event, with which the stream ends. A broken stream is taken up again
    /// where it broke; when no agent answers for long, or one refuses, the
    /// terminal event is a `failed` made here.
    pub(crate) fn ask(
        self: &Arc<Self>,
        session: &Session,
        request: AskRequest,
    ) -> BoxStream<'static, Event> {
        // Boxed: each event moves the state twice.
        let call = Box::new(Call {
            agents: Arc::clone(self),
            session: session.clone(),
            request,
            stream: None,
            failing_since: None,
            pause: PAUSES.0,
            over: false,
        });
        stream::unfold(call, |mut call| async move {
            if call.over {
                return None;
            }
            Some((call.next().await, call))
        })
        .boxed()
    }

    /// Tells every agent to stop the turn, and waits a moment for their word.
    pub(crate) async fn cancel(&self, session: &Session, turn: &str) {
        let request = CancelRequest {
            user_id: session.user.to_string(),
            session_id: session.id.to_string(),
            turn_id: turn.to_owned(),
        };
        let calls = self.all.iter().map(|agent| {
            let mut client = agent.client.clone();
            let request = request.clone();
            async move { client.cancel(request).map_err(drop).await.is_ok() }
        });
        if timeout(CANCEL, join_all(calls)).await.is_err() {
            tracing::warn!(?session, turn.id = turn, "an agent did not confirm a cancel");
        }
    }

    /// Rendezvous hashing: a session keeps its agent while that one answers,
    /// and only the sessions of a lost agent move.
    fn choose(&self, session: &Session) -> Option<&Agent> {
        let key = format!("{}\0{}", session.user, session.id);
        self.all.iter().max_by_key(|agent| {
            let score = xxh3_64_with_seed(key.as_bytes(), xxh3_64(agent.name.as_bytes()));
            (!agent.is_shunned(), score)
        })
    }
}

/// One turn's stream over as many calls as it takes.
struct Call {
    agents: Arc<Agents>,
    session: Session,
    request: AskRequest,
    stream: Option<(Streaming<AskEvent>, Agent)>,
    failing_since: Option<Instant>,
    pause: Duration,
    over: bool,
}

impl Call {
    async fn next(&mut self) -> Event {
        loop {
            match self.said().await {
                Ok(Some(event)) if event.index > self.request.resume_after => {
                    self.failing_since = None;
                    self.pause = PAUSES.0;
                    self.request.resume_after = event.index;
                    let event = Event::from(event);
                    self.over = event.kind.as_ref().is_some_and(|it| it.ending().is_some());
                    return event;
                }
                // Said before, on the call that broke.
                Ok(Some(_)) => {}
                Ok(None) => {
                    let status = Status::unavailable("the stream ended without an end of the turn");
                    if let Some(failed) = self.broken(&status).await {
                        return failed;
                    }
                }
                Err(status) => {
                    if let Some(failed) = self.broken(&status).await {
                        return failed;
                    }
                }
            }
        }
    }

    async fn said(&mut self) -> Result<Option<AskEvent>, Status> {
        if self.stream.is_none() {
            let Some(agent) = self.agents.choose(&self.session).cloned() else {
                return Err(Status::internal("no agent"));
            };
            let mut client = agent.client.clone();
            let stream = match client.ask(self.request.clone()).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    // A request that no agent can serve is not this one's fault.
                    if !is_final(status.code()) {
                        agent.shun();
                    }
                    return Err(status);
                }
            };
            self.stream = Some((stream, agent));
        }
        match &mut self.stream {
            Some((stream, _)) => stream.message().await,
            None => Ok(None),
        }
    }

    /// Judges a broken call: `None` to try again, after a pause.
    async fn broken(&mut self, status: &Status) -> Option<Event> {
        if let Some((_, agent)) = self.stream.take()
            && !is_final(status.code())
        {
            agent.shun();
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if is_final(status.code()) || since.elapsed() >= self.agents.patience {
            self.over = true;
            return Some(failed(status));
        }
        tracing::debug!(session = ?self.session, %status, "the agent's stream broke; asking again");
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        None
    }
}

/// Whether asking again cannot help.
fn is_final(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => true,
        // Internal is what the transport says of a connection that was closed
        // in good order.
        Code::Ok
        | Code::Internal
        | Code::DataLoss
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unavailable => false,
    }
}

fn failed(status: &Status) -> Event {
    let (code, retryable) = match status.code() {
        Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition => {
            ("invalid_request", false)
        }
        Code::Unauthenticated | Code::PermissionDenied => ("agent_refused", false),
        Code::ResourceExhausted => ("agent_busy", true),
        Code::OutOfRange | Code::Internal | Code::DataLoss | Code::Unimplemented => {
            ("agent_broken", true)
        }
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Unavailable => ("agent_unavailable", true),
    };
    // What the agent says of a bad request is for the user; the rest is not.
    let message = match code {
        "invalid_request" => status.message().to_owned(),
        "agent_busy" => "the agent has no room for another turn".to_owned(),
        "agent_refused" => "the agent refused this worker".to_owned(),
        "agent_broken" => "the agent broke off the turn".to_owned(),
        _ => "the agent does not answer".to_owned(),
    };
    tracing::warn!(failed.code = code, %status, "a turn fails because of its agent");
    event::Kind::Failed(Failed { code: code.to_owned(), message, retryable }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(names: &[&str]) -> Agents {
        let all = names.iter().map(|it| Agent::url(&format!("http://{it}")).unwrap()).collect();
        Agents::new(all, Duration::ZERO)
    }

    fn session(id: usize) -> Session {
        Session::parse("u", &format!("s{id}")).unwrap()
    }

    #[tokio::test]
    async fn only_the_sessions_of_a_lost_agent_move() {
        let (three, two) = (agents(&["a:1", "b:1", "c:1"]), agents(&["a:1", "b:1"]));
        let mut used = std::collections::BTreeSet::new();
        for id in 0..100 {
            let before = three.choose(&session(id)).unwrap().name.clone();
            let after = two.choose(&session(id)).unwrap().name.clone();
            assert!(before == after || before == "http://c:1");
            used.insert(before);
        }
        assert_eq!(used.len(), 3);
    }

    #[tokio::test]
    async fn an_agent_that_failed_is_passed_over_for_a_while() {
        let agents = agents(&["a:1", "b:1"]);
        let first = agents.choose(&session(1)).unwrap();
        first.shun();
        assert_ne!(agents.choose(&session(1)).unwrap().name, first.name);
    }

    #[tokio::test]
    async fn an_address_that_is_no_url_is_refused() {
        for bad in ["", "127.0.0.1:50051", "http://", "a b"] {
            assert!(matches!(Agent::url(bad), Err(Error::BadUrl { .. })), "{bad}");
        }
    }
}
