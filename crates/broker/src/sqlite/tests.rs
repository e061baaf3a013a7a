//! What only the inside can show: time passing, failures and what is left.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use prost::Message as _;
use proto::{Entry, Event, Job, Session, TurnId, event};
use tokio::time::{Instant, advance, timeout};

use super::store::Store;
use super::{Place, log::Entries, queue::Jobs};
use crate::{
    Admission, AppendError, Error, Limits, Log, MAX_BUSY, Queue, Sequence, Signal, Submitted,
};

fn session() -> Session {
    Session::parse("ann", "s").unwrap()
}

async fn memory(limits: Limits) -> Arc<Store> {
    Store::open(Place::Memory, limits).await.unwrap().into()
}

fn entry(follows: Sequence, text: &str) -> bytes::Bytes {
    let entry = Entry {
        follows: follows.0,
        events: vec![Event::from(event::Kind::Text(text.to_owned()))],
        ..Entry::default()
    };
    entry.encode_to_vec().into()
}

fn job(text: &str) -> Job {
    Job {
        version: proto::FORMAT,
        user_id: "ann".to_owned(),
        session_id: "s".to_owned(),
        turn_id: TurnId::new().to_string(),
        system: text.to_owned(),
        ..Job::default()
    }
}

/// Ages everything stored so far.
async fn age(store: &Store, by: Duration) {
    let by = super::engine::millis(by);
    let aged = store.write(false, move |tx| {
        tx.execute("UPDATE finished SET finished_at = finished_at - ?1", [by])?;
        tx.execute("UPDATE entries SET stored_at = stored_at - ?1", [by])
    });
    aged.await.unwrap();
}

async fn count(store: &Store, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let counted = store.read(move |connection| connection.query_row(&sql, [], |row| row.get(0)));
    counted.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn entries_past_the_retention_expire_and_the_chain_starts_anew() {
    let limits = Limits::default();
    let store = memory(limits.clone()).await;
    let log = Entries::new(Arc::clone(&store));
    let session = session();
    let mut last = Sequence::START;
    for _ in 0..5_000 {
        last = log.append(&session, last, entry(last, "old")).await.unwrap();
    }
    age(&store, limits.retention + Duration::from_secs(1)).await;
    let young = log.append(&session, last, entry(last, "young")).await.unwrap();
    // Some at each sweep, so that nobody waits long.
    for _ in 0..4 {
        advance(Duration::from_secs(61)).await;
        log.last(&session).await.unwrap();
    }
    let read = log.read(&session, Sequence::START, 10).await.unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].sequence, young);
    age(&store, limits.retention + Duration::from_secs(1)).await;
    advance(Duration::from_secs(61)).await;
    assert_eq!(log.last(&session).await, Ok(None));
    let refused = log.append(&session, young, entry(young, "late")).await;
    assert_eq!(refused, Err(AppendError::Refused));
    let anew = log.append(&session, Sequence::START, entry(Sequence::START, "anew")).await.unwrap();
    assert!(anew > young);
}

#[tokio::test(start_paused = true)]
async fn a_finished_turn_is_remembered_for_15_minutes() {
    let store = memory(Limits::default()).await;
    let queue = Jobs::new(Arc::clone(&store));
    let once = job("once");
    for _ in 0..2 {
        let accepted = queue.submit(&session(), &once, Admission::Enqueue).await;
        assert!(matches!(accepted, Ok(Submitted::Accepted(_))), "{accepted:?}");
        let delivery = queue.next().await.unwrap();
        delivery.lease.acknowledge().await.unwrap();
        age(&store, Duration::from_mins(14)).await;
        advance(Duration::from_secs(61)).await;
        let again = queue.submit(&session(), &once, Admission::Enqueue).await;
        assert_eq!(again, Ok(Submitted::Duplicate));
        age(&store, Duration::from_mins(2)).await;
        advance(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_on_time_though_everybody_waits_without_a_job() {
    let limits = Limits::default();
    let queue = Jobs::new(memory(limits.clone()).await);
    queue.submit(&session(), &job("dies"), Admission::Enqueue).await.unwrap();
    let began = Instant::now();
    let (first, second) = tokio::join!(queue.next(), queue.next());
    assert_eq!(began.elapsed().as_secs(), limits.lease.as_secs());
    assert_eq!((first.unwrap().attempt, second.unwrap().attempt), (1, 2));
}

#[tokio::test]
async fn a_full_disk_refuses_and_undoes_the_batch_and_later_accepts_again() {
    let store = memory(Limits::default()).await;
    let (queue, log) = (Jobs::new(Arc::clone(&store)), Entries::new(Arc::clone(&store)));
    let pages = async |sql: &'static str| {
        let set = store.read(move |connection| connection.query_row(sql, [], |row| row.get(0)));
        let pages: i64 = set.await.unwrap();
        pages
    };
    // SQLite never goes below what is there.
    pages("PRAGMA max_page_count = 1").await;
    let large = job(&"x".repeat(100_000));
    for _ in 0..3 {
        let full = queue.submit(&session(), &large, Admission::Enqueue).await;
        assert!(matches!(full, Err(Error::NoRoom(_))), "{full:?}");
    }
    let text = "x".repeat(100_000);
    let start = Sequence::START;
    let full = log.append(&session(), start, entry(start, &text)).await;
    assert!(matches!(full, Err(AppendError::Failed(Error::NoRoom(_)))), "{full:?}");
    assert_eq!(log.last(&session()).await, Ok(None));
    assert_eq!(queue.depth().await, Ok(0));
    assert_eq!(count(&store, "free").await, 0);
    pages("PRAGMA max_page_count = 1000000").await;
    let accepted = queue.submit(&session(), &large, Admission::Enqueue).await;
    assert!(matches!(accepted, Ok(Submitted::Accepted(_))), "{accepted:?}");
    assert_eq!(queue.next().await.unwrap().job, large);
}

#[tokio::test]
async fn a_failure_answers_every_command_of_its_batch_and_stores_none() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let store = Store::open(place, Limits::default()).await.unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let hold = store.write(false, move |_| {
        started.send(()).unwrap();
        Ok(released.recv().is_ok())
    });
    let insert = |key: &'static str, fails: bool| {
        store.write(true, move |tx| {
            let sql = "INSERT INTO records VALUES ('keys', ?1, 1, x'00')";
            tx.execute(sql, [key])?;
            (!fails).then_some(()).ok_or(rusqlite::Error::InvalidQuery)
        })
    };
    // The three wait together while the writer is held up.
    let batch = async {
        running.await.unwrap();
        let mut batch = [insert("a", false), insert("b", true), insert("c", false)].map(Box::pin);
        for waiting in &mut batch {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        release.send(()).unwrap();
        futures::future::join_all(batch).await
    };
    let (let_go, outcomes) = tokio::join!(hold, batch);
    assert_eq!(let_go, Ok(true));
    for outcome in outcomes {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert_eq!(count(&store, "records").await, 0);
    assert_eq!(store.write(true, |_| Ok(())).await, Ok(()));
}

#[tokio::test]
async fn a_tail_that_lags_is_told_and_nothing_is_kept_for_one_who_left() {
    let store = memory(Limits::default()).await;
    let log = Entries::new(Arc::clone(&store));
    let mut slow = log.live(&session()).await.unwrap();
    let other = log.live(&session()).await.unwrap();
    assert_eq!(store.news.listened(), 1);
    drop(other);
    let mut last = Sequence::START;
    for _ in 0..100 {
        last = log.append(&session(), last, entry(last, "x")).await.unwrap();
    }
    assert_eq!(slow.next().await, Some(Signal::Missed));
    let mut heard = 0;
    while heard < last.0 {
        match slow.next().await.unwrap() {
            Signal::Entry(stored) => heard = stored.sequence.0,
            Signal::Missed => panic!("told twice"),
        }
    }
    drop(slow);
    assert_eq!(store.news.listened(), 0);
}

#[tokio::test]
async fn a_job_that_nobody_took_is_free_at_once() {
    let limits = Limits { lease: Duration::from_hours(1), ..Limits::default() };
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let store = Arc::new(Store::open(place, limits).await.unwrap());
    let queue = Jobs::new(store);
    let once = job("once");
    queue.submit(&session(), &once, Admission::Enqueue).await.unwrap();
    // Asked for, and left before the answer.
    for _ in 0..20 {
        if let Some(taken) = queue.next().now_or_never() {
            // The answer was faster.
            let lease = taken.unwrap().lease;
            lease.later(Duration::ZERO).await.unwrap();
        }
    }
    let delivery = timeout(Duration::from_secs(10), queue.next()).await;
    let delivery = delivery.unwrap().unwrap();
    assert_eq!(delivery.job, once);
    assert!(delivery.attempt > 1);
}

#[tokio::test]
async fn places_that_a_crash_left_open_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::Folder(folder.path().to_owned());
    let store = Store::open(place.clone(), Limits::default()).await.unwrap();
    let log = Entries::new(store.into());
    let start = Sequence::START;
    let lost = log.append(&session(), start, entry(start, "lost")).await.unwrap();
    // What a power cut leaves: all that was synced, and not the tail.
    let image = tempfile::tempdir().unwrap();
    for file in ["weir.db", "weir.db-wal"] {
        std::fs::copy(folder.path().join(file), image.path().join(file)).unwrap();
    }
    let file = rusqlite::Connection::open(image.path().join("weir.db")).unwrap();
    file.execute("DELETE FROM entries", []).unwrap();
    file.close().unwrap();
    let place = Place::Folder(image.path().to_owned());
    let store = Store::open(place, Limits::default()).await.unwrap();
    let log = Entries::new(store.into());
    let next = log.append(&session(), start, entry(start, "next")).await;
    assert!(next.unwrap() > Sequence(lost.0 + 1));
}

#[tokio::test(start_paused = true)]
async fn of_more_busy_sessions_than_its_limit_a_user_has_that_many() {
    let store = memory(Limits::default()).await;
    let jobs = Jobs::new(store);
    for number in 0..=MAX_BUSY {
        let session = Session::parse("ann", &number.to_string()).unwrap();
        let job = Job { session_id: session.id.to_string(), ..job("many") };
        jobs.submit(&session, &job, Admission::IfEmpty).await.unwrap();
    }
    let busy = jobs.busy(&session().user).await.unwrap();
    assert_eq!(busy.len(), MAX_BUSY);
    assert!(busy.is_sorted() && busy.iter().all(|it| it.1 == 1));
}
