//! A client as it should be written: it asks with an idempotency key and asks
//! again, anywhere, until it has an answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use testkit::sse::{Frame, Sse};
use tokio::time::{Instant, sleep};

/// How long a client tries before it gives an answer up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(20);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(150);

/// A client of several gateways, for one user.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    edges: Vec<String>,
    /// Who asks.
    pub user: String,
    /// Why questions had to be asked again. Clones share it.
    again: Arc<Mutex<Vec<String>>>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// It is a turn.
    Accepted(String),
    /// It was refused with this status; nothing was started.
    Refused(u16),
    /// No gateway answered in time.
    Unknown,
}

/// What became of a request to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It will end as cancelled.
    Accepted,
    /// It had ended, so.
    Ended(String),
    /// Refused with another status.
    Refused(u16),
    /// No gateway answered in time.
    Unknown,
}

impl Client {
    /// A client of these gateways.
    pub fn new(edges: Vec<String>, user: impl Into<String>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .pool_idle_timeout(Duration::from_secs(5))
            .no_proxy();
        Ok(Self { http: http.build()?, edges, user: user.into(), again: Arc::default() })
    }

    /// One of the gateways.
    pub fn some_edge(&self, dice: &mut StdRng) -> usize {
        dice.random_range(0..self.edges.len())
    }

    /// Why questions had to be asked again: no answer, or one that settles
    /// nothing.
    pub fn again(&self) -> Vec<String> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many gateways there are.
    pub fn edges(&self) -> usize {
        self.edges.len()
    }

    /// Asks, first at one gateway, then at the others, until one says what
    /// became of it. The key makes all tries one turn.
    pub async fn ask(&self, edge: usize, session: &str, key: &str, body: &Value) -> Asked {
        let deadline = Instant::now() + PATIENCE;
        let mut edge = edge;
        while Instant::now() < deadline {
            match self.ask_once(edge, session, key, body).await {
                Ok(asked) => return asked,
                Err(why) => {
                    let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
                    again.push(format!("{why:#}"));
                }
            }
            edge += 1;
            sleep(PAUSE).await;
        }
        Asked::Unknown
    }

    /// One try; an error leaves the outcome open.
    pub async fn ask_once(
        &self,
        edge: usize,
        session: &str,
        key: &str,
        body: &Value,
    ) -> Result<Asked> {
        let response = answered(self.question(edge, session, key, body)).await?;
        let status = response.status();
        // 200 is a repeated question whose turn has ended.
        if status == StatusCode::ACCEPTED || status == StatusCode::OK {
            let said: Value = response.json().await?;
            let turn = said["turnId"].as_str().context("an accepted turn has an id")?;
            return Ok(Asked::Accepted(turn.to_owned()));
        }
        Ok(Asked::Refused(status.as_u16()))
    }

    /// One try, and the answer as it is.
    pub async fn submit(
        &self,
        edge: usize,
        session: &str,
        key: &str,
        body: &Value,
    ) -> Result<Response> {
        let request = self.question(edge, session, key, body);
        Ok(tokio::time::timeout(REQUEST, request.send()).await??)
    }

    fn question(&self, edge: usize, session: &str, key: &str, body: &Value) -> RequestBuilder {
        let mut body = body.clone();
        body["userId"] = self.user.as_str().into();
        let request = self.http.post(self.at(edge, &format!("/v1/sessions/{session}/turns")));
        let request = request.header("prefer", "respond-async").header("idempotency-key", key);
        request.json(&body)
    }

    /// Stops a turn, wherever a gateway answers.
    pub async fn cancel(&self, edge: usize, session: &str, turn: &str) -> Stopped {
        let deadline = Instant::now() + PATIENCE;
        let mut edge = edge;
        while Instant::now() < deadline {
            if let Ok(stopped) = self.cancel_once(edge, session, turn).await {
                return stopped;
            }
            edge += 1;
            sleep(PAUSE).await;
        }
        Stopped::Unknown
    }

    async fn cancel_once(&self, edge: usize, session: &str, turn: &str) -> Result<Stopped> {
        let request = self.http.post(self.at(edge, &format!("/v1/sessions/{session}/cancel")));
        let body = json!({ "userId": self.user, "turnId": turn });
        let response = answered(request.json(&body)).await?;
        Ok(match response.status() {
            StatusCode::ACCEPTED => Stopped::Accepted,
            StatusCode::CONFLICT => {
                let said: Value = response.json().await?;
                Stopped::Ended(said["turnStatus"].as_str().unwrap_or_default().to_owned())
            }
            other => Stopped::Refused(other.as_u16()),
        })
    }

    /// Erases a session; whether there was one.
    pub async fn delete(&self, edge: usize, session: &str) -> Result<bool> {
        let request = self.http.delete(self.at(edge, &format!("/v1/sessions/{session}")));
        let response = answered(request.query(&[("userId", &self.user)])).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            other => bail!("a delete was answered with {other}"),
        }
    }

    /// What a gateway says of a session.
    pub async fn state(&self, edge: usize, session: &str) -> Result<Value> {
        let request = self.http.get(self.at(edge, &format!("/v1/sessions/{session}")));
        let response = answered(request.query(&[("userId", &self.user)])).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// The session's events after the last one that is known, or from the start.
    pub async fn events(&self, edge: usize, session: &str, last: Option<&str>) -> Result<Sse> {
        let request = self.http.get(self.at(edge, &format!("/v1/sessions/{session}/events")));
        let request = request.query(&[("userId", self.user.as_str()), ("after", "start")]);
        let request = match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        Sse::open(tokio::time::timeout(REQUEST, request.send()).await??).await
    }

    /// Everything that a session's log holds, as one gateway tells it.
    pub async fn history(&self, edge: usize, session: &str) -> Result<Vec<Frame>> {
        let state = self.state(edge, session).await?;
        let Some(last) = state["position"].as_str() else { return Ok(Vec::new()) };
        let mut events = self.events(edge, session, None).await?;
        let at_last = |it: &Frame| it.id.as_deref().is_some_and(|id| place(id) == place(last));
        let mut frames = events.read_until(at_last).await?;
        // The last entry may make several frames.
        while let Ok(Ok(Some(frame))) =
            tokio::time::timeout(Duration::from_millis(100), events.next()).await
        {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn at(&self, edge: usize, path: &str) -> String {
        format!("{}{path}", self.edges[edge % self.edges.len()])
    }
}

/// A position without the number of the frame within its entry.
fn place(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}

/// The response, if it settles the matter: not "try again".
async fn answered(request: RequestBuilder) -> Result<Response> {
    let response = tokio::time::timeout(REQUEST, request.send()).await??;
    if response.status().is_server_error() {
        bail!("{}: {}", response.status(), response.text().await?);
    }
    Ok(response)
}
