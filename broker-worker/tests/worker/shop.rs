//! One session, one worker, one scripted agent, and what a test looks at.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::sqlite::Place;
use broker::{Admission, Broker, Follow, Followed, From, Limits, Outcome, Stored};
use broker_worker::{Config, Times};
use process::Lifecycle;
use proto::{AskRequest, Entry, Event, FORMAT, Job, Message, Session, SessionState, TurnId, event};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;

use crate::agent::{Agent, Heard, Line, Service};

pub(crate) struct Shop {
    pub(crate) broker: Broker,
    pub(crate) session: Session,
    /// Where the agents are; a test may put something in between.
    pub(crate) places: Vec<SocketAddr>,
    pub(crate) times: Times,
    pub(crate) life: Lifecycle,
    agent: Agent,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl Shop {
    /// An agent that does the n-th list of lines in its n-th call.
    pub(crate) async fn new(script: Vec<Vec<Line>>) -> Self {
        // No test waits for a lease to end: what is handed over is given back.
        Self::with(1, script, Duration::from_hours(1)).await
    }

    /// So many agents, of whom whoever is asked does the next list of lines, and
    /// a queue that lends jobs for so long.
    pub(crate) async fn with(agents: usize, script: Vec<Vec<Line>>, lease: Duration) -> Self {
        let agent = Agent {
            number: 0,
            script: Arc::new(Mutex::new(script)),
            heard: Arc::new(Mutex::new(Heard::default())),
            hung_up: Arc::new(watch::Sender::new(0)),
            deaf: Arc::default(),
        };
        let (life, mut places) = (Lifecycle::new(), Vec::new());
        for number in 0..agents {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            places.push(listener.local_addr().unwrap());
            let service = Service(Agent { number, ..agent.clone() });
            life.serve("agent", async move {
                let server = tonic::transport::Server::builder().add_service(service);
                server.serve_with_incoming(TcpListenerStream::new(listener)).await
            });
        }
        let limits = Limits { lease, ..Limits::default() };
        let broker = broker::sqlite::open(Place::Memory, limits).await.unwrap();
        let session = Session::parse("u", "s").unwrap();
        Self { broker, session, places, times: Times::default(), life, agent }
    }

    /// Lets a worker loose.
    pub(crate) fn work(&self) {
        self.work_until(&self.life);
    }

    /// Lets a worker loose that has room for so many turns.
    pub(crate) fn work_on(&self, slots: usize) {
        let config = Config { slots, ..self.config() };
        work(config, self.broker.clone(), &self.life);
    }

    /// Lets a worker loose that stops with a process of its own.
    pub(crate) fn work_until(&self, life: &Lifecycle) {
        work(self.config(), self.broker.clone(), life);
    }

    pub(crate) fn config(&self) -> Config {
        let agent = |it| broker_worker::Agent::url(&format!("http://{it}")).unwrap();
        let agents = self.places.iter().map(agent).collect();
        Config { times: self.times, ..Config::new(agents) }
    }

    pub(crate) async fn submit(&self, admission: Admission) -> TurnId {
        let job = self.job();
        self.broker.queue.submit(&self.session, &job, admission).await.unwrap();
        job.turn_id.parse().unwrap()
    }

    /// A new turn of the session.
    pub(crate) fn job(&self) -> Job {
        Job {
            version: FORMAT,
            user_id: self.session.user.to_string(),
            session_id: self.session.id.to_string(),
            turn_id: TurnId::new().to_string(),
            messages: vec![Message {
                role: "user".into(),
                content: "why?".into(),
                ..Message::default()
            }],
            ..Job::default()
        }
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
        self.agent.heard.lock().unwrap().calls.iter().map(|it| it.1.clone()).collect()
    }

    /// Which agent was asked, call by call.
    pub(crate) fn asked(&self) -> Vec<usize> {
        self.agent.heard.lock().unwrap().calls.iter().map(|it| it.0).collect()
    }

    pub(crate) fn cancels(&self) -> Vec<String> {
        self.agent.heard.lock().unwrap().cancels.iter().map(|it| it.1.clone()).collect()
    }

    /// Waits until an agent was told to stop.
    pub(crate) async fn until_cancelled(&self) {
        self.until_told(1).await;
    }

    /// Waits until agents were told so often.
    pub(crate) async fn until_told(&self, times: usize) {
        while self.cancels().len() < times {
            tokio::task::yield_now().await;
        }
    }

    /// The next cancels are lost on the agents.
    pub(crate) fn lose_cancels(&self, many: u32) {
        self.agent.deaf.store(many, Ordering::Relaxed);
    }
}

/// Lets a worker loose that is told this, on this broker.
pub(crate) fn work(config: Config, broker: Broker, life: &Lifecycle) {
    life.serve("worker", broker_worker::run(config, broker, life.clone()));
}
