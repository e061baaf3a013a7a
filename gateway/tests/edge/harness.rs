//! A running edge, a worker that says what it is told, and readers of frames.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Delivery, Limits, Log, Outcome, Sequence, Stored};
use gateway::Config;
use process::Lifecycle;
use proto::{Entry, Event, Session, SessionState, Status, event};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One user does what many would.
fn busy() -> Config {
    let turns_per_user = NonZeroU32::new(10_000).unwrap();
    Config { turns_per_user, user_burst: turns_per_user, ..Config::default() }
}

pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    pub(crate) broker: Broker,
    pub(crate) life: Lifecycle,
    pub(crate) http: reqwest::Client,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::with(busy()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let limits = Limits { queue_depth: 2, lease: Duration::from_mins(1), ..Limits::default() };
        let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await;
        Self::on(config, broker.unwrap()).await
    }

    pub(crate) async fn on(config: Config, broker: Broker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let life = Lifecycle::new();
        let serving = gateway::serve(config, broker.clone(), listener, life.clone());
        life.serve("edge", serving);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, broker, life, http }
    }

    /// Another gateway over the same broker.
    pub(crate) async fn another(&self) -> Self {
        Self::on(busy(), self.broker.clone()).await
    }

    /// Erases a session of user `u`.
    pub(crate) fn erase(&self, session: &str) -> RequestBuilder {
        self.http.delete(format!("http://{}/v1/sessions/{session}?userId=u", self.address))
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", self.address))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.post(url).json(body)
    }

    /// A question of user `u` in session `s`.
    pub(crate) fn ask(&self, input: &str) -> RequestBuilder {
        let body = serde_json::json!({"userId": "u", "input": input});
        self.post("/v1/sessions/s/turns", &body)
    }

    /// Asks and waits until the question is accepted; the turn's id.
    pub(crate) async fn accepted(&self, input: &str) -> Value {
        let request = self.ask(input).header("prefer", "respond-async");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    /// Opens the session's events.
    pub(crate) async fn events(&self, query: &str) -> Frames {
        let path = format!("/v1/sessions/s/events?userId=u{query}");
        Frames::of(self.get(&path).send().await.unwrap())
    }

    /// Takes the next job and acquires its session.
    pub(crate) async fn work(&self) -> Work {
        let next = timeout(PATIENCE, self.broker.queue.next());
        self.take(next.await.expect("a job comes").unwrap()).await
    }

    /// Acquires the session of a job.
    pub(crate) async fn take(&self, delivery: Delivery) -> Work {
        let last = self.broker.log.last(&delivery.session).await.unwrap();
        let state = last.as_ref().and_then(|it| it.entry.state.clone());
        let mut work = Work {
            log: Arc::clone(&self.broker.log),
            last: last.map_or(Sequence::START, |it| it.sequence),
            state: SessionState {
                turn_id: delivery.turn.to_string(),
                attempt: delivery.attempt,
                cancels: state.map(|it| it.cancels).unwrap_or_default(),
                ..SessionState::default()
            },
            index: 0,
            delivery,
        };
        let proto::Job { messages, resume, replaces, behind, .. } = work.delivery.job.clone();
        let input = messages.last().map(|it| it.content.clone()).unwrap_or_default();
        let resumes = resume.map(|it| it.turn_id).unwrap_or_default();
        let started = proto::Started { input, resumes, replaces, behind };
        let began = work.append(vec![event::Kind::Started(started).into()]).await;
        work.state.began = began.0;
        work
    }

    pub(crate) async fn last(&self) -> Stored {
        let session = session();
        self.broker.log.last(&session).await.unwrap().unwrap()
    }
}

pub(crate) fn session() -> Session {
    Session::parse("u", "s").unwrap()
}

/// A turn that a test plays.
pub(crate) struct Work {
    log: Arc<dyn Log>,
    last: Sequence,
    state: SessionState,
    index: u32,
    pub(crate) delivery: Delivery,
}

impl Work {
    /// Says several events in one entry.
    pub(crate) async fn say(&mut self, kinds: Vec<event::Kind>) {
        let mut events = Vec::new();
        for kind in kinds {
            self.index += 1;
            events.push(Event { index: self.index, kind: Some(kind) });
        }
        self.append(events).await;
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.say(vec![event::Kind::Text(text.into())]).await;
    }

    /// Ends the turn; its job stays in the queue until it is settled.
    pub(crate) async fn complete(&mut self) {
        let finish_reason = "stop".to_owned();
        self.say(vec![event::Kind::Completed(proto::Completed { finish_reason })]).await;
    }

    pub(crate) async fn settle(self) {
        self.delivery.lease.acknowledge().await.unwrap();
    }

    /// Reads on over what others appended.
    pub(crate) async fn catch_up(&mut self) {
        let last = self.log.last(&self.delivery.session).await.unwrap().unwrap();
        self.last = last.sequence;
        self.state.cancels = last.entry.state.unwrap().cancels;
    }

    /// Ends the turn, unless another writer was first.
    pub(crate) async fn try_to_complete(&mut self) -> Option<Sequence> {
        let finish_reason = "stop".to_owned();
        let completed = event::Kind::Completed(proto::Completed { finish_reason });
        self.try_to_append(vec![completed.into()]).await
    }

    async fn append(&mut self, events: Vec<Event>) -> Sequence {
        self.try_to_append(events).await.expect("no other writer is first")
    }

    async fn try_to_append(&mut self, events: Vec<Event>) -> Option<Sequence> {
        let ending = events.iter().find_map(|it| it.kind.as_ref().and_then(event::Kind::ending));
        self.state.set_status(match ending {
            Some(_) => Status::Idle,
            None => Status::Running,
        });
        self.state.set_ending(ending.unwrap_or_default());
        self.state.last_index = self.index;
        let entry = Entry {
            version: proto::FORMAT,
            follows: self.last.0,
            turn_id: self.state.turn_id.clone(),
            attempt: self.state.attempt,
            events,
            state: Some(self.state.clone()),
        };
        let appended = broker::append(self.log.as_ref(), &self.delivery.session, &entry);
        match appended.await.unwrap() {
            Outcome::Stored(sequence) => {
                self.last = sequence;
                Some(sequence)
            }
            Outcome::Refused => None,
        }
    }
}

/// One frame, as it came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) raw: String,
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Value,
}

impl Frame {
    fn parse(raw: &str) -> Self {
        let field = |name: &str| {
            let mut lines = raw.lines();
            lines.find_map(|it| it.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
        };
        let data = field("data").map_or(Value::Null, |it| serde_json::from_str(&it).unwrap());
        Self { raw: raw.to_owned(), id: field("id"), event: field("event"), data }
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event)
    }
}

/// All frames of a finished body.
pub(crate) fn frames(body: &str) -> Vec<Frame> {
    assert!(body.is_empty() || body.ends_with("\n\n"), "{body:?}");
    let parts = body.split("\n\n").filter(|it| !it.is_empty());
    parts.map(Frame::parse).collect()
}

/// Frames of an open stream.
pub(crate) struct Frames {
    response: Response,
    rest: String,
}

impl Frames {
    pub(crate) fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, rest: String::new() }
    }

    /// The next frame; `None` at a clean end.
    pub(crate) async fn next(&mut self) -> reqwest::Result<Option<Frame>> {
        let mut looked = 0;
        loop {
            if let Some(end) = self.rest[looked..].find("\n\n") {
                let end = looked + end;
                let frame = Frame::parse(&self.rest[..end]);
                self.rest.drain(..end + 2);
                return Ok(Some(frame));
            }
            // The end of a frame may have come in half; the text is ASCII there.
            looked = self.rest.rfind('\n').unwrap_or(self.rest.len());
            let chunk = timeout(PATIENCE, self.response.chunk());
            match chunk.await.expect("something comes")? {
                Some(chunk) => self.rest.push_str(std::str::from_utf8(&chunk).unwrap()),
                None => return Ok(None),
            }
        }
    }

    /// Frames up to and with the first of this kind, without `retry`.
    pub(crate) async fn until(&mut self, event: &str) -> Vec<Frame> {
        let mut found = Vec::new();
        loop {
            let frame = self.next().await.unwrap().expect("the stream goes on");
            if frame.event.is_none() {
                continue;
            }
            found.push(frame);
            if found.last().is_some_and(|it| it.is(event)) {
                return found;
            }
        }
    }
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse, and close, before it has read everything.
    let _sent = stream.write_all(request).await;
    closed(&mut stream).await
}

/// What comes until the server closes.
pub(crate) async fn closed(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _reset_is_closed_too = read.await.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Checks that an answer is a problem document, and returns it.
pub(crate) async fn problem(response: Response, status: u16) -> Value {
    let kind = response.headers()["content-type"].clone();
    let got = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(kind, "application/problem+json");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["status"], status);
    problem
}
