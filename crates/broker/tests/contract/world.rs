//! What a case is given: a broker, ids that nobody else uses, and words for
//! what it does all the time. Every wait has an end.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use broker::{
    Admission, Broker, Delivery, Follow, Followed, From, Limits, Outcome, Position, Sequence,
    Stored, Submitted,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use proto::{Ending, Entry, Event, Job, Session, SessionState, Status, TurnId, event};
use tokio::time::{sleep, timeout};

/// How long a delivery lives without progress, here.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// How many unfinished jobs a session may have, here.
pub(crate) const DEPTH: u32 = 3;
/// Nothing that is expected takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

static USERS: AtomicU32 = AtomicU32::new(0);

pub(crate) fn limits() -> Limits {
    Limits { queue_depth: DEPTH, lease: LEASE, ..Limits::default() }
}

pub(crate) fn config(url: String, replicas: usize) -> broker::nats::Config {
    broker::nats::Config { replicas, limits: limits(), ..broker::nats::Config::new(url) }
}

/// Runs cases that share a broker: all at once, or one after another. Fails
/// with the names of those that failed.
pub(crate) async fn run(broker: &Broker, cases: Vec<Case>, at_once: bool) {
    let mut failed = Vec::new();
    let width = if at_once { cases.len() } else { 1 };
    let mut runs = futures::stream::iter(cases)
        .map(async |(name, case)| {
            let world = World::new(broker.clone());
            let ended = AssertUnwindSafe(case(&world)).catch_unwind().await;
            ended.is_err().then_some(name)
        })
        .buffer_unordered(width.max(1));
    while let Some(ended) = runs.next().await {
        failed.extend(ended);
    }
    assert!(failed.is_empty(), "failed: {}", failed.join(", "));
}

/// A case with its name.
pub(crate) type Case = (&'static str, for<'a> fn(&'a World) -> BoxFuture<'a, ()>);

pub(crate) struct World {
    pub(crate) broker: Broker,
    user: String,
}

impl World {
    pub(crate) fn new(broker: Broker) -> Self {
        let number = USERS.fetch_add(1, Ordering::Relaxed);
        Self { broker, user: format!("user-{number}") }
    }

    /// A session of this case's own user.
    pub(crate) fn session(&self, id: &str) -> Session {
        Session::parse(&self.user, id).unwrap()
    }

    /// A session of another user, who is this case's own too.
    pub(crate) fn of(&self, user: &str, id: &str) -> Session {
        let mut user = format!("{}{user}", self.user);
        while user.len() > 128 {
            user.pop();
        }
        Session::parse(&user, id).unwrap()
    }

    /// Somebody who writes a session's first turn.
    pub(crate) fn speaker(&self, session: &Session) -> Speaker<'_> {
        Speaker {
            world: self,
            session: session.clone(),
            last: Sequence::START,
            began: 0,
            turn: TurnId::new(),
        }
    }

    /// A session with entries `0`, `1`, … and where they stand.
    pub(crate) async fn chain(&self, session: &Session, entries: usize) -> Vec<Sequence> {
        let mut speaker = self.speaker(session);
        let mut places = Vec::new();
        for number in 0..entries {
            places.push(speaker.say(&number.to_string()).await);
        }
        places
    }

    /// Entries after a place, once there are so many.
    pub(crate) async fn read(
        &self,
        session: &Session,
        after: Sequence,
        count: usize,
    ) -> Vec<Stored> {
        let read = async {
            loop {
                // A read may lag behind.
                let read = self.broker.log.read(session, after, 10_000).await.unwrap();
                if read.len() >= count {
                    return read;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        soon(read).await
    }

    pub(crate) async fn follow(&self, session: &Session, from: From) -> Follow {
        let log = std::sync::Arc::clone(&self.broker.log);
        soon(Follow::open(log, session.clone(), from)).await.unwrap()
    }

    pub(crate) fn position(&self, sequence: Sequence) -> Position {
        Position { epoch: self.broker.log.epoch(), sequence }
    }

    /// Submits a new job that says `text`; returns it with its place.
    pub(crate) async fn submit(&self, session: &Session, text: &str) -> (Job, Sequence) {
        let job = job(session, text);
        let queue = &self.broker.queue;
        match soon(queue.submit(session, &job, Admission::Enqueue)).await {
            Ok(Submitted::Accepted(sequence)) => (job, sequence),
            other => panic!("{text} was not accepted: {other:?}"),
        }
    }

    /// The next job.
    pub(crate) async fn next(&self) -> Delivery {
        soon(self.broker.queue.next()).await.unwrap()
    }

    /// Takes the next job and acknowledges it; what it said.
    pub(crate) async fn work(&self) -> String {
        let delivery = self.next().await;
        soon(delivery.lease.acknowledge()).await.unwrap();
        said(&delivery.job)
    }

    /// Nothing comes for so long.
    pub(crate) async fn nothing_comes(&self, time: Duration) {
        if let Ok(delivery) = timeout(time, self.broker.queue.next()).await {
            panic!("nothing was to come, but {:?}", delivery.unwrap().job);
        }
    }

    /// The queue is empty, once acknowledgements have arrived.
    pub(crate) async fn all_done(&self) {
        soon(async {
            while self.broker.queue.depth().await.unwrap() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// Writes a turn, each entry after the one before.
pub(crate) struct Speaker<'a> {
    world: &'a World,
    session: Session,
    pub(crate) last: Sequence,
    began: u64,
    turn: TurnId,
}

impl Speaker<'_> {
    /// The next entry, not stored.
    pub(crate) fn entry(&self, kind: event::Kind) -> Entry {
        let ending = kind.ending().unwrap_or_default();
        let status = match ending {
            Ending::Unspecified => Status::Running,
            Ending::Interrupted => Status::Interrupted,
            Ending::Completed | Ending::Failed | Ending::Cancelled => Status::Idle,
        };
        Entry {
            version: proto::FORMAT,
            follows: self.last.0,
            turn_id: self.turn.to_string(),
            attempt: 1,
            events: vec![Event::from(kind)],
            state: Some(SessionState {
                status: status.into(),
                turn_id: self.turn.to_string(),
                attempt: 1,
                began: self.began,
                ending: ending.into(),
                ..SessionState::default()
            }),
        }
    }

    pub(crate) async fn tell(&mut self, kind: event::Kind) -> Sequence {
        let entry = self.entry(kind);
        let log = self.world.broker.log.as_ref();
        match soon(broker::append(log, &self.session, &entry)).await {
            Ok(Outcome::Stored(sequence)) => self.last = sequence,
            other => panic!("{:?} was not stored: {other:?}", entry.events),
        }
        if self.began == 0 {
            self.began = self.last.0;
        }
        self.last
    }

    pub(crate) async fn say(&mut self, text: &str) -> Sequence {
        self.tell(event::Kind::Text(text.to_owned())).await
    }

    /// Ends the turn; what follows is another one.
    pub(crate) async fn complete(&mut self) -> Sequence {
        let ended = self.tell(event::Kind::Completed(proto::Completed::default())).await;
        self.began = 0;
        self.turn = TurnId::new();
        ended
    }

    /// Erases the session: a tombstone, and nothing before it.
    pub(crate) async fn delete(&mut self) -> Sequence {
        let mut entry = self.entry(event::Kind::Deleted(proto::Deleted {}));
        entry.state = Some(SessionState { status: Status::Idle.into(), ..SessionState::default() });
        let log = self.world.broker.log.as_ref();
        match soon(broker::append(log, &self.session, &entry)).await {
            Ok(Outcome::Stored(sequence)) => self.last = sequence,
            other => panic!("no tombstone was stored: {other:?}"),
        }
        soon(log.purge(&self.session, self.last)).await.unwrap();
        self.last
    }
}

/// A job of a new turn.
pub(crate) fn job(session: &Session, text: &str) -> Job {
    Job {
        version: proto::FORMAT,
        user_id: session.user.to_string(),
        session_id: session.id.to_string(),
        turn_id: TurnId::new().to_string(),
        system: text.to_owned(),
        ..Job::default()
    }
}

/// What a job says.
pub(crate) fn said(job: &Job) -> String {
    job.system.clone()
}

/// What an entry says, in a word.
pub(crate) fn text(entry: &Entry) -> String {
    match entry.events.first().and_then(|it| it.kind.as_ref()) {
        Some(event::Kind::Text(text)) => text.clone(),
        Some(other) => other.name().to_owned(),
        None => String::new(),
    }
}

pub(crate) fn texts(entries: &[Stored]) -> Vec<String> {
    entries.iter().map(|it| text(&it.entry)).collect()
}

/// `0`, `1`, … up to `count`.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|it| it.to_string()).collect()
}

/// What a reader sees next, in words: an entry's text, or `gap: reason`.
pub(crate) async fn sees(follow: &mut Follow) -> String {
    match soon(follow.next()).await.unwrap() {
        Followed::Entry(stored) => text(&stored.entry),
        Followed::Gap(event::Kind::Gap(gap)) => format!("gap: {}", gap.reason),
        Followed::Gap(other) => panic!("{other:?} is not a gap"),
    }
}

/// What a reader sees next, several times.
pub(crate) async fn sees_all(follow: &mut Follow, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..count {
        seen.push(sees(follow).await);
    }
    seen
}

/// What is expected to end.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future).await.expect("what was waited for comes in time")
}
