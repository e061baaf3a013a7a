//! What became of each request: one line in the log and its metrics, when the
//! last byte of its answer is on its way, or when that will never be.
//!
//! Tells the route's template, never a path or a query: ids, names and tickets
//! are there. Tells no header but the name of the client's program, cut short.
//! A request's name is the client's `X-Request-Id`, if it is a plain token, and
//! otherwise one that is made here; the answer bears it.

mod body;
mod line;
mod name;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use process::Lifecycle;
use process::metrics::Held;
use proto::TurnId;
use tokio::time::Instant;

use crate::metrics;
use crate::peer::Client;
use body::Watched;
use name::Name;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The route of what has none.
const UNMATCHED: &str = "unmatched";
/// What is told of the name of a client's program, in characters.
const AGENT: usize = 128;

tokio::task_local! {
    /// Of the request whose handler runs.
    static SEEN: Arc<Seen>;
}

/// What is known of a request while it is handled.
#[derive(Debug)]
pub(crate) struct Seen {
    name: Name,
    began: Instant,
    method: &'static str,
    route: String,
    version: Version,
    peer: Option<SocketAddr>,
    /// For whom the peer speaks, where it is a trusted proxy.
    client: Option<IpAddr>,
    agent: Option<String>,
    /// The turn that it made.
    turn: OnceLock<TurnId>,
    /// Its work goes on in a task of its own.
    carried: OnceLock<()>,
}

/// Handles a request, and sees to it that its end is told, however it ends.
pub(crate) async fn observe(
    State(life): State<Lifecycle>,
    request: Request,
    next: Next,
) -> Response {
    let seen = Arc::new(Seen::of(&request));
    let bare = request.method() == Method::HEAD;
    let mut record = Record::new(Arc::clone(&seen), life);
    let mut response = SEEN.scope(Arc::clone(&seen), next.run(request)).await;
    record.status = Some(response.status());
    response.headers_mut().insert(REQUEST_ID, seen.name.to_header());
    response.map(|body| Body::new(Watched::new(body, bare, record)))
}

/// The name of the request whose handler runs here.
pub(crate) fn request_id() -> Option<String> {
    SEEN.try_with(|it| it.name.as_str().to_owned()).ok()
}

/// The request whose handler runs here has made this turn.
pub(crate) fn made(turn: TurnId) {
    // A request makes one turn.
    let _told = SEEN.try_with(|it| it.turn.set(turn));
}

/// Work that goes on after the answer, as behind an upgrade: what it streams is
/// counted as this request's. Its first events do not answer the request.
pub(crate) fn carried<W: Future>(work: W) -> impl Future<Output = W::Output> {
    let seen = SEEN.try_with(Arc::clone).ok();
    async move {
        let Some(seen) = seen else { return work.await };
        seen.carried.get_or_init(|| ());
        SEEN.scope(seen, work).await
    }
}

impl Seen {
    fn of(request: &Request) -> Self {
        let extensions = request.extensions();
        let route = extensions.get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str);
        let headers = request.headers();
        Self {
            name: Name::of(headers.get_all(REQUEST_ID).iter()),
            began: Instant::now(),
            method: method(request.method()),
            route: route.to_owned(),
            version: request.version(),
            peer: extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0),
            client: extensions.get::<Client>().map(|it| it.0),
            agent: headers.get(header::USER_AGENT).map(agent),
            turn: OnceLock::new(),
            carried: OnceLock::new(),
        }
    }
}

/// A method by its name; those that are no usual ones have one together.
fn method(method: &Method) -> &'static str {
    let usual = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    usual.into_iter().find(|it| *it == method.as_str()).unwrap_or("other")
}

/// The beginning of what a client calls itself.
fn agent(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(AGENT).collect()
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Its answer was given whole.
    Complete,
    /// The edge broke its answer off.
    Cut,
    /// Its client went away first.
    Left,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Left => "left",
        }
    }
}

/// What is told of a request when this is dropped.
#[derive(Debug)]
struct Record {
    seen: Arc<Seen>,
    life: Lifecycle,
    /// None until an answer begins.
    status: Option<StatusCode>,
    /// When the first byte of the body was there.
    first: Option<Duration>,
    bytes: u64,
    /// None while it is under way; whoever drops it then has left.
    ended: Option<Ended>,
    _open: Held,
}

impl Record {
    fn new(seen: Arc<Seen>, life: Lifecycle) -> Self {
        let (status, first, ended) = (None, None, None);
        Self { seen, life, status, first, bytes: 0, ended, _open: metrics::REQUESTS_OPEN.hold([]) }
    }

    fn ended(&self) -> Ended {
        // Nobody leaves a connection that a drain has closed.
        let dropped = if self.life.is_draining() { Ended::Cut } else { Ended::Left };
        self.ended.unwrap_or(dropped)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (ended, took) = (self.ended(), self.seen.began.elapsed());
        let Seen { method, route, .. } = &*self.seen;
        let status = self.status.map_or(499, |it| it.as_u16());
        line::write(self, (ended, took));
        metrics::REQUESTS.add(1, [method, route, &status.to_string(), ended.name()]);
        metrics::DURATION.time(took, [method, route]);
        if let Some(first) = self.first {
            metrics::FIRST_BYTE.time(first, [route]);
        }
    }
}

/// A stream of events, as far as it is to be seen; for as long as it lasts.
#[derive(Debug)]
pub(crate) struct Streaming {
    seen: Option<Arc<Seen>>,
    told: bool,
    _open: Held,
}

impl Streaming {
    /// The one that the handler which runs here opens.
    pub(crate) fn begin() -> Self {
        let seen = SEEN.try_with(Arc::clone).ok();
        let route = seen.as_ref().map_or(UNMATCHED, |it| it.route.as_str());
        Self { _open: metrics::STREAMS.hold([route]), told: false, seen }
    }

    /// So many events were told.
    pub(crate) fn told(&mut self, events: usize) {
        if events == 0 {
            return;
        }
        let route = self.seen.as_ref().map_or(UNMATCHED, |it| it.route.as_str());
        metrics::EVENTS.add(events as u64, [route]);
        let first = !std::mem::replace(&mut self.told, true);
        let answers = |it: &&Arc<Seen>| first && it.carried.get().is_none();
        if let Some(seen) = self.seen.as_ref().filter(answers) {
            metrics::FIRST_EVENT.time(seen.began.elapsed(), [route]);
        }
    }
}

#[cfg(test)]
mod tests;
