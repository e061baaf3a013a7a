//! One session, one worker, one scripted agent, and what a test looks at.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::Agent;
use broker::sqlite::Place;
use broker::{Admission, Broker, Follow, Followed, From, Limits, Outcome, Stored};
use process::Lifecycle;
use proto::knowledge_agent_server::KnowledgeAgentServer;
use proto::{AskRequest, Entry, Event, FORMAT, Job, Message, Session, SessionState, TurnId, event};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

use crate::agent::{self, Heard, Line};

pub(crate) struct Shop {
    pub(crate) broker: Broker,
    pub(crate) session: Session,
    life: Lifecycle,
    agent: Agent,
    url: String,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Shop {
    /// An agent that does the n-th list of lines in its n-th call.
    pub(crate) async fn new(script: Vec<Vec<Line>>) -> Self {
        let agent = Agent {
            script: Arc::new(Mutex::new(script)),
            heard: Arc::new(Mutex::new(Heard::default())),
            hung_up: Arc::new(watch::Sender::new(0)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (life, service) = (Lifecycle::new(), KnowledgeAgentServer::new(agent.clone()));
        life.serve("agent", async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await
        });
        // No test waits for a lease to end: what is handed over is given back.
        let limits = Limits { lease: Duration::from_secs(3600), ..Limits::default() };
        let broker = broker::sqlite::open(Place::Memory, limits).await.unwrap();
        let session = Session::parse("u", "s").unwrap();
        Self { broker, session, life, agent, url }
    }

    /// Lets a worker loose.
    pub(crate) fn work(&self) {
        self.work_until(&self.life);
    }

    /// Lets a worker loose that has room for so many turns.
    pub(crate) fn work_on(&self, slots: usize) {
        let agent = broker_worker::Agent::url(&self.url).unwrap();
        let config = broker_worker::Config { slots, ..broker_worker::Config::new(vec![agent]) };
        let worker = broker_worker::run(config, self.broker.clone(), self.life.clone());
        self.life.serve("worker", worker);
    }

    /// Lets a worker loose that stops with a process of its own.
    pub(crate) fn work_until(&self, life: &Lifecycle) {
        let agent = broker_worker::Agent::url(&self.url).unwrap();
        let config = broker_worker::Config::new(vec![agent]);
        let worker = broker_worker::run(config, self.broker.clone(), life.clone());
        life.serve("worker", worker);
    }

    pub(crate) async fn submit(&self, admission: Admission) -> TurnId {
        let turn = TurnId::new();
        let question = Message { role: "user".into(), content: "why?".into() };
        let job = Job {
            version: FORMAT,
            user_id: self.session.user.to_string(),
            session_id: self.session.id.to_string(),
            turn_id: turn.to_string(),
            messages: vec![question],
            ..Job::default()
        };
        self.broker.queue.submit(&self.session, &job, admission).await.unwrap();
        turn
    }

    /// Appends as somebody else.
    pub(crate) async fn say(&self, turn: &TurnId, attempt: u32, kind: event::Kind) {
        self.say_event(turn, attempt, kind.into()).await;
    }

    pub(crate) async fn say_event(&self, turn: &TurnId, attempt: u32, event: Event) {
        loop {
            let last = self.broker.log.last(&self.session).await.unwrap();
            let last = last.as_ref().map(|it| (it.sequence.0, it.entry.state.as_ref().unwrap()));
            let entry = Entry::after(last, &turn.to_string(), attempt, vec![event.clone()]);
            match broker::append(&*self.broker.log, &self.session, &entry).await.unwrap() {
                Outcome::Stored(_) => return,
                Outcome::Refused => {}
            }
        }
    }

    pub(crate) async fn last(&self) -> Stored {
        self.broker.log.last(&self.session).await.unwrap().unwrap()
    }

    /// All events from the start, once they satisfy `enough`.
    pub(crate) async fn until(
        &self,
        enough: impl Fn(&[Event]) -> bool,
    ) -> (Vec<Event>, SessionState) {
        let log = Arc::clone(&self.broker.log);
        let mut follow = Follow::open(log, self.session.clone(), From::Start).await.unwrap();
        let mut events = Vec::new();
        loop {
            let Followed::Entry(stored) = follow.next().await.unwrap() else { panic!("a gap") };
            events.extend(stored.entry.events);
            if enough(&events) {
                return (events, stored.entry.state.unwrap());
            }
        }
    }

    /// All events up to the end of a turn.
    pub(crate) async fn until_end(&self, turn: &TurnId) -> (Vec<Event>, SessionState) {
        let turn = turn.to_string();
        let log = Arc::clone(&self.broker.log);
        let mut follow = Follow::open(log, self.session.clone(), From::Start).await.unwrap();
        let mut events = Vec::new();
        loop {
            let Followed::Entry(stored) = follow.next().await.unwrap() else { panic!("a gap") };
            let over = stored.entry.turn_id == turn && stored.entry.ending().is_some();
            events.extend(stored.entry.events);
            if over {
                return (events, stored.entry.state.unwrap());
            }
        }
    }

    /// Waits until the agent was asked so often.
    pub(crate) async fn until_asked(&self, times: usize) {
        while self.calls().len() < times {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the session has no job.
    pub(crate) async fn until_empty(&self) {
        while self.broker.queue.first(&self.session).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the worker has left a call.
    pub(crate) async fn until_hung_up(&self) {
        let mut hung_up = self.agent.hung_up.subscribe();
        hung_up.wait_for(|it| *it > 0).await.unwrap();
    }

    pub(crate) fn calls(&self) -> Vec<AskRequest> {
        self.agent.heard.lock().unwrap().calls.clone()
    }

    pub(crate) fn cancels(&self) -> Vec<String> {
        self.agent.heard.lock().unwrap().cancels.clone()
    }
}
