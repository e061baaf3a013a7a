//! A gateway from the outside: asks, follows a turn over cut connections, looks
//! after sessions and memories. Knows only HTTP, and shows nothing.
//!
//! What a gateway tells of sessions, turns and memories stays the JSON that it
//! is: it is for people and scripts, and a field that is new passes through.

mod asking;
mod error;
mod memories;
mod server;
mod sessions;
mod watch;

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response, Url};
use serde_json::Value;

use crate::access;
use crate::flags::Peer;

pub(crate) use asking::{Question, Stopped, Turn};
pub(crate) use error::{Error, Problem};
pub(crate) use watch::{Frame, Heard, Watch};

/// How long a gateway that has been there may be away before a client gives up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a request may take that waits for no turn.
const QUICK: Duration = Duration::from_secs(30);
/// Who asks where nobody needs to show who he is.
const ANYBODY: &str = "local";

/// What came of a request.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A gateway, and who asks.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    /// Nobody where the key says who asks.
    user: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// What is on it.
    pub(crate) items: Vec<Value>,
    /// What leads to the next part, if there is one.
    pub(crate) cursor: Option<String>,
}

impl Page {
    fn of(mut told: Value, name: &str) -> Self {
        let items = match told[name].take() {
            Value::Array(items) => items,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => Vec::new(),
        };
        Self { items, cursor: told["cursor"].as_str().map(str::to_owned) }
    }
}

impl Client {
    /// Whom the flags name. Asks nobody yet.
    pub(crate) fn new(peer: &Peer) -> anyhow::Result<Self> {
        let base = access::base(&peer.server)?;
        let http = access::http(&peer.access, &base)?;
        let nobody = || (!peer.access.has_key()).then(|| ANYBODY.to_owned());
        Ok(Self { http, base, user: peer.user.clone().or_else(nobody) })
    }

    /// Where the gateway is, for people.
    pub(crate) fn place(&self) -> String {
        access::shown(self.base.as_str())
    }

    /// A path below `/v1`.
    fn url(&self, path: &[&str]) -> Result<Url> {
        // What a path swallows would make it another one.
        if let Some(swallowed) = path.iter().find(|it| matches!(**it, "" | "." | "..")) {
            return Err(Error::Path((*swallowed).to_owned()));
        }
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => {
                segments.pop_if_empty().push("v1").extend(path);
            }
            Err(()) => return Err(Error::Path(self.place())),
        }
        Ok(url)
    }

    /// The query that says whose it is.
    fn owner(&self) -> [(&'static str, Option<&str>); 1] {
        [("userId", self.user.as_deref())]
    }

    /// Sends once; a refusal is an error.
    async fn once(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| Error::of(self.place(), &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(Error::Refused(Box::new(Problem::read(response, self.place()).await)))
    }

    /// Sends once what waits for no turn.
    async fn quickly(&self, request: RequestBuilder) -> Result<Response> {
        self.once(request.timeout(QUICK)).await
    }

    /// The same, and reads the answer.
    async fn json(&self, request: RequestBuilder) -> Result<Value> {
        let response = self.quickly(request).await?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Value> {
        if !is_of(response.headers(), "json") {
            return Err(Error::Stranger(self.place()));
        }
        response.json().await.map_err(|error| Error::of(self.place(), &error))
    }
}

/// Whether an answer is of a kind.
fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    let told = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    told.is_some_and(|it| it.contains(kind))
}
