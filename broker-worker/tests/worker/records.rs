//! What a list of conversations would show of a session, turn by turn, also when
//! workers die, sessions are erased and the store of records fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{Admission, Broker, Bucket, Erased, Error, Expected, Key, Record, Records, erase};
use bytes::Bytes;
use process::Lifecycle;
use prost::Message as _;
use proto::{
    CancelRequested, Completed, Deleted, Ending, Event, Job, Resume, Resumed, SessionRecord,
    Started, Status, event,
};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::agent::{Line, completed, ended, rewind_to, said, text, tool_call};
use crate::shop::{Shop, work};
use crate::spoken;

/// Longer than anything here may take.
const SOON: Duration = Duration::from_secs(10);

/// A session's record, with its revision.
async fn find(shop: &Shop) -> Option<(SessionRecord, u64)> {
    let found = shop.broker.records.get(Bucket::Sessions, &Key::session(&shop.session)).await;
    found.unwrap().map(|it| (SessionRecord::decode(it.value).unwrap(), it.revision))
}

/// The record, once it is so.
async fn until(shop: &Shop, so: impl Fn(&SessionRecord) -> bool) -> SessionRecord {
    loop {
        if let Some((record, _)) = find(shop).await
            && so(&record)
        {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

/// The record of a session whose jobs are all done.
async fn done(shop: &Shop) -> SessionRecord {
    shop.until_empty().await;
    find(shop).await.unwrap().0
}

async fn put(shop: &Shop, record: &SessionRecord, expected: Expected) {
    let (key, value) = (Key::session(&shop.session), record.encode_to_vec().into());
    shop.broker.records.put(Bucket::Sessions, &key, value, expected).await.unwrap();
}

fn started(input: &str) -> event::Kind {
    event::Kind::Started(Started { input: input.to_owned(), ..Started::default() })
}

#[tokio::test]
async fn a_turn_is_shown_while_it_runs_and_when_it_has_ended() {
    let pause = Line::Pause(Duration::from_millis(300));
    let shop = Shop::new(vec![vec![text(1, "Be"), pause, text(2, "cause"), completed(3)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let runs = until(&shop, |_| true).await;
    assert_eq!((runs.status(), runs.ending()), (Status::Running, Ending::Unspecified));
    assert_eq!((runs.turn_id, runs.question.as_str()), (turn.to_string(), "why?"));
    let record = done(&shop).await;
    assert_eq!((record.status(), record.ending()), (Status::Idle, Ending::Completed));
    assert_eq!((record.title.as_str(), record.answer.as_str()), ("why?", "Because"));
    assert_eq!(record.created, runs.created);
    let last = shop.last().await;
    let place = (shop.broker.log.epoch().0, last.sequence.0);
    assert_eq!((record.epoch, record.sequence), place);
}

#[tokio::test]
async fn the_answer_of_a_turn_that_was_taken_over_is_whole() {
    let shop = Shop::new(vec![vec![text(5, "e"), completed(6)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, started("why?")).await;
    for (index, piece) in [(1, "a"), (4, "bcd")] {
        let kind = Some(event::Kind::Text(piece.to_owned()));
        shop.say_event(&turn, 0, Event { index, kind }).await;
    }
    shop.work();
    assert_eq!(done(&shop).await.answer, "abcde");
}

#[tokio::test]
async fn what_was_taken_back_is_not_in_the_answer() {
    let broken = Line::Break(Code::Unavailable);
    let first = vec![said(7, 1, "a"), tool_call(7, 2), said(7, 3, "lost"), broken];
    let second = vec![rewind_to(9, 2), said(9, 3, "b"), ended(9, 4)];
    let shop = Shop::with(2, vec![first, second], Duration::from_hours(1)).await;
    shop.submit(Admission::IfEmpty).await;
    shop.work();
    assert_eq!(done(&shop).await.answer, "a\n\nb");
}

#[tokio::test]
async fn a_title_that_somebody_chose_stays() {
    let held = || vec![text(1, "one"), Line::Hold];
    let shop = Shop::new(vec![held(), vec![text(1, "two"), completed(2)]]).await;
    let first = shop.submit(Admission::Enqueue).await;
    shop.work();
    shop.until(|events| spoken(events) == "one").await;
    until(&shop, |it| it.status() == Status::Running).await;
    // While the turn runs, and the worker knows another revision.
    let (record, revision) = find(&shop).await.unwrap();
    let named = SessionRecord { title: "mine".to_owned(), named: true, ..record };
    put(&shop, &named, Expected::Revision(revision)).await;
    shop.say(&first, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    let record = done(&shop).await;
    assert_eq!((record.title.as_str(), record.named), ("mine", true));
    assert_eq!((record.ending(), record.answer.as_str()), (Ending::Cancelled, "one"));
    shop.submit(Admission::Enqueue).await;
    let record = done(&shop).await;
    assert_eq!((record.title.as_str(), record.answer.as_str()), ("mine", "two"));
}

#[tokio::test]
async fn turns_that_no_agent_works_on_are_shown_too() {
    // One that was stopped before it began.
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    shop.work();
    let record = done(&shop).await;
    assert_eq!((record.ending(), record.question.as_str()), (Ending::Cancelled, "why?"));
    // One that is hopeless.
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, started("why?")).await;
    let kind = Some(event::Kind::Text("so far".to_owned()));
    shop.say_event(&turn, 0, Event { index: 1, kind }).await;
    for _ in 0..5 {
        shop.say(&turn, 0, event::Kind::Resumed(Resumed {})).await;
    }
    shop.work();
    let record = done(&shop).await;
    assert_eq!((record.ending(), record.answer.as_str()), (Ending::Failed, "so far"));
    assert!(record.error.contains("made no progress"), "{}", record.error);
}

#[tokio::test]
async fn a_turn_that_lost_its_job_has_ended_in_the_list_before_the_next_begins() {
    let shop = Shop::new(vec![vec![text(1, "gone"), Line::Hold]]).await;
    let lost = proto::TurnId::new();
    shop.say(&lost, 1, started("lost?")).await;
    shop.say_event(&lost, 1, Event { index: 1, kind: Some(event::Kind::Text("half".into())) })
        .await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let record = until(&shop, |it| it.turn_id == turn.to_string()).await;
    assert_eq!((record.title.as_str(), record.answer.as_str()), ("lost?", "half"));
    assert_eq!((record.question.as_str(), record.status()), ("why?", Status::Running));
}

#[tokio::test]
async fn decisions_keep_the_question_that_they_are_about() {
    let shop = Shop::new(vec![vec![completed(1)], vec![text(1, "done"), completed(2)]]).await;
    let asked = shop.submit(Admission::IfEmpty).await;
    shop.work();
    done(&shop).await;
    let resume = Some(Resume { turn_id: asked.to_string(), ..Resume::default() });
    let job = Job { messages: vec![], resume, ..shop.job() };
    shop.broker.queue.submit(&shop.session, &job, Admission::Enqueue).await.unwrap();
    let record = done(&shop).await;
    assert_eq!((record.turn_id, record.question), (job.turn_id, "why?".to_owned()));
    assert_eq!(record.answer, "done");
}

/// A worker died between the end of its turn and the record, or later.
#[tokio::test]
async fn who_finds_a_turn_ended_sees_to_its_record() {
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 1, started("why?")).await;
    shop.say_event(&turn, 1, Event { index: 1, kind: Some(event::Kind::Text("yes".into())) }).await;
    shop.say(&turn, 1, event::Kind::Completed(Completed::default())).await;
    let end = shop.last().await.sequence.0;
    // Something else may be the last entry.
    let other = proto::TurnId::new();
    shop.say(&other, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    shop.work();
    let record = done(&shop).await;
    assert_eq!((record.question.as_str(), record.answer.as_str()), ("why?", "yes"));
    assert_eq!((record.ending(), record.sequence), (Ending::Completed, end));
    assert!(shop.calls().is_empty());
}

#[tokio::test]
async fn a_record_that_says_it_all_is_not_written_again() {
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 1, started("why?")).await;
    shop.say(&turn, 1, event::Kind::Completed(Completed::default())).await;
    let record = SessionRecord {
        turn_id: turn.to_string(),
        ending: Ending::Completed.into(),
        answer: "known".to_owned(),
        epoch: shop.broker.log.epoch().0,
        sequence: shop.last().await.sequence.0,
        ..SessionRecord::default()
    };
    put(&shop, &record, Expected::Absent).await;
    let before = find(&shop).await;
    shop.work();
    shop.until_empty().await;
    assert_eq!(find(&shop).await, before);
}

#[tokio::test]
async fn a_session_that_is_erased_under_its_turn_leaves_no_record() {
    let shop = Shop::new(vec![vec![text(1, "gone"), Line::Hold]]).await;
    shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "gone").await;
    until(&shop, |it| it.status() == Status::Running).await;
    let Ok(Erased::Done(removed)) = erase(&shop.broker, &shop.session).await else { panic!() };
    assert_eq!(removed.records, 1);
    shop.until_hung_up().await;
    assert_eq!(find(&shop).await, None);
}

#[tokio::test]
async fn the_record_of_an_erased_session_goes_with_the_job_that_comes_again() {
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 1, started("why?")).await;
    let (epoch, sequence) = (shop.broker.log.epoch().0, shop.last().await.sequence.0);
    let old = SessionRecord { epoch, sequence, ..SessionRecord::default() };
    put(&shop, &old, Expected::Absent).await;
    shop.say(&turn, 0, event::Kind::Deleted(Deleted {})).await;
    shop.work();
    shop.until_empty().await;
    assert_eq!(find(&shop).await, None);
}

/// Records of sessions that come late: each change waits for a permit.
#[derive(Debug)]
struct Late {
    inner: Arc<dyn Records>,
    arrived: Semaphore,
    permits: Semaphore,
    /// So many changes are refused.
    refused: AtomicUsize,
    deleted: Semaphore,
}

#[async_trait]
impl Records for Late {
    async fn get(&self, bucket: Bucket, key: &Key) -> broker::Result<Option<Record>> {
        self.inner.get(bucket, key).await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> broker::Result<u64> {
        let one_less = |it: usize| it.checked_sub(1);
        if self.refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            return Err(Error::Unavailable("on purpose".to_owned()));
        }
        self.arrived.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
        self.inner.put(bucket, key, value, expected).await
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> broker::Result<()> {
        self.inner.delete(bucket, key).await?;
        self.deleted.add_permits(1);
        Ok(())
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> broker::Result<Vec<Key>> {
        self.inner.list(bucket, prefix).await
    }

    async fn all(&self, bucket: Bucket) -> broker::Result<Vec<Key>> {
        self.inner.all(bucket).await
    }
}

/// A worker whose records come late.
fn work_late(shop: &Shop, refused: usize) -> Arc<Late> {
    work_late_until(shop, refused, &shop.life)
}

/// One that stops with a process of its own.
fn work_late_until(shop: &Shop, refused: usize, life: &Lifecycle) -> Arc<Late> {
    let (none, inner) = (|| Semaphore::new(0), Arc::clone(&shop.broker.records));
    let refused = refused.into();
    let late = Late { inner, arrived: none(), permits: none(), refused, deleted: none() };
    let late = Arc::new(late);
    let records = Arc::clone(&late) as Arc<dyn Records>;
    work(shop.config(), Broker { records, ..shop.broker.clone() }, life);
    late
}

#[tokio::test]
async fn a_record_that_comes_after_its_session_was_erased_is_taken_away_again() {
    // It comes with the beginning of the turn, or only with its end.
    for refused in [0, 1] {
        let script = if refused == 0 { vec![Line::Hold] } else { vec![completed(1)] };
        let shop = Shop::new(vec![script]).await;
        shop.submit(Admission::IfEmpty).await;
        let late = work_late(&shop, refused);
        late.arrived.acquire().await.unwrap().forget();
        assert!(matches!(erase(&shop.broker, &shop.session).await, Ok(Erased::Done(_))));
        assert_eq!(find(&shop).await, None);
        late.permits.add_permits(1);
        timeout(SOON, late.deleted.acquire()).await.unwrap().unwrap().forget();
        assert_eq!(find(&shop).await, None);
    }
}

#[tokio::test]
async fn a_record_that_was_erased_meanwhile_is_not_made_again() {
    let shop = Shop::new(vec![vec![completed(1)]]).await;
    shop.submit(Admission::IfEmpty).await;
    let process = Lifecycle::new();
    let late = work_late_until(&shop, 0, &process);
    late.permits.add_permits(1);
    for _ in 0..2 {
        late.arrived.acquire().await.unwrap().forget();
    }
    assert!(find(&shop).await.is_some(), "the beginning is written, the end is to be");
    assert!(matches!(erase(&shop.broker, &shop.session).await, Ok(Erased::Done(_))));
    late.permits.add_permits(9);
    process.drain();
    process.wait(Duration::from_secs(10)).await.unwrap();
    assert_eq!(late.arrived.available_permits(), 0, "it was not even tried");
    assert_eq!(find(&shop).await, None);
}

#[tokio::test]
async fn records_that_do_not_answer_hold_up_neither_the_answer_nor_the_job_for_long() {
    let shop = Shop::new(vec![vec![text(1, "yes"), completed(2)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let began = Instant::now();
    let late = work_late(&shop, 0);
    shop.until_end(&turn).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    late.arrived.acquire().await.unwrap().forget();
    timeout(SOON, shop.until_empty()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(find(&shop).await, None);
}
