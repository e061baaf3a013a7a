//! A session's events, over as many connections as it takes. Nothing is told
//! twice and nothing left out: every connection goes on behind the last event.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use serde_json::Value;
use sse_stream::{Sse, SseStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Client, Error, PATIENCE, Result};

/// The pause before a cut stream is taken up again; it grows while nobody
/// answers.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a connection may be silent: three of a gateway's signs of life.
const SILENCE: Duration = Duration::from_secs(45);

/// One event as the gateway sent it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Its kind.
    pub(crate) kind: String,
    /// What resumes behind it; none for a frame that cannot be resumed behind.
    pub(crate) id: Option<String>,
    /// Its JSON, one line.
    pub(crate) data: String,
}

impl Frame {
    fn of(sse: Sse) -> Option<Self> {
        Some(Self { kind: sse.event?, id: sse.id.filter(|it| !it.is_empty()), data: sse.data? })
    }

    /// The JSON, read.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// Whether the turn ends with it, or is gone with its session.
    pub(crate) fn is_end(&self) -> bool {
        let kind = self.kind.as_str();
        matches!(kind, "completed" | "interrupted" | "failed" | "cancelled" | "deleted")
    }
}

type Frames = BoxStream<'static, anyhow::Result<Frame>>;

/// What one hears of a session.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// An event.
    Event(Frame),
    /// The connection is gone, and why; it is being taken up again.
    Cut(String),
    /// The connection is there again.
    Back,
}

/// Where one begins to watch.
#[derive(Debug, Clone, Default)]
pub(crate) struct From {
    /// As the query of the same name: `start`, `now` or a position.
    pub(crate) after: Option<String>,
    /// As the `Last-Event-ID` header; counts more.
    pub(crate) last: Option<String>,
}

/// A session that is watched.
pub(crate) struct Watch {
    client: Client,
    session: String,
    from: From,
    /// Where to go on when the connection is cut before anything came.
    since: Option<From>,
    frames: Option<Frames>,
    /// Whether a gateway has been there: then one is waited for.
    met: bool,
    /// Since when there is no connection.
    cut: Option<Instant>,
    told: bool,
    pause: Duration,
    /// How long to go without one.
    patience: Option<Duration>,
}

impl Client {
    /// Watches a session for as long as one likes. Where nobody answers at the
    /// beginning, it fails at once.
    pub(crate) fn watch(&self, session: &str, after: Option<&str>) -> Watch {
        let from = From { after: after.map(str::to_owned), last: None };
        Watch::new(self, session, from)
    }

    async fn frames(&self, session: &str, from: &From) -> Result<Frames> {
        let mut url = self.url(&["sessions", session, "events"])?;
        if let Some(user) = &self.user {
            url.query_pairs_mut().append_pair("userId", user);
        }
        if let Some(after) = &from.after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let mut request = self.http.get(url).header("accept", "text/event-stream");
        if let Some(last) = &from.last {
            request = request.header("last-event-id", last);
        }
        let Ok(sent) = timeout(SILENCE, self.once(request)).await else {
            return Err(Error::Lost { base: self.place(), why: "in time".to_owned() });
        };
        let response = sent?;
        if !super::is_of(response.headers(), "event-stream") {
            return Err(Error::Stranger(self.place()));
        }
        Ok(living(response))
    }
}

/// The events of a response, until they end or nothing comes for too long: a
/// connection can die without a word.
fn living(response: Response) -> Frames {
    let next = async |mut response: Response| match timeout(SILENCE, response.chunk()).await {
        Ok(Ok(chunk)) => chunk.map(|it| (Ok(it), response)),
        Ok(Err(error)) => Some((Err(error), response)),
        Err(_elapsed) => None,
    };
    let sse = SseStream::from_bytes_stream(stream::unfold(response, next).boxed());
    let frames = sse.map_err(anyhow::Error::from);
    frames.try_filter_map(async |it| Ok(Frame::of(it))).boxed()
}

impl Watch {
    fn new(client: &Client, session: &str, from: From) -> Self {
        Self {
            client: client.clone(),
            session: session.to_owned(),
            from,
            since: None,
            frames: None,
            met: false,
            cut: None,
            told: false,
            pause: PAUSE,
            patience: None,
        }
    }

    /// Misses nothing that comes after a session stood so, as it was told, even if
    /// the connection is cut before anything came.
    pub(crate) fn since(mut self, session: &Value) -> Self {
        let last = session["position"].as_str().map(str::to_owned);
        let after = last.is_none().then(|| "start".to_owned());
        self.since = Some(From { after, last });
        self
    }

    /// Watches on behind a position that a gateway has just given; gives up when
    /// nobody answers for a minute.
    pub(super) fn behind(client: &Client, session: &str, position: String) -> Self {
        let from = From { after: None, last: Some(position) };
        Self { met: true, patience: Some(PATIENCE), ..Self::new(client, session, from) }
    }

    /// What comes next. Can be dropped and called again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Heard> {
        loop {
            let Some(frames) = &mut self.frames else {
                if let Some(heard) = self.connect().await? {
                    return Ok(heard);
                }
                continue;
            };
            let frame = frames.next().await;
            if let Some(Ok(frame)) = frame {
                self.from.last = frame.id.clone().or(self.from.last.take());
                return Ok(Heard::Event(frame));
            }
            self.frames = None;
            self.go_on();
            (self.cut, self.told) = (Some(Instant::now()), true);
            return Ok(Heard::Cut("the stream ended".to_owned()));
        }
    }

    /// Without a connection one does not begin anew where one has begun.
    fn go_on(&mut self) {
        let begins = matches!(self.from.after.as_deref(), None | Some("now"));
        let begins = begins && self.from.last.is_none();
        if let Some(since) = self.since.take().filter(|_| begins) {
            self.from = since;
        }
    }

    /// Tries once to get a connection.
    async fn connect(&mut self) -> Result<Option<Heard>> {
        if self.cut.is_some() {
            sleep(self.pause).await;
        }
        let error = match self.client.frames(&self.session, &self.from).await {
            Ok(frames) => {
                (self.frames, self.met, self.pause) = (Some(frames), true, PAUSE);
                self.cut = None;
                return Ok(std::mem::take(&mut self.told).then_some(Heard::Back));
            }
            Err(error) => error,
        };
        let since = *self.cut.get_or_insert_with(Instant::now);
        let may_come = error.is_passing() && (self.met || !error.is_absent());
        if !may_come || self.patience.is_some_and(|it| since.elapsed() >= it) {
            return Err(error);
        }
        self.go_on();
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let told = std::mem::replace(&mut self.told, true);
        Ok((!told).then(|| Heard::Cut(error.to_string())))
    }
}
