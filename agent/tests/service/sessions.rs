//! What a session remembers, and what happens when the store does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use broker::sqlite::Place;
use broker::{Bucket, Error, Expected, Key, Record, Records};
use bytes::Bytes;
use prost::Message as _;
use proto::{AskRequest, Job, Session};
use testkit::model::{Script, echo};

use crate::world::{Answer, World, message, question, records, until};

/// A store that refuses so many times before it does its work.
#[derive(Debug)]
struct Refusing {
    inner: Arc<dyn Records>,
    reads: AtomicUsize,
    writes: AtomicUsize,
    with: Error,
}

impl Refusing {
    async fn new(reads: usize, writes: usize, with: Error) -> Arc<Self> {
        Arc::new(Self { inner: records().await, reads: reads.into(), writes: writes.into(), with })
    }

    fn refuse(&self, left: &AtomicUsize) -> broker::Result<()> {
        let one_less = |it: usize| it.checked_sub(1);
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(self.with.clone()),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Records for Refusing {
    async fn get(&self, bucket: Bucket, key: &Key) -> broker::Result<Option<Record>> {
        self.refuse(&self.reads)?;
        self.inner.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> broker::Result<u64> {
        self.refuse(&self.writes)?;
        self.inner.put(bucket, key, value, expected).await
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> broker::Result<()> {
        self.inner.delete(bucket, key).await
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> broker::Result<Vec<Key>> {
        self.inner.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> broker::Result<Vec<Key>> {
        self.inner.all(bucket).await
    }
}

#[tokio::test]
async fn the_second_question_of_a_session_knows_the_first() {
    let world = World::new().await;
    world.answer(question("one")).await;
    let second = world.answer(question("two")).await;
    assert_eq!(second.text(), echo("two", 2));
    let told = &world.model.calls()[1].body["messages"];
    let contents: Vec<_> = told.as_array().unwrap().iter().collect();
    assert_eq!(contents[1]["content"], "one");
    assert_eq!(contents[2]["content"], echo("one", 1));
    assert_eq!(contents[2]["role"], "assistant");
}

#[tokio::test]
async fn two_users_of_the_same_session_id_never_meet() {
    let world = World::new().await;
    world.answer(question("one")).await;
    for id in ["bob", "a.b", "*", ">"] {
        let mut other = question("two");
        other.user_id = id.to_owned();
        assert_eq!(world.answer(other).await.text(), echo("two", 1), "{id}");
    }
}

#[tokio::test]
async fn earlier_messages_are_the_history_of_a_session_that_has_none() {
    let world = World::new().await;
    let with_history = |content: &str| AskRequest {
        messages: vec![
            message("user", "before"),
            message("assistant", "yes?"),
            message("user", content),
        ],
        ..question("")
    };
    let first = world.answer(with_history("one")).await;
    assert_eq!(first.text(), echo("one", 2));
    let second = world.answer(with_history("two")).await;
    assert_eq!(second.text(), echo("two", 3), "before, one, two");
}

#[tokio::test]
async fn instructions_are_the_configured_ones_and_then_those_of_the_request() {
    let configured = |config: &mut agent::Config| config.system = Some("Be brief.".to_owned());
    let world = World::with(configured, records().await).await;
    world.answer(question("one")).await;
    let mut asked = question("two");
    asked.system = "Be loud.".to_owned();
    world.answer(asked).await;
    let system = |at: usize| world.model.calls()[at].body["messages"][0].clone();
    assert_eq!(system(0)["content"], "Be brief.");
    assert_eq!(system(1)["content"], "Be brief.\n\nBe loud.");
}

#[tokio::test]
async fn a_turn_that_is_run_again_is_remembered_once() {
    let store = records().await;
    let mut asked = question("one");
    asked.messages.insert(0, message("user", "before"));
    let first = World::with(|_| {}, Arc::clone(&store)).await;
    first.answer(asked.clone()).await;
    let restarted = World::with(|_| {}, store).await;
    let again = restarted.answer(asked).await;
    assert_eq!(again.text(), echo("one", 2), "it does not see itself");
    let second = restarted.answer(question("two")).await;
    assert_eq!(second.text(), echo("two", 3));
}

#[tokio::test]
async fn a_transcript_erased_while_a_turn_runs_does_not_come_back() {
    let session = Session::parse("ann", "s").unwrap();
    for known in [false, true] {
        let broker = broker::sqlite::open(Place::Memory, broker::Limits::default()).await.unwrap();
        let stored = async || {
            let record = broker.records.get(Bucket::Transcripts, &Key::session(&session)).await;
            let record = record.unwrap().expect("a transcript");
            proto::Transcript::decode(record.value).unwrap()
        };
        let world = World::with(|_| {}, Arc::clone(&broker.records)).await;
        if known {
            world.answer(question("one")).await;
            assert_eq!(stored().await.turns.len(), 1);
        }
        let held = Script { tokens: Some(3), hold_after: Some(2), ..Script::default() };
        let mut events = world.ask(question(&held.question())).await.unwrap();
        until(&mut events, 2).await;
        let job = Job {
            version: proto::FORMAT,
            user_id: "ann".to_owned(),
            session_id: "s".to_owned(),
            turn_id: proto::TurnId::new().to_string(),
            ..Job::default()
        };
        broker.queue.submit(&session, &job, broker::Admission::Enqueue).await.unwrap();
        let erased = broker::erase(&broker, &session).await;
        assert!(matches!(erased, Ok(broker::Erased::Done(_))), "{erased:?}");
        world.model.release();
        assert!(Answer::read(events).await.completed());
        assert_eq!(stored().await.turns, [], "known: {known}");
        let next = world.answer(question("two")).await;
        assert_eq!(next.text(), echo("two", 1), "it starts empty");
        assert_eq!(stored().await.turns.len(), 1, "and is remembered");
    }
}

#[tokio::test]
async fn a_conflict_and_a_short_outage_of_the_store_are_waited_out() {
    for error in [Error::Conflict, Error::Unavailable("no leader".to_owned())] {
        let reads = usize::from(error != Error::Conflict);
        let store = Refusing::new(reads, 2, error).await;
        let world = World::with(|_| {}, store).await;
        assert!(world.answer(question("one")).await.completed());
        let second = world.answer(question("two")).await;
        assert_eq!(second.text(), echo("two", 2));
    }
}

#[tokio::test]
async fn without_its_past_a_turn_fails_before_the_model_is_asked() {
    let broken = Error::Corrupt("the disk".to_owned());
    let world = World::with(|_| {}, Refusing::new(1, 0, broken).await).await;
    let answer = world.answer(question("one")).await;
    assert_eq!(answer.failure(), ("store_unavailable", false));
    assert!(world.model.calls().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_stored_is_not_completed() {
    let broken = Error::Corrupt("the disk".to_owned());
    let world = World::with(|_| {}, Refusing::new(0, 1, broken).await).await;
    let asked = question(&Script { tokens: Some(2), ..Script::default() }.question());
    let answer = world.answer(asked).await;
    assert_eq!(answer.text(), "t0 t1 ");
    assert_eq!(answer.failure(), ("store_unavailable", true));
}
