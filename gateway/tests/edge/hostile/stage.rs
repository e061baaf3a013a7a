//! An edge with a worker that answers everything, a user whom nothing may touch,
//! and what is looked at after each table.

use std::future::Future;
use std::io::Write;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use broker::Sequence;
use gateway::Config;
use prost::Message as _;
use proto::Session;
use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::subscriber::DefaultGuard;

use super::raw::{Answer, Request};
use super::rows::{Family, Row};
use crate::harness::{Edge, PATIENCE};

/// What only the log may know.
const INTERNALS: [&str; 12] = [
    "panick",
    ".rs:",
    "/src/",
    "sqlite",
    "select ",
    "insert ",
    "backtrace",
    "tokio",
    "axum",
    "hyper",
    "nats",
    SECRET,
];

/// What only the canary's things say.
pub(super) const SECRET: &str = "heron-in-the-reeds";

/// What is kept of the canary: the log, and what is remembered.
type Kept = (Vec<Vec<u8>>, Value);

/// Lines that the edge wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct Stage {
    pub(super) edge: Edge,
    /// A gateway beside it that asks nobody who he is.
    beside: Edge,
    /// Sessions whose questions reached the worker, in order.
    played: Mutex<Vec<Session>>,
    /// What was not as it should be.
    wrong: Mutex<Vec<String>>,
    written: Written,
    canary: Kept,
    _log: DefaultGuard,
}

/// Limits that a table does not reach.
pub(super) fn open(config: Config) -> Config {
    let many = NonZeroU32::new(1_000_000).unwrap();
    Config {
        address_requests: many,
        address_burst: many,
        user_requests: many,
        user_burst: many,
        failures: many,
        ..config
    }
}

impl Stage {
    /// Runs a table over an edge, and looks at what it left.
    pub(super) async fn run(config: Config, table: impl AsyncFnOnce(&Self)) {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let log = tracing::subscriber::set_default(subscriber);
        let beside = Edge::with(open(Config::default())).await;
        let canary = canary(&beside).await;
        let edge = Edge::on(open(config), beside.broker.clone()).await;
        let stage = Self {
            edge,
            beside,
            canary,
            played: Mutex::default(),
            wrong: Mutex::default(),
            written,
            _log: log,
        };
        stage.worked(table(&stage)).await;
        stage.look().await;
    }

    /// Plays every question while something is done.
    async fn worked(&self, done: impl Future<Output = ()>) {
        let playing = async {
            loop {
                let delivery = self.edge.broker.queue.next().await.unwrap();
                self.played.lock().unwrap().push(delivery.session.clone());
                let mut work = self.edge.take(delivery).await;
                work.text("said").await;
                work.complete().await;
                work.settle().await;
            }
        };
        tokio::select! {
            () = done => {}
            () = playing => {}
        }
    }

    /// Sends a request, and waits until what it asked is answered.
    pub(super) async fn send(&self, request: &Request) -> Answer {
        let answer = request.send(self.edge.address).await;
        if answer.status < 400 {
            self.settled().await;
        }
        answer
    }

    pub(super) async fn settled(&self) {
        let empty = async {
            while self.edge.broker.queue.depth().await.unwrap() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, empty).await.expect("every question is played");
    }

    /// The sessions that were asked since the last look.
    pub(super) fn played(&self) -> Vec<(String, String)> {
        let played = std::mem::take(&mut *self.played.lock().unwrap());
        played.iter().map(|it| (it.user.to_string(), it.id.to_string())).collect()
    }

    /// Looks that nothing was asked since the last look.
    pub(super) fn asked_nothing(&self) {
        let played = self.played();
        if !played.is_empty() {
            self.wrong(format!("what should be refused was asked: {played:?}"));
        }
    }

    pub(super) fn wrong(&self, what: impl Into<String>) {
        self.wrong.lock().unwrap().push(what.into());
    }

    /// Sends what must be refused with one of these, in the family's words.
    pub(super) async fn refuses(&self, row: &Row, request: &Request, how: (&str, &[u16])) {
        let (what, statuses) = how;
        let answer = self.send(request).await;
        if let Err(why) = refusal(row.family(), &answer, statuses) {
            let shown: String = request.target.chars().take(120).collect();
            self.wrong(format!("{} {what} ({shown}): {why}", row.name()));
        }
    }

    /// Looks at what a table has left.
    async fn look(&self) {
        self.settled().await;
        let wrong = std::mem::take(&mut *self.wrong.lock().unwrap());
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(kept(&self.beside).await, self.canary, "another user's things changed");
        let played = self.played();
        assert!(played.iter().all(|it| it.0 != "canary"), "{played:?}");
        assert!(!self.edge.life.is_draining(), "a task of the edge died");
        let written = String::from_utf8_lossy(&self.written.0.lock().unwrap()).into_owned();
        assert!(written.contains("request"), "the edge logged nothing: {written}");
        assert!(!written.contains("panicked"), "{written}");
        let honest = |it: &str| it.starts_with("20") && !it.contains(['\u{1b}', '\r']);
        assert!(written.lines().all(honest), "somebody wrote a line: {written}");
    }
}

/// Whether an answer refuses with one of these statuses, in a family's words, and
/// says nothing of what is inside.
pub(super) fn refusal(family: Family, answer: &Answer, statuses: &[u16]) -> Result<(), String> {
    let told = || format!("{answer:?}");
    if !statuses.contains(&answer.status) {
        return Err(format!("expected {statuses:?}: {}", told()));
    }
    let low = answer.body.to_ascii_lowercase();
    if let Some(inside) = INTERNALS.iter().find(|it| low.contains(**it)) {
        return Err(format!("says {inside:?}: {}", told()));
    }
    let json = answer.json();
    let text = |it: &Value| it.as_str().is_some_and(|it| !it.is_empty());
    let (kind, says) = match family {
        Family::Problem => (
            "application/problem+json",
            json["status"] == answer.status
                && json["type"].as_str().is_some_and(|it| it.starts_with("urn:weir:problem:"))
                && text(&json["title"])
                && text(&json["detail"]),
        ),
        Family::Agent => (
            "application/json",
            json["success"] == false
                && json["status"] == "error"
                && text(&json["message"])
                && json["message"] == json["detail"],
        ),
        Family::OpenAi => (
            "application/json",
            text(&json["error"]["message"])
                && text(&json["error"]["type"])
                && text(&json["error"]["code"]),
        ),
    };
    if !says || answer.header("content-type") != Some(kind) {
        return Err(format!("not in the words of {family:?}: {}", told()));
    }
    if answer.header("x-content-type-options") != Some("nosniff") {
        return Err(format!("without the headers of every answer: {}", told()));
    }
    Ok(())
}

/// Makes a session and a memory of a user who asks nothing more, and a session
/// of the user who asks everything.
async fn canary(edge: &Edge) -> Kept {
    for (user, session, text) in [("canary", "canary", SECRET), ("u", "s", "said")] {
        let body = json!({"userId": user, "input": "Why?"});
        let ask = edge.post(&format!("/v1/sessions/{session}/turns"), &body);
        let asked = ask.header("prefer", "respond-async").send().await.unwrap();
        assert_eq!(asked.status(), 202);
        let mut work = edge.work().await;
        work.text(text).await;
        work.complete().await;
        work.settle().await;
    }
    let memory = json!({"userId": "canary", "text": SECRET});
    assert_eq!(edge.post("/v1/memories", &memory).send().await.unwrap().status(), 201);
    kept(edge).await
}

/// The user's log, and what is remembered about him.
async fn kept(edge: &Edge) -> Kept {
    let session = Session::parse("canary", "canary").unwrap();
    let stored = edge.broker.log.read(&session, Sequence::START, 100).await.unwrap();
    let memories = edge.get("/v1/memories?userId=canary").send().await.unwrap();
    let entries = stored.iter().map(|it| it.entry.encode_to_vec()).collect();
    (entries, memories.json().await.unwrap())
}
