//! What only a store in a file can show: it is still there.

use std::path::Path;
use std::time::Duration;

use broker::sqlite::{Place, open};
use broker::{Admission, Broker, Bucket, Error, Expected, From, Key, Limits, Result, Submitted};
use bytes::Bytes;
use prost::Message as _;
use proto::{DeadLetter, Session};
use rusqlite::Connection;

use crate::world::{World, numbers, said, sees, sees_all, soon};

/// So long that only a void lease can explain a delivery.
const LEASE: Duration = Duration::from_hours(1);

async fn reopen(folder: &Path) -> Result<Broker> {
    let limits = Limits { lease: LEASE, ..Limits::default() };
    open(Place::Folder(folder.to_owned()), limits).await
}

fn session() -> Session {
    Session::parse("ann", "s").unwrap()
}

#[tokio::test]
async fn a_second_open_of_the_same_folder_is_refused_until_the_first_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = reopen(folder.path()).await.unwrap();
    let Err(Error::Unsuitable(why)) = reopen(folder.path()).await else {
        panic!("the folder was opened twice");
    };
    let name = folder.path().display().to_string();
    assert!(why.contains(&name) && why.contains("in use"), "{why}");
    drop(first);
    reopen(folder.path()).await.unwrap();
}

#[tokio::test]
async fn entries_and_their_positions_outlive_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let session = session();
    let world = World::new(reopen(folder.path()).await.unwrap());
    let places = world.chain(&session, 10).await;
    let epoch = world.broker.log.epoch();
    let third = world.position(places[3]);
    drop(world);

    let world = World::new(reopen(folder.path()).await.unwrap());
    assert_eq!(world.broker.log.epoch(), epoch);
    let mut follow = world.follow(&session, From::After(third)).await;
    assert_eq!(sees_all(&mut follow, 6).await, numbers(4..10));
    let mut speaker = world.speaker(&session);
    speaker.last = places[9];
    assert!(speaker.say("more").await > places[9]);
    assert_eq!(sees(&mut follow).await, "more");
}

#[tokio::test]
async fn jobs_outlive_the_broker_and_their_leases_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(reopen(folder.path()).await.unwrap());
    let mut jobs = Vec::new();
    for number in numbers(0..5) {
        jobs.push(world.submit(&session(), &number).await.0);
    }
    let (done, held) = (world.next().await, world.next().await);
    assert_eq!(said(&held.job), "1");
    done.lease.acknowledge().await.unwrap();
    drop((world, held));

    let world = World::new(reopen(folder.path()).await.unwrap());
    let queue = &world.broker.queue;
    for known in &jobs {
        let again = queue.submit(&session(), known, Admission::Enqueue).await;
        assert_eq!(again, Ok(Submitted::Duplicate));
    }
    for (number, attempt) in [("1", 2), ("2", 1), ("3", 1), ("4", 1)] {
        let delivery = world.next().await;
        assert_eq!((said(&delivery.job).as_str(), delivery.attempt), (number, attempt));
        delivery.lease.acknowledge().await.unwrap();
    }
    world.all_done().await;
}

#[tokio::test]
async fn records_outlive_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::session(&session());
    let value = Bytes::from_static(b"kept");
    let broker = reopen(folder.path()).await.unwrap();
    let put = broker.records.put(Bucket::Sessions, &key, value.clone(), Expected::Absent);
    let revision = put.await.unwrap();
    drop(broker);

    let records = reopen(folder.path()).await.unwrap().records;
    let record = records.get(Bucket::Sessions, &key).await.unwrap().unwrap();
    assert_eq!((record.value, record.revision), (value.clone(), revision));
    let next = records.put(Bucket::Sessions, &key, value, Expected::Revision(revision)).await;
    assert!(next.unwrap() > revision);
}

#[tokio::test]
async fn garbage_among_the_jobs_is_filed_and_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    drop(reopen(folder.path()).await.unwrap());
    let file = Connection::open(folder.path().join("weir.db")).unwrap();
    let sql = "INSERT INTO jobs (sequence, user, session, turn, attempts, job)
               VALUES (1, 'ann', 's', 'garbage', 0, ?1);";
    file.execute(sql, [b"garbage"]).unwrap();
    file.execute("UPDATE meta SET reserved = 1", []).unwrap();
    file.close().unwrap();

    let world = World::new(reopen(folder.path()).await.unwrap());
    world.submit(&session(), "good").await;
    assert_eq!(world.work().await, "good");
    world.all_done().await;
    let key = Key::session(&session()).child("1");
    let records = &world.broker.records;
    let record = records.get(Bucket::DeadLetters, &key).await.unwrap();
    let letter = DeadLetter::decode(record.unwrap().value).unwrap();
    assert_eq!(letter.payload, &b"garbage"[..]);
}

#[tokio::test]
async fn a_file_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = Connection::open(folder.path().join("weir.db")).unwrap();
    file.execute_batch("PRAGMA user_version = 99; CREATE TABLE theirs (a)").unwrap();
    file.close().unwrap();
    let opened = reopen(folder.path()).await;
    let Err(Error::Unsuitable(why)) = opened else {
        panic!("{opened:?}");
    };
    assert!(why.contains("format 99"), "{why}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weir.db"), [7; 10_000]).unwrap();
    let opened = soon(reopen(folder.path())).await;
    assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let opened = reopen(&file.join("below")).await;
    let Err(Error::Unsuitable(why)) = opened else {
        panic!("{opened:?}");
    };
    assert!(why.contains("below"), "{why}");
}
