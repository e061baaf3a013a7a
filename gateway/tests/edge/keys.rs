//! `Idempotency-Key`: what a key was used for is known without a look at the
//! log, and outlives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use broker::{
    Admission, AppendError, Broker, Bucket, Delivery, Epoch, Error, Key, Live, Log, Pending, Queue,
    Result, Sequence, Stored, Submitted,
};
use bytes::Bytes;
use gateway::Config;
use proto::{Job, Session};
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{Edge, problem, session};

/// A broker that counts how often the log was read, and whose queue may be lost.
#[derive(Debug)]
struct Counted {
    broker: Broker,
    reads: AtomicUsize,
    lost: AtomicBool,
}

#[async_trait]
impl Log for Counted {
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
        self.broker.log.last(session).await
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.broker.log.read(session, after, most).await
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        self.broker.log.live(session).await
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        self.broker.log.purge(session, before).await
    }
}

#[async_trait]
impl Queue for Counted {
    async fn submit(&self, session: &Session, job: &Job, to: Admission) -> Result<Submitted> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("on purpose".into()));
        }
        self.broker.queue.submit(session, job, to).await
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
        self.broker.queue.depth().await
    }
}

async fn counted() -> (Edge, Arc<Counted>) {
    let limits = broker::Limits::default();
    let broker = broker::sqlite::open(broker::sqlite::Place::Memory, limits).await.unwrap();
    let (reads, lost) = (AtomicUsize::new(0), AtomicBool::new(false));
    let counted = Arc::new(Counted { broker: broker.clone(), reads, lost });
    let queue = Arc::clone(&counted) as Arc<dyn Queue>;
    let broker = Broker { queue, log: Arc::clone(&counted) as Arc<dyn Log>, ..broker };
    (Edge::on(Config::default(), broker).await, counted)
}

async fn ask(edge: &Edge, input: &str, key: &str) -> Response {
    let request = edge.ask(input).header("idempotency-key", key);
    request.header("prefer", "respond-async").send().await.unwrap()
}

async fn turn(response: Response) -> Value {
    assert_eq!(response.status(), 202);
    response.json::<Value>().await.unwrap()["turnId"].clone()
}

/// Plays a turn to its end.
async fn play(edge: &Edge) {
    let mut work = edge.work().await;
    work.text("Because").await;
    work.complete().await;
    work.settle().await;
}

/// Waits until it is noted that the key's question was accepted.
async fn noted(edge: &Edge) {
    let records = &edge.broker.records;
    loop {
        let keys = records.list(Bucket::Keys, &Key::session(&session())).await.unwrap();
        let record = records.get(Bucket::Keys, &keys[0]).await.unwrap().unwrap();
        let record: Value = serde_json::from_slice(&record.value).unwrap();
        if record["accepted"] == true {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_new_key_costs_no_look_through_the_log() {
    let (edge, counted) = counted().await;
    for round in 0..5 {
        turn(ask(&edge, "Why?", &format!("k{round}")).await).await;
        play(&edge).await;
        assert_eq!(counted.reads.load(Ordering::SeqCst), 0, "round {round}");
    }
    turn(ask(&edge, "Why?", "k0").await).await;
    assert!(counted.reads.load(Ordering::SeqCst) > 0, "an old key is looked up");
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_key_outlives_the_log_and_starts_nothing_new() {
    let (edge, _) = counted().await;
    let first = turn(ask(&edge, "Why?", "k").await).await;
    play(&edge).await;
    noted(&edge).await;
    let end = Sequence(edge.last().await.sequence.0 + 1);
    edge.broker.log.purge(&session(), end).await.unwrap();
    let refusal = problem(ask(&edge, "Why?", "k").await, 410).await;
    assert_eq!(refusal["type"], "urn:weir:problem:turn_expired");
    assert_eq!(refusal["turnId"], first);
    let refusal = problem(ask(&edge, "Another?", "k").await, 422).await;
    assert_eq!(refusal["turnId"], first);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_gateway_that_dies_between_key_and_question_leaves_the_key_open() {
    let (edge, counted) = counted().await;
    counted.lost.store(true, Ordering::SeqCst);
    let refusal = problem(ask(&edge, "Why?", "k").await, 503).await;
    counted.lost.store(false, Ordering::SeqCst);
    problem(ask(&edge, "Another?", "k").await, 422).await;
    let other = edge.another().await;
    for edge in [&other, &edge] {
        assert_eq!(turn(ask(edge, "Why?", "k").await).await, refusal["turnId"]);
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_of_yesterday_is_new_again_unless_the_log_has_its_turn() {
    let (edge, _) = counted().await;
    let first = turn(ask(&edge, "Why?", "k").await).await;
    play(&edge).await;
    noted(&edge).await;
    let records = &edge.broker.records;
    let key = &records.list(Bucket::Keys, &Key::session(&session())).await.unwrap()[0];
    let record = records.get(Bucket::Keys, key).await.unwrap().unwrap();
    let mut value: Value = serde_json::from_slice(&record.value).unwrap();
    value["at"] = json!(value["at"].as_u64().unwrap() - 25 * 60 * 60);
    let value = serde_json::to_vec(&value).unwrap().into();
    records.put(Bucket::Keys, key, value, broker::Expected::Any).await.unwrap();
    assert_eq!(turn(ask(&edge, "Why?", "k").await).await, first);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
    problem(ask(&edge, "Another?", "k").await, 422).await;
}

#[tokio::test]
async fn a_refused_question_may_be_asked_again_with_its_key() {
    let (edge, _) = counted().await;
    turn(ask(&edge, "One?", "one").await).await;
    for _ in 0..2 {
        let refusal = problem(ask(&edge, "Two?", "two").await, 409).await;
        assert_eq!(refusal["type"], "urn:weir:problem:turn_in_progress");
    }
    // It leaves nothing behind, so that the key is free for another question.
    let records = &edge.broker.records;
    let keys = records.list(Bucket::Keys, &Key::session(&session())).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    problem(ask(&edge, "Three?", "two").await, 409).await;
    play(&edge).await;
    turn(ask(&edge, "Two?", "two").await).await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 1);
}
