//! A gateway from the outside: asks, follows a turn over cut connections,
//! cancels. Knows only HTTP.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};
use sse_stream::{Sse, SseStream};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::access;
use crate::flags::Peer;

/// How long a gateway may be away before a client gives up.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(500);

/// A gateway, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    /// Nobody where the key says who asks.
    user: Option<String>,
}

/// One event as the gateway sent it.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// Its kind.
    pub(crate) kind: String,
    /// Its position; a stream goes on after it.
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

/// Who asks where nobody needs to show who he is.
const ANYBODY: &str = "local";

/// What became of the wish to stop a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// This turn will end.
    Asked(String),
    /// It had ended by itself; how, in words.
    HadEnded(String),
}

type Frames = BoxStream<'static, Result<Frame, anyhow::Error>>;

impl Client {
    pub(crate) fn new(peer: &Peer) -> anyhow::Result<Self> {
        let base = peer.server.parse().with_context(|| format!("--server {}", peer.server))?;
        let http = access::http(&peer.access, &base)?;
        let nobody = || (!peer.access.has_key()).then(|| ANYBODY.to_owned());
        Ok(Self { http, base, user: peer.user.clone().or_else(nobody) })
    }

    /// Asks. The idempotency key lets the question be sent again when the
    /// answer to the sending was lost.
    pub(crate) async fn ask(
        &self,
        session: &str,
        input: &str,
        model: Option<&str>,
    ) -> anyhow::Result<Turn> {
        let mut body = json!({ "userId": self.user, "input": input });
        if let Some(model) = model {
            body["model"] = model.into();
        }
        self.start(session, "turns", &body).await
    }

    /// Brings decisions about pending calls, as the native route takes them.
    pub(crate) async fn decide(
        &self,
        session: &str,
        turn: &str,
        decisions: &[Value],
    ) -> anyhow::Result<Turn> {
        let body = json!({ "userId": self.user, "turnId": turn, "decisions": decisions });
        self.start(session, "decisions", &body).await
    }

    /// What a session is about, with the calls that wait for a human.
    pub(crate) async fn session(&self, session: &str) -> anyhow::Result<Value> {
        let request = self.http.get(self.url(&[session])?).query(&[("userId", &self.user)]);
        Ok(accept(self.once(request).await?).await?.json().await?)
    }

    async fn start(&self, session: &str, what: &str, body: &Value) -> anyhow::Result<Turn> {
        let request = self
            .http
            .post(self.url(&[session, what])?)
            .header("idempotency-key", Uuid::now_v7().to_string())
            .header("prefer", "respond-async")
            .json(body);
        let accepted: Value = self.patiently(request).await?.json().await?;
        let text = |name: &str| accepted[name].as_str().unwrap_or_default().to_owned();
        Ok(Turn {
            client: self.clone(),
            session: session.to_owned(),
            id: text("turnId"),
            last: text("position"),
            frames: None,
            over: false,
        })
    }

    /// Stops a turn, or the one that runs or will run next.
    pub(crate) async fn cancel(
        &self,
        session: &str,
        turn: Option<&str>,
    ) -> anyhow::Result<Stopped> {
        let mut body = json!({ "userId": self.user });
        if let Some(turn) = turn {
            body["turnId"] = turn.into();
        }
        let request = self.http.post(self.url(&[session, "cancel"])?).json(&body);
        let response = self.once(request).await?;
        if response.status() == StatusCode::CONFLICT {
            return Ok(Stopped::HadEnded(why(response).await));
        }
        let asked: Value = accept(response).await?.json().await?;
        Ok(Stopped::Asked(asked["turnId"].as_str().unwrap_or_default().to_owned()))
    }

    /// Erases a session.
    pub(crate) async fn delete(&self, session: &str) -> anyhow::Result<()> {
        let request = self.http.delete(self.url(&[session])?).query(&[("userId", &self.user)]);
        accept(self.once(request).await?).await.map(drop)
    }

    /// Sends once.
    async fn once(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        match request.send().await {
            Err(error) if error.is_connect() => Err(self.nobody(&error)),
            sent => Ok(sent?),
        }
    }

    fn nobody(&self, error: &reqwest::Error) -> anyhow::Error {
        anyhow!("no gateway answers at {} ({})", self.base, access::cause(error))
    }

    /// A session's events; `after` as in the query of the same name, `last`
    /// as in the `Last-Event-ID` header.
    pub(crate) async fn events(
        &self,
        session: &str,
        after: Option<&str>,
        last: Option<&str>,
    ) -> anyhow::Result<Frames> {
        let mut url = self.url(&[session, "events"])?;
        if let Some(user) = &self.user {
            url.query_pairs_mut().append_pair("userId", user);
        }
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let mut request = self.http.get(url).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.patiently(request).await?;
        let sse = SseStream::from_bytes_stream(response.bytes_stream());
        let frames = sse.map_err(anyhow::Error::from);
        Ok(frames.try_filter_map(async |it| Ok(Frame::of(it))).boxed())
    }

    fn url(&self, path: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().extend(["v1", "sessions"]).extend(path);
            }
            Err(()) => bail!("--server {} cannot be the base of a path", self.base),
        }
        Ok(url)
    }

    /// Sends until a gateway answers.
    async fn patiently(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let again = request.try_clone().context("the request cannot be repeated")?;
            match again.send().await {
                Ok(response) if !is_passing(response.status()) => return accept(response).await,
                Ok(response) if Instant::now() >= deadline => return accept(response).await,
                Err(error) if error.is_connect() || Instant::now() >= deadline => {
                    return Err(self.nobody(&error));
                }
                Ok(_) | Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Statuses of a gateway that will serve again.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::BAD_GATEWAY
}

/// Turns a problem document into an error.
async fn accept(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    bail!("{status}: {}", why(response).await)
}

/// The reason in a problem document.
async fn why(response: Response) -> String {
    let problem: Value = response.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().or(problem["title"].as_str());
    detail.unwrap_or("no reason given").to_owned()
}

/// A turn, followed to its end over as many connections as it takes.
pub(crate) struct Turn {
    client: Client,
    session: String,
    id: String,
    last: String,
    frames: Option<Frames>,
    over: bool,
}

impl Turn {
    /// The turn's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The turn's next event; `None` after its terminal one.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        while !self.over {
            let Some(frame) = self.frame().await? else {
                self.frames = None;
                sleep(PAUSE).await;
                continue;
            };
            if let Some(id) = &frame.id {
                self.last.clone_from(id);
            }
            let of_session = matches!(frame.kind.as_str(), "gap" | "deleted");
            if of_session || frame.value()["turnId"] == *self.id {
                self.over = frame.is_end();
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The session's next event; `None` when the connection was cut.
    async fn frame(&mut self) -> anyhow::Result<Option<Frame>> {
        let frames = match &mut self.frames {
            Some(frames) => frames,
            none => none.insert(self.client.events(&self.session, None, Some(&self.last)).await?),
        };
        Ok(frames.next().await.and_then(Result::ok))
    }
}
