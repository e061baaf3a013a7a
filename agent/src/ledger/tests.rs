//! What a ledger keeps, whom it lets write, and what it believes of a store
//! that does not answer.

mod inherit;

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;

use async_trait::async_trait;
use broker::{Broker, Limits, Result, erase, sqlite};
use futures::FutureExt as _;
use proto::{LedgerCallState, TurnId};
use tokio::sync::watch;

use super::*;
use crate::buffer::Buffer;

/// What becomes of a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is stored, and nobody hears of it.
    Unheard,
    /// It never arrives.
    Lost,
    /// It is stored, and the call never returns.
    Hangs,
}

/// A store whose answers get lost.
#[derive(Debug)]
struct Doubtful {
    inner: Arc<dyn Records>,
    fates: StdMutex<VecDeque<Fate>>,
}

#[async_trait]
impl Records for Doubtful {
    async fn get(&self, bucket: Bucket, key: &broker::Key) -> Result<Option<Record>> {
        self.inner.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &broker::Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<u64> {
        let fate = self.fates.lock().unwrap().pop_front();
        let gone = || broker::Error::Unavailable("no answer".to_owned());
        match fate {
            None => self.inner.put(bucket, key, value, expected).await,
            Some(Fate::Lost) => Err(gone()),
            Some(Fate::Unheard) => {
                self.inner.put(bucket, key, value, expected).await?;
                Err(gone())
            }
            Some(Fate::Hangs) => {
                self.inner.put(bucket, key, value, expected).await?;
                futures::future::pending().await
            }
        }
    }

    async fn delete(&self, bucket: Bucket, key: &broker::Key) -> Result<()> {
        self.inner.delete(bucket, key).await
    }

    async fn list(&self, bucket: Bucket, prefix: &broker::Key) -> Result<Vec<broker::Key>> {
        self.inner.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> Result<Vec<broker::Key>> {
        self.inner.all(bucket).await
    }
}

/// One turn and the store that its runs share.
struct World {
    broker: Broker,
    store: Arc<Doubtful>,
    ledgers: Ledgers,
    key: Key,
}

/// A run of the turn.
struct Run {
    book: Book,
    writer: Writer,
    events: watch::Receiver<Buffer>,
}

impl World {
    async fn new() -> Self {
        let broker = sqlite::open(sqlite::Place::Memory, Limits::default()).await.unwrap();
        let store =
            Arc::new(Doubtful { inner: Arc::clone(&broker.records), fates: StdMutex::default() });
        let ledgers = Ledgers::new(Arc::clone(&store) as Arc<dyn Records>);
        let key = Key { session: Session::parse("ann", "s").unwrap(), turn: TurnId::new() };
        Self { broker, store, ledgers, key }
    }

    /// The next puts go like this.
    fn fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.store.fates.lock().unwrap().extend(fates);
    }

    async fn run(&self, name: u32) -> Run {
        self.run_of(name, 0).await
    }

    async fn run_of(&self, name: u32, generation: u64) -> Run {
        let book = self
            .ledgers
            .open(&self.key, name, Since { generation, ..Since::default() })
            .await
            .unwrap();
        let (writer, events) = Writer::new(name);
        writer.open(book.inherited());
        Run { book, writer, events }
    }

    fn at(&self) -> broker::Key {
        of(&self.key.session, &self.key.turn.to_string())
    }

    async fn stored(&self) -> Option<Ledger> {
        let record = self.broker.records.get(Bucket::Ledgers, &self.at()).await.unwrap();
        record.map(|it| read(&it).unwrap())
    }

    async fn runs(&self) -> Vec<(u32, u32)> {
        self.stored().await.unwrap().runs.iter().map(|it| (it.run, it.last)).collect()
    }

    async fn put(&self, ledger: &Ledger) {
        let value = ledger.encode_to_vec().into();
        self.broker.records.put(Bucket::Ledgers, &self.at(), value, Expected::Any).await.unwrap();
    }

    /// The session's transcript is of this generation from now on.
    async fn renew(&self, generation: u64) {
        self.transcript(Transcript { version: FORMAT, generation, ..Transcript::default() }).await;
    }

    async fn transcript(&self, transcript: Transcript) {
        let (key, value) = (broker::Key::session(&self.key.session), transcript.encode_to_vec());
        let records = &self.broker.records;
        records.put(Bucket::Transcripts, &key, value.into(), Expected::Any).await.unwrap();
    }
}

impl Run {
    async fn write(&self, id: &str) -> std::result::Result<(), Unwritten> {
        let begun = |calls: &mut Vec<LedgerCall>| calls.push(begun(id));
        self.book.write(&self.writer, vec![text("?"), asked(id)], begun).await
    }

    fn said(&self) -> Vec<Kind> {
        self.writer.said()
    }
}

fn text(it: &str) -> Kind {
    Kind::Text(it.to_owned())
}

fn asked(id: &str) -> Kind {
    Kind::ToolCall(proto::ToolCall { call_id: id.to_owned(), ..proto::ToolCall::default() })
}

fn begun(id: &str) -> LedgerCall {
    let state = LedgerCallState::Begun.into();
    LedgerCall { call_id: id.to_owned(), state, ..LedgerCall::default() }
}

#[tokio::test]
async fn another_run_inherits_what_was_stored_and_the_first_one_cannot_write_any_more() {
    let world = World::new().await;
    let first = world.run(7).await;
    assert!(!first.book.exists() && first.book.inherited().is_none());
    first.writer.say(text("a")).unwrap();
    first.write("1").await.unwrap();
    assert!(first.book.exists());
    first.writer.say(text("only here")).unwrap();
    let second = world.run(9).await;
    assert!(second.book.exists());
    assert_eq!(second.book.inherited().unwrap().runs, [LedgerRun { run: 7, last: 3 }]);
    assert_eq!(second.book.calls().await, [begun("1")]);
    assert_eq!((second.writer.last(), second.said()), (3, vec![text("a?"), asked("1")]));
    let before = first.said();
    for _ in 0..2 {
        assert_eq!(first.write("2").await, Err(Unwritten::Superseded));
    }
    assert_eq!(first.said(), before, "nothing is said that is not stored");
    second.write("3").await.unwrap();
    assert_eq!(world.runs().await, [(7, 3), (9, 5)]);
    assert_eq!(world.stored().await.unwrap().calls, [begun("1"), begun("3")]);
}

#[tokio::test]
async fn of_two_runs_that_begin_at_once_one_writes() {
    let world = World::new().await;
    let (first, second) = (world.run(7).await, world.run(9).await);
    second.write("1").await.unwrap();
    assert_eq!(first.write("2").await, Err(Unwritten::Superseded));
    assert_eq!(first.said(), []);
    second.write("3").await.unwrap();
    assert_eq!(world.runs().await, [(9, 4)]);
}

#[tokio::test]
async fn a_put_that_was_stored_unheard_or_lost_is_neither_repeated_nor_a_conflict() {
    for fate in [Fate::Unheard, Fate::Lost] {
        let world = World::new().await;
        let first = world.run(7).await;
        for id in ["1", "2"] {
            world.fates([fate]);
            first.write(id).await.unwrap();
        }
        first.write("3").await.unwrap();
        assert_eq!(first.writer.last(), 6, "{fate:?}");
        assert_eq!(world.stored().await.unwrap().said, first.writer.pieces(&[]).unwrap());
        world.fates([fate]);
        let second = world.run(9).await;
        assert_eq!(second.book.inherited().unwrap().runs, [LedgerRun { run: 7, last: 6 }]);
        second.write("4").await.unwrap();
        assert_eq!(world.runs().await, [(7, 6), (9, 8)], "{fate:?}");
    }
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_has_said_nothing_and_the_next_one_replaces_it() {
    for before in [0, 1] {
        let world = World::new().await;
        let run = world.run(7).await;
        for _ in 0..before {
            run.write("before").await.unwrap();
        }
        let said = run.said();
        world.fates([Fate::Hangs]);
        let mut write = Box::pin(run.write("dropped"));
        loop {
            assert!(write.as_mut().now_or_never().is_none());
            if world.stored().await.is_some_and(|it| it.calls.last() == Some(&begun("dropped"))) {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(write);
        assert_eq!(run.said(), said);
        run.write("after").await.unwrap();
        let stored = world.stored().await.unwrap();
        assert_eq!(stored.calls.last(), Some(&begun("after")));
        assert_eq!(stored.calls.len(), before + 1);
        assert_eq!(stored.said, run.writer.pieces(&[]).unwrap());
    }
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_learns_that_another_one_came_after_it() {
    let world = World::new().await;
    let first = world.run(7).await;
    first.write("1").await.unwrap();
    world.fates([Fate::Hangs]);
    drop(first.write("2").now_or_never());
    let second = world.run(9).await;
    assert_eq!(first.write("3").await, Err(Unwritten::Superseded));
    second.write("4").await.unwrap();
    assert_eq!(world.runs().await.last().map(|it| it.0), Some(9));
}

/// A store that nobody reaches.
#[derive(Debug)]
struct Away;

#[async_trait]
impl Records for Away {
    async fn get(&self, bucket: Bucket, _: &broker::Key) -> Result<Option<Record>> {
        let there = bucket == Bucket::Ledgers;
        if there { Ok(None) } else { Err(broker::Error::Unavailable("away".to_owned())) }
    }

    async fn put(&self, _: Bucket, _: &broker::Key, _: Bytes, _: Expected) -> Result<u64> {
        Err(broker::Error::NoRoom("no room".to_owned()))
    }

    async fn delete(&self, _: Bucket, _: &broker::Key) -> Result<()> {
        Err(broker::Error::Unavailable("away".to_owned()))
    }

    async fn list(&self, _: Bucket, _: &broker::Key) -> Result<Vec<broker::Key>> {
        Err(broker::Error::Unavailable("away".to_owned()))
    }

    async fn all(&self, _: Bucket) -> Result<Vec<broker::Key>> {
        Err(broker::Error::Unavailable("away".to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn patience_with_the_store_has_an_end_and_then_nothing_was_said() {
    let ledgers = Ledgers::new(Arc::new(Away));
    let key = Key { session: Session::parse("ann", "s").unwrap(), turn: TurnId::new() };
    let book = ledgers.open(&key, 7, Since::default()).await.unwrap();
    let (writer, _events) = Writer::new(7);
    let began = Instant::now();
    let write = book.write(&writer, vec![text("a")], |calls| calls.push(begun("1"))).await;
    assert!(matches!(write, Err(Unwritten::Store(broker::Error::Unavailable(_)))), "{write:?}");
    assert_eq!(began.elapsed(), PATIENCE);
    assert_eq!((writer.last(), book.calls().await.len()), (0, 0));
    assert!(book.exists(), "it may");
    let began = Instant::now();
    ledgers.delete(&key.session, "t").await.unwrap_err();
    assert_eq!(began.elapsed(), SHORT_PATIENCE);
}

#[tokio::test]
async fn a_session_that_is_erased_meanwhile_keeps_nothing_of_the_turn() {
    let world = World::new().await;
    let run = world.run(7).await;
    world.renew(1).await;
    assert_eq!(run.write("1").await, Err(Unwritten::Superseded));
    assert_eq!((world.stored().await, run.said()), (None, vec![]));
    assert_eq!(run.write("2").await, Err(Unwritten::Superseded), "for good");
    assert_eq!(world.stored().await, None);

    let world = World::new().await;
    let run = world.run(7).await;
    run.write("1").await.unwrap();
    erase(&world.broker, &world.key.session).await.unwrap();
    assert_eq!(run.write("2").await, Err(Unwritten::Superseded));
    assert_eq!(world.stored().await, None);
}

#[tokio::test]
async fn a_run_whose_turn_was_replaced_before_its_first_write_keeps_and_says_nothing() {
    let world = World::new().await;
    let run = world.run(7).await;
    // The turn itself is gone from there.
    let replaced = vec![world.key.turn.to_string()];
    world.transcript(Transcript { replaced, replacements: 1, ..Transcript::default() }).await;
    assert_eq!(run.write("1").await, Err(Unwritten::Superseded));
    assert_eq!((world.stored().await, run.said()), (None, vec![]));
    let since = Since { replacements: 1, ..Since::default() };
    let book = world.ledgers.open(&world.key, 8, since).await.unwrap();
    let (writer, _events) = Writer::new(8);
    book.write(&writer, vec![text("a")], |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_ledger_of_another_generation_counts_as_none() {
    let world = World::new().await;
    world.run(7).await.write("1").await.unwrap();
    world.renew(2).await;
    let later = world.run_of(9, 2).await;
    assert!(later.book.inherited().is_none() && later.book.exists());
    assert_eq!((later.said(), later.book.calls().await), (vec![], vec![]));
    let emptied = world.stored().await.unwrap();
    assert_eq!((emptied.generation, emptied.said.len(), emptied.calls.len()), (2, 0, 0));
    // A run that read the transcript before the session was erased.
    let stale = world.run_of(8, 1).await;
    assert!(stale.book.inherited().is_none() && !stale.book.exists());
    assert_eq!(stale.write("2").await, Err(Unwritten::Superseded));
    later.write("3").await.unwrap();
    assert_eq!(world.runs().await, [(9, 2)]);
}

#[tokio::test]
async fn an_older_ledger_is_replaced_once_although_the_answer_is_lost() {
    let world = World::new().await;
    world.run(7).await.write("1").await.unwrap();
    world.renew(2).await;
    world.fates([Fate::Unheard]);
    let later = world.run_of(9, 2).await;
    assert!(later.book.inherited().is_none());
    later.write("2").await.unwrap();
    assert_eq!(world.runs().await, [(9, 2)]);
}

#[tokio::test]
async fn a_ledger_is_bounded_and_what_does_not_fit_is_not_said() {
    let world = World::new().await;
    let run = world.run(7).await;
    let fits = text(&"x".repeat(300 * 1024));
    run.book.write(&run.writer, vec![fits.clone(), asked("1")], |_| {}).await.unwrap();
    let last = run.writer.last();
    let more = vec![fits.clone(), fits];
    assert_eq!(run.book.write(&run.writer, more, |_| {}).await, Err(Unwritten::TooLong));
    let huge = vec![text(&"x".repeat(crate::buffer::MAX_BYTES))];
    assert_eq!(run.book.write(&run.writer, huge, |_| {}).await, Err(Unwritten::TooLong));
    assert_eq!(run.writer.last(), last);
    run.write("2").await.unwrap();
    assert!(world.stored().await.unwrap().encoded_len() <= MAX_BYTES);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_an_error_and_stays() {
    let world = World::new().await;
    let gap = proto::LedgerPiece { first: 2, ..proto::LedgerPiece::default() };
    for (spoiled, why) in [
        (Ledger { version: FORMAT + 1, ..Ledger::default() }, "newer"),
        (Ledger { said: vec![gap], ..Ledger::default() }, "gaps"),
    ] {
        world.put(&spoiled).await;
        let error = world.ledgers.open(&world.key, 7, Since::default()).await.unwrap_err();
        assert!(matches!(&error, broker::Error::Corrupt(it) if it.contains(why)), "{error}");
    }
    let records = &world.broker.records;
    let value = Bytes::from_static(b"\xff\xff");
    records.put(Bucket::Ledgers, &world.at(), value.clone(), Expected::Any).await.unwrap();
    let error = world.ledgers.open(&world.key, 7, Since::default()).await.unwrap_err();
    assert!(matches!(error, broker::Error::Corrupt(_)), "{error}");
    assert_eq!(records.get(Bucket::Ledgers, &world.at()).await.unwrap().unwrap().value, value);
}

#[tokio::test]
async fn calls_that_end_at_once_are_written_one_after_another() {
    let world = World::new().await;
    let run = world.run(7).await;
    let ids: Vec<_> = (0..8).map(|it| it.to_string()).collect();
    let written = futures::future::join_all(ids.iter().map(|id| run.write(id))).await;
    assert!(written.iter().all(|it| *it == Ok(())), "{written:?}");
    let mut calls: Vec<_> = run.book.calls().await.into_iter().map(|it| it.call_id).collect();
    calls.sort();
    assert_eq!(calls, ids);
    assert_eq!(world.stored().await.unwrap().said, run.writer.pieces(&[]).unwrap());
}

#[tokio::test]
async fn a_ledger_knows_the_runs_that_came_last() {
    let world = World::new().await;
    let first = world.run(1_000).await;
    first.write("1").await.unwrap();
    for name in 1..100 {
        world.run(name).await;
    }
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0], runs[63]), (MAX_RUNS, (36, 2), (99, 2)));
}

#[tokio::test]
async fn what_was_said_becomes_durable_without_a_word_and_text_behind_a_call_is_not_shared() {
    let world = World::new().await;
    let run = world.run(7).await;
    run.write("1").await.unwrap();
    run.writer.say(text("a")).unwrap();
    run.book.write(&run.writer, vec![], |_| {}).await.unwrap();
    let events = run.events.borrow().after(2);
    assert_eq!(events.and_then(|it| it.kind), Some(text("a")));
    // Who reads on may have "a" and what follows it as one.
    assert_eq!(world.runs().await, [(7, 2)]);
    let second = world.run(9).await;
    assert_eq!(second.said(), [text("?"), asked("1"), text("a")]);
    assert_eq!(world.runs().await, [(7, 2), (9, 2)]);
}

#[tokio::test]
async fn a_ledger_that_nobody_needs_is_removed() {
    let world = World::new().await;
    let run = world.run(7).await;
    run.write("1").await.unwrap();
    let turn = world.key.turn.to_string();
    for _ in 0..2 {
        world.ledgers.delete(&world.key.session, &turn).await.unwrap();
    }
    assert_eq!(world.stored().await, None);
    assert_eq!(run.write("2").await, Err(Unwritten::Superseded));
}
