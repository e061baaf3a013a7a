//! Jobs, and what fits.

use std::collections::BTreeSet;
use std::time::Duration;

use broker::nats::open;
use broker::{Admission, Bucket, Error, Expected, Key, MAX_BUSY, Sequence, Submitted};
use futures::StreamExt as _;
use futures::future::join_all;
use prost::Message as _;
use testkit::nats::Server;
use tokio::time::timeout;

use crate::world::{LONG, assert_refused_turn_may_come_again, config, job, session, store};

#[tokio::test]
async fn a_job_goes_from_submit_to_its_acknowledgement() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    assert_eq!(broker.profile.kind, "nats");
    let (session, queue) = (session("a.b *"), &broker.queue);
    let job = job(&session);
    let Submitted::Accepted(at) = queue.submit(&session, &job, Admission::IfEmpty).await.unwrap()
    else {
        panic!("not accepted")
    };
    let delivery = queue.next().await.unwrap();
    assert_eq!((delivery.sequence, delivery.attempt, &delivery.session), (at, 1, &session));
    assert_eq!(delivery.job, job);
    delivery.lease.progress().await.unwrap();
    delivery.lease.later(Duration::from_millis(1)).await.unwrap();
    let delivery = queue.next().await.unwrap();
    assert_eq!((delivery.sequence, delivery.attempt), (at, 2));
    assert_eq!(queue.first(&session).await, Ok(Some(at)));
    delivery.lease.acknowledge().await.unwrap();
    assert_eq!(queue.first(&session).await, Ok(None));
    assert_eq!(queue.depth().await, Ok(0));
}

#[tokio::test]
async fn the_same_turn_is_a_duplicate_by_every_admission_even_when_others_wait() {
    let server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    let session = session("s");
    let (done, waiting) = (job(&session), job(&session));
    queue.submit(&session, &done, Admission::IfEmpty).await.unwrap();
    queue.next().await.unwrap().lease.acknowledge().await.unwrap();
    queue.submit(&session, &waiting, Admission::IfEmpty).await.unwrap();
    for admission in [Admission::Enqueue, Admission::IfEmpty, Admission::IfLast(Sequence(9))] {
        for known in [&done, &waiting] {
            let again = queue.submit(&session, known, admission).await;
            assert_eq!(again, Ok(Submitted::Duplicate), "{admission:?}");
        }
    }
    let other = queue.submit(&session, &job(&session), Admission::IfEmpty).await;
    assert_eq!(other, Err(Error::Busy));
    assert_eq!(queue.depth().await, Ok(1));
}

#[tokio::test]
async fn a_turn_that_was_refused_may_come_again() {
    let server = Server::start().await.unwrap();
    assert_refused_turn_may_come_again(&open(config(&server.url())).await.unwrap()).await;
}

#[tokio::test]
async fn eight_workers_of_one_process_wait_at_once_and_keep_their_inboxes() {
    let server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    let raw = async_nats::connect(server.url()).await.unwrap();
    let mut pulls = raw.subscribe("$JS.API.CONSUMER.MSG.NEXT.JOBS.workers").await.unwrap();
    // An answer says that the subscription is in effect, too.
    raw.request("$JS.API.INFO", "".into()).await.unwrap();
    let mut inboxes = BTreeSet::new();
    for round in 0..3 {
        let waiting = join_all((0..8).map(|_| queue.next()));
        let submitted = async {
            for _ in 0..8 {
                let pull = timeout(LONG, pulls.next()).await.unwrap().unwrap();
                inboxes.insert(pull.reply.unwrap().to_string());
            }
            for id in 0..8 {
                let session = session(&format!("{round}-{id}"));
                let job = job(&session);
                let submitted = queue.submit(&session, &job, Admission::IfEmpty);
                submitted.await.unwrap();
            }
        };
        let (deliveries, ()) = tokio::join!(timeout(LONG, waiting), submitted);
        let mut sessions = BTreeSet::new();
        for delivery in deliveries.unwrap() {
            let delivery = delivery.unwrap();
            assert_eq!(delivery.attempt, 1);
            sessions.insert(delivery.job.session_id);
            delivery.lease.acknowledge().await.unwrap();
        }
        assert_eq!(sessions.len(), 8);
    }
    assert_eq!(inboxes.len(), 8);
    assert_eq!(queue.depth().await, Ok(0));
}

#[tokio::test]
async fn a_session_takes_as_many_jobs_as_its_depth() {
    let server = Server::start().await.unwrap();
    let mut config = config(&server.url());
    config.limits.queue_depth = 2;
    let queue = open(config).await.unwrap().queue;
    let session = session("s");
    for _ in 0..2 {
        queue.submit(&session, &job(&session), Admission::Enqueue).await.unwrap();
    }
    let third = queue.submit(&session, &job(&session), Admission::Enqueue).await;
    assert!(matches!(third, Err(Error::Full(_))), "{third:?}");
    assert_eq!(queue.pending(&session).await.unwrap().len(), 2);
    assert_eq!(queue.clear(&session).await, Ok(2));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_buried_and_the_next_one_comes() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(raw);
    let session = session("s");
    let (mut foreign, mut future) = (job(&session), job(&session));
    foreign.session_id = "other".to_owned();
    future.version = 99;
    let garbage = [
        ("jobs.test_user.s", b"\xff\xff".to_vec()),
        ("jobs.test_user.s", foreign.encode_to_vec()),
        ("jobs.test_user.s", future.encode_to_vec()),
        ("jobs.=!.s", b"x".to_vec()),
    ];
    for (subject, payload) in garbage.clone() {
        stream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
    let good = job(&session);
    broker.queue.submit(&session, &good, Admission::Enqueue).await.unwrap();
    // Whose turn it is can be read of a job of another format: a worker ends it.
    let delivery = timeout(LONG, broker.queue.next()).await.unwrap().unwrap();
    assert_eq!(delivery.job, future);
    delivery.lease.acknowledge().await.unwrap();
    let delivery = timeout(LONG, broker.queue.next()).await.unwrap().unwrap();
    assert_eq!(delivery.job, good);
    assert_eq!(broker.queue.depth().await, Ok(1));
    let keys = broker.records.list(Bucket::DeadLetters, &Key::session(&session)).await.unwrap();
    assert_eq!(keys.len(), 3);
    let buried = broker.records.get(Bucket::DeadLetters, &keys[0]).await.unwrap().unwrap();
    let letter = proto::DeadLetter::decode(buried.value).unwrap();
    assert_eq!(
        (letter.payload.to_vec(), letter.code.as_str()),
        (garbage[0].1.clone(), "unreadable")
    );
}

#[tokio::test]
async fn the_largest_job_entry_and_record_fit() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut job = job(&session);
    job.system = "x".repeat(broker::MAX_JOB_BYTES - 200);
    broker.queue.submit(&session, &job, Admission::IfEmpty).await.unwrap();
    assert_eq!(broker.queue.pending(&session).await.unwrap()[0].job, job);
    assert_eq!(broker.queue.next().await.unwrap().job, job);
    let text = "x".repeat(broker::MAX_ENTRY_BYTES - 100);
    let at = store(&broker, &session, Sequence::START, &text).await;
    let at = store(&broker, &session, at, &text).await;
    store(&broker, &session, at, &text).await;
    let read = broker.log.read(&session, Sequence::START, 64).await.unwrap();
    assert!(!read.is_empty() && read.len() < 3, "about a megabyte, not {}", read.len());
    let key = Key::session(&session);
    let value = bytes::Bytes::from(vec![7; broker::MAX_RECORD_BYTES]);
    broker.records.put(Bucket::Memory, &key, value.clone(), Expected::Absent).await.unwrap();
    assert_eq!(broker.records.get(Bucket::Memory, &key).await.unwrap().unwrap().value, value);
}

#[tokio::test]
async fn of_more_busy_sessions_than_its_limit_a_user_has_that_many() {
    let server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    let submits = futures::stream::iter(0..=MAX_BUSY).map(async |number| {
        let session = session(&number.to_string());
        queue.submit(&session, &job(&session), Admission::IfEmpty).await.expect("room");
    });
    submits.buffer_unordered(128).collect::<()>().await;
    assert_eq!(queue.depth().await, Ok(u64::try_from(MAX_BUSY + 1).unwrap()));
    let busy = queue.busy(&session("0").user).await.unwrap();
    assert_eq!(busy.len(), MAX_BUSY);
    assert!(busy.is_sorted() && busy.iter().all(|it| it.1 == 1));
}
