//! How streams end when something else does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Admission, AppendError, Broker, Delivery, Epoch, Error, Live, Log, Pending, Queue, Result,
    Sequence, Signal, Stored, Submitted,
};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use gateway::Config;
use proto::{Job, Session};
use tokio::time::timeout;

use crate::harness::{Edge, Frames, PATIENCE, problem};

#[tokio::test]
async fn a_drain_cuts_turns_and_closes_sessions() {
    let edge = Edge::start().await;
    let turn = edge.ask("Why?").header("accept", "text/event-stream").send().await.unwrap();
    let mut turn = Frames::of(turn);
    let mut session = edge.events("&after=start").await;
    let mut work = edge.work().await;
    work.text("Because").await;
    turn.until("text").await;
    session.until("text").await;
    edge.life.drain();
    assert!(turn.next().await.is_err(), "a drained turn must not look ended");
    assert_eq!(session.next().await.unwrap(), None);
    let outcome = edge.life.wait(PATIENCE).await.unwrap();
    assert_eq!(outcome, process::Outcome::Drained);
}

#[tokio::test]
async fn a_drain_tells_who_waits_for_an_answer_where_it_stands() {
    let edge = Edge::start().await;
    let answer = edge.ask("Why?").send();
    let drain = async {
        let work = edge.work().await;
        edge.life.drain();
        work.delivery.turn.to_string()
    };
    let (response, turn) = tokio::join!(answer, drain);
    let refusal = problem(response.unwrap(), 503).await;
    assert_eq!(refusal["turnId"], turn);
}

/// A broker with a switch: once it is off, the log fails and submits are in
/// doubt.
#[derive(Debug)]
struct Faulty {
    broker: Broker,
    off: Arc<Off>,
}

/// What fails from now on.
#[derive(Debug, Default)]
struct Off {
    log: AtomicBool,
    queue: AtomicBool,
}

impl Faulty {
    fn check(&self) -> Result<()> {
        if self.off.log.load(Ordering::SeqCst) {
            return Err(Error::Corrupt("on purpose".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Log for Faulty {
    fn epoch(&self) -> Epoch {
        self.broker.log.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        self.broker.log.append(session, follows, entry).await
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        self.check()?;
        self.broker.log.last(session).await
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        self.check()?;
        self.broker.log.read(session, after, most).await
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        let ticks = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Signal::Missed, ()))
        });
        Ok(stream::select(self.broker.log.live(session).await?, ticks).boxed())
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        self.broker.log.purge(session, before).await
    }
}

#[async_trait]
impl Queue for Faulty {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> Result<Submitted> {
        if self.off.queue.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("on purpose".into()));
        }
        self.broker.queue.submit(session, job, admission).await
    }

    async fn next(&self) -> Result<Delivery> {
        self.broker.queue.next().await
    }

    async fn first(&self, session: &Session) -> Result<Option<Sequence>> {
        self.broker.queue.first(session).await
    }

    async fn pending(&self, session: &Session) -> Result<Vec<Pending>> {
        self.broker.queue.pending(session).await
    }

    async fn clear(&self, session: &Session) -> Result<u64> {
        self.broker.queue.clear(session).await
    }

    async fn busy(&self, user: &proto::UserId) -> Result<Vec<(proto::SessionId, u64)>> {
        self.broker.queue.busy(user).await
    }

    async fn depth(&self) -> Result<u64> {
        if self.off.queue.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.broker.queue.depth().await
    }
}

async fn faulty() -> (Edge, Arc<Off>) {
    let limits = broker::Limits::default();
    let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await.unwrap();
    let off = Arc::new(Off::default());
    let faulty = Arc::new(Faulty { broker: broker.clone(), off: Arc::clone(&off) });
    let broker = Broker { queue: Arc::clone(&faulty) as Arc<dyn Queue>, log: faulty, ..broker };
    let broker_timeout = Duration::from_millis(200);
    let config = Config { broker_timeout, ..Config::default() };
    (Edge::on(config, broker).await, off)
}

#[tokio::test]
async fn a_log_that_fails_cuts_the_stream() {
    let (edge, off) = faulty().await;
    let turn = edge.ask("Why?").header("accept", "text/event-stream").send().await.unwrap();
    let mut turn = Frames::of(turn);
    let mut work = edge.work().await;
    work.text("Because").await;
    turn.until("text").await;
    off.log.store(true, Ordering::SeqCst);
    assert!(turn.next().await.is_err());
}

#[tokio::test]
async fn a_submit_in_doubt_says_so_and_how_to_go_on() {
    let (edge, off) = faulty().await;
    off.queue.store(true, Ordering::SeqCst);
    for (key, advice) in [(Some("k"), "same Idempotency-Key"), (None, "look for its turn")] {
        let mut request = edge.ask("Why?").header("prefer", "respond-async");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "1");
        let refusal = problem(response, 503).await;
        let detail = refusal["detail"].as_str().unwrap();
        assert!(detail.starts_with("outcome unknown") && detail.contains(advice), "{detail}");
        assert!(refusal["turnId"].is_string());
    }
}

#[tokio::test]
async fn a_broker_that_hangs_makes_the_edge_unready_but_alive() {
    let (edge, off) = faulty().await;
    assert_eq!(edge.get("/readyz").send().await.unwrap().status(), 200);
    off.queue.store(true, Ordering::SeqCst);
    let unready = async {
        loop {
            let answer = edge.get("/readyz").send().await.unwrap();
            if answer.status() != 200 {
                return answer;
            }
        }
    };
    problem(timeout(PATIENCE, unready).await.expect("it looks again"), 503).await;
    assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200);
}
