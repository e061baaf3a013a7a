//! One session that a scenario drives by its own hand, with its readers, and
//! what the oracle wants to know of it at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::Lifecycle;
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::sse::Frame;
use tokio::time::{Instant, sleep};

use crate::client::{Asked, Client, Stopped};
use crate::story::is_end;
use crate::watcher::{Manner, Notes, Watcher};

/// How long a gateway may refuse to tell a log, and a reader to come to its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A question and what became of it.
#[derive(Debug, Clone)]
pub struct Question {
    /// What its tokens are called.
    pub name: String,
    /// How many tokens the answer has.
    pub tokens: usize,
    /// When it was accepted.
    pub at: Instant,
    /// What became of it.
    pub asked: Asked,
    /// What became of stopping it, if that was tried, and when it was answered.
    pub stopped: Option<(Stopped, Duration)>,
}

/// Everything known of one session at the end.
#[derive(Debug)]
pub struct Tale {
    /// Whose it is.
    pub user: String,
    /// Its id.
    pub session: String,
    /// Its questions, in the order they were accepted.
    pub questions: Vec<Question>,
    /// The log, as each gateway tells it.
    pub histories: Vec<Vec<Frame>>,
    /// What each reader heard.
    pub watched: Vec<Notes>,
    /// What the driver could not do.
    pub troubles: Vec<String>,
}

/// A session, its readers, and what was asked of it. Clones share it.
#[derive(Debug, Clone)]
pub struct Sitting {
    /// Who asks.
    pub client: Client,
    /// Its id.
    pub session: String,
    watchers: Vec<Watcher>,
    said: Arc<Mutex<(Vec<Question>, Vec<String>)>>,
}

impl Sitting {
    /// A session without readers.
    pub fn new(client: Client, session: impl Into<String>) -> Self {
        Self { client, session: session.into(), watchers: Vec::new(), said: Arc::default() }
    }

    /// Another reader, from the start of the session; `through` knows its
    /// gateways. The first one is who hears ends.
    #[must_use]
    pub fn watched(mut self, through: Client, manner: Manner, life: &Lifecycle) -> Self {
        self.watchers.push(Watcher::start(through, self.session.clone(), manner, life));
        self
    }

    /// Asks until there is an answer, and notes it.
    pub async fn ask(&self, edge: usize, name: &str, (tokens, every_ms): (usize, u64)) -> Asked {
        let body = question(name, tokens, every_ms);
        let asked = self.client.ask(edge, &self.session, &self.key(name), &body).await;
        self.note(name, tokens, asked.clone());
        asked
    }

    /// Asks, and waits until the first reader has heard the end, within this
    /// time; a trouble when there is none.
    pub async fn answered(&self, edge: usize, name: &str, answer: (usize, u64), within: Duration) {
        match self.ask(edge, name, answer).await {
            Asked::Accepted(turn) => {
                self.ends(&turn, within).await;
            }
            other @ (Asked::Refused(_) | Asked::Unknown) => {
                self.trouble(format!("{name:.64} was {other:?}"));
            }
        }
    }

    /// The idempotency key of a question, whose name may be long.
    pub fn key(&self, name: &str) -> String {
        format!("{}-{name:.64}", self.client.user)
    }

    /// Notes a question that was asked otherwise, in the order of acceptance.
    pub fn note(&self, name: &str, tokens: usize, asked: Asked) {
        let question =
            Question { name: name.to_owned(), tokens, at: Instant::now(), asked, stopped: None };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).0.push(question);
    }

    /// Notes what became of stopping a turn, and when that was answered.
    pub fn note_stop(&self, turn: &str, stopped: Stopped, at: Duration) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut questions = said.0.iter_mut();
        let asked = Asked::Accepted(turn.to_owned());
        if let Some(question) = questions.find(|it| it.asked == asked) {
            question.stopped = Some((stopped, at));
        }
    }

    /// Notes what should not have happened.
    pub fn trouble(&self, what: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).1.push(what);
    }

    /// Waits until the first reader has heard the turn's end; a trouble when it
    /// has not within this time.
    pub async fn ends(&self, turn: &str, within: Duration) -> bool {
        let Some(watcher) = self.watchers.first() else { return false };
        let of_turn = |it: &Frame| is_end(it) && it.json()["turnId"] == *turn;
        let ended = watcher.hears(within, of_turn).await;
        if !ended {
            self.trouble(format!("turn {turn} had no end after {within:?}"));
        }
        ended
    }

    /// Waits until the first reader has heard a frame of this kind of the turn.
    pub async fn says(&self, turn: &str, kind: &str) -> bool {
        let Some(watcher) = self.watchers.first() else { return false };
        let said = |it: &Frame| it.is(kind) && it.json()["turnId"] == *turn;
        watcher.hears(PATIENCE, said).await
    }

    /// What each reader has so far.
    pub fn notes(&self) -> Vec<Notes> {
        self.watchers.iter().map(Watcher::notes).collect()
    }

    /// The log as each gateway tells it, and what the readers heard, once they
    /// have heard it all.
    pub async fn tell(&self) -> Tale {
        let mut histories = Vec::new();
        for edge in 0..self.client.edges() {
            match self.history(edge).await {
                Ok(frames) => histories.push(frames),
                Err(why) => self.trouble(format!("gateway {edge} does not tell the log: {why:#}")),
            }
        }
        let last = histories.first().and_then(|it| it.last()?.id.clone());
        for watcher in &self.watchers {
            if last.is_some() && !watcher.hears(PATIENCE, |it| it.id == last).await {
                self.trouble(format!("a reader never came to {last:?}"));
            }
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        Tale {
            user: self.client.user.clone(),
            session: self.session.clone(),
            questions: said.0,
            histories,
            watched: self.notes(),
            troubles: said.1,
        }
    }

    async fn history(&self, edge: usize) -> anyhow::Result<Vec<Frame>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.client.history(edge, &self.session).await {
                Ok(frames) => return Ok(frames),
                Err(why) if Instant::now() > deadline => return Err(why),
                Err(_not_yet) => sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

/// Tells all of them, at the same time.
pub async fn tell(sittings: &[Sitting]) -> Vec<Tale> {
    futures::future::join_all(sittings.iter().map(Sitting::tell)).await
}

/// The question that makes the model say so many tokens of this name, so many
/// milliseconds apart.
pub fn question(name: &str, tokens: usize, every_ms: u64) -> Value {
    let script =
        Script { name: Some(name.to_owned()), tokens: Some(tokens), every_ms, ..Script::default() };
    json!({ "input": script.question() })
}
