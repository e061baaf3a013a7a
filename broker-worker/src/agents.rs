//! Which agent answers a session, and how one is reached. Chooses nothing about
//! the log.

mod stop;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::http::uri::Scheme;
use process::Lifecycle;
use proto::Session;
use proto::knowledge_agent_client::KnowledgeAgentClient;
use proto::knowledge_agent_server::KnowledgeAgentServer;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::secure::Way;
use crate::{Error, Times};

/// For how long an agent that failed is asked only when no other answers: at
/// first, and at most when it fails again and again.
const SHUNNED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// Window of one stream and of the connection that all streams share, in bytes.
/// The streams are what bounds the memory: the connection is given so much that
/// they never wait for each other, and because its peer is cut off when small
/// frames that nobody has read yet cost more than half of it: some 200 bytes for
/// each token, although it takes a third of that from a window.
const WINDOWS: (u32, u32) = (64 << 10, 1 << 30);
/// The largest event that is read at all, in bytes: past what the log takes, so
/// that most of what is too large is refused by name.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// How long nothing may come from an agent before it is pinged, and how long
/// the answer may take: together, how soon a dead link is noticed.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(8));

/// An agent to ask.
#[derive(Debug, Clone)]
pub struct Agent {
    name: String,
    pub(crate) client: KnowledgeAgentClient<Channel>,
    channel: Channel,
    shunned: Arc<Mutex<Shunned>>,
    /// Room to tell it again to stop a turn.
    insisting: Arc<Semaphore>,
}

/// Until when an agent is shunned, and for how long it was the last time.
#[derive(Debug, Default)]
struct Shunned {
    since: Option<Instant>,
    until: Option<Instant>,
    lasts: Duration,
}

impl Agent {
    /// The agent at `http://host:port`. Connects when it is first asked.
    pub fn url(url: &str) -> Result<Self, Error> {
        let uri = parsed(url, &Scheme::HTTP)?;
        Ok(Self::new(url.to_owned(), endpoint(uri).connect_lazy()))
    }

    /// The agent at `https://host:port`, if its certificate has this name, or
    /// else that in the URL. `tls` is opened for [`PROTOCOLS`](crate::PROTOCOLS).
    pub fn secured(url: &str, name: Option<&str>, tls: tls::Client) -> Result<Self, Error> {
        let uri = parsed(url, &Scheme::HTTPS)?;
        let way = Way::to(&uri, name, tls)?;
        let connector = tower::service_fn(move |_| way.clone().connect());
        // The transport would shake hands itself; what it is told is only for
        // its requests.
        let endpoint = endpoint(Uri::from_static("http://agent.internal")).origin(uri);
        Ok(Self::new(url.to_owned(), endpoint.connect_with_connector_lazy(connector)))
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
        let client = KnowledgeAgentClient::new(channel.clone());
        let client = client.max_decoding_message_size(MAX_EVENT_BYTES);
        let insisting = Arc::new(Semaphore::new(stop::AT_ONCE));
        Self { name, client, channel, shunned: Arc::default(), insisting }
    }

    /// Whether it says that it takes turns, by the usual health check.
    ///
    /// Errors: it cannot be reached, or knows no health check.
    pub async fn serves(&self) -> Result<bool, tonic::Status> {
        let service = <KnowledgeAgentServer<()> as NamedService>::NAME.to_owned();
        let asked = HealthCheckRequest { service };
        let answer = HealthClient::new(self.channel.clone()).check(asked).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }

    /// It failed: others are preferred for a while, which doubles when it fails
    /// anew after that.
    pub(crate) fn shun(&self) {
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Streams that break together are one failure.
        if shunned.until.is_none_or(|until| until <= now) {
            shunned.lasts = (shunned.lasts * 2).clamp(SHUNNED.0, SHUNNED.1);
            shunned.until = Some(now + shunned.lasts);
            shunned.since = Some(now);
        }
    }

    /// It speaks on a stream that was opened then: failures before that are
    /// forgiven. An agent that stops speaks on in its old streams, and takes no
    /// new ones.
    pub(crate) fn trust(&self, opened: Instant) {
        let mut shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        if shunned.since.is_some_and(|since| since < opened) {
            *shunned = Shunned::default();
        }
    }

    fn is_shunned(&self) -> bool {
        let shunned = self.shunned.lock().unwrap_or_else(PoisonError::into_inner);
        shunned.until.is_some_and(|until| Instant::now() < until)
    }
}

fn parsed(url: &str, scheme: &Scheme) -> Result<Uri, Error> {
    match url.parse::<Uri>() {
        Ok(uri) if uri.scheme() == Some(scheme) && uri.host().is_some() => Ok(uri),
        Ok(_) | Err(_) => Err(Error::BadUrl { url: url.to_owned() }),
    }
}

fn endpoint(uri: Uri) -> Endpoint {
    Endpoint::from(uri)
        .connect_timeout(Duration::from_secs(3))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
}

/// All agents a worker may ask.
#[derive(Debug)]
pub(crate) struct Agents {
    all: Vec<Agent>,
    pub(crate) times: Times,
    life: Lifecycle,
}

impl Agents {
    pub(crate) fn new(all: Vec<Agent>, times: Times, life: Lifecycle) -> Self {
        Self { all, times, life }
    }

    /// Rendezvous hashing: a session keeps its agent while that one answers,
    /// and only the sessions of a lost agent move.
    pub(crate) fn choose(&self, session: &Session) -> Option<&Agent> {
        let key = format!("{}\0{}", session.user, session.id);
        self.all.iter().max_by_key(|agent| {
            let score = xxh3_64_with_seed(key.as_bytes(), xxh3_64(agent.name.as_bytes()));
            (!agent.is_shunned(), score)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(names: &[&str]) -> Agents {
        let all = names.iter().map(|it| Agent::url(&format!("http://{it}")).unwrap()).collect();
        Agents::new(all, Times::default(), Lifecycle::new())
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

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_fails_again_and_again_is_passed_over_for_longer_until_it_speaks() {
        let agents = agents(&["a:1", "b:1"]);
        let first = agents.choose(&session(1)).unwrap();
        let shunned_for = async || {
            let since = Instant::now();
            while agents.choose(&session(1)).unwrap().name != first.name {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            since.elapsed().as_secs()
        };
        for expected in [2, 4, 8, 16, 30, 30] {
            first.shun();
            first.shun();
            assert_eq!(shunned_for().await, expected);
        }
        // What it says on a stream from before it failed changes nothing.
        let before = Instant::now();
        first.shun();
        first.trust(before);
        assert_eq!(shunned_for().await, 30);
        first.shun();
        tokio::time::advance(Duration::from_millis(1)).await;
        first.trust(Instant::now());
        first.shun();
        assert_eq!(shunned_for().await, 2);
    }

    #[tokio::test]
    async fn the_only_agent_is_asked_although_it_failed() {
        let agents = agents(&["a:1"]);
        agents.choose(&session(1)).unwrap().shun();
        assert!(agents.choose(&session(1)).is_some());
    }

    #[tokio::test]
    async fn an_address_that_is_no_url_is_refused() {
        for bad in ["", "127.0.0.1:50051", "http://", "a b", "https://a"] {
            assert!(matches!(Agent::url(bad), Err(Error::BadUrl { .. })), "{bad}");
        }
    }
}
