//! Accepted is stored, once, in order, up to the depth.

use std::collections::BTreeSet;
use std::sync::Mutex;

use broker::{Admission, Bucket, Error, Key, MAX_JOB_BYTES, Sequence, Submitted};
use futures::future::join_all;
use prost::Message as _;
use proto::{DeadLetter, FORMAT, Job, Session};

use crate::world::{DEPTH, World, job, numbers, said, soon};

/// Submits a job that must be accepted.
async fn accept(world: &World, job: &Job, admission: Admission) {
    let session = Session::parse(&job.user_id, &job.session_id).unwrap();
    let submitted = world.broker.queue.submit(&session, job, admission).await;
    assert!(matches!(submitted, Ok(Submitted::Accepted(_))), "{submitted:?}");
}

/// Submits a job that must be refused.
async fn refuse(world: &World, job: &Job, admission: Admission) {
    let session = Session::parse(&job.user_id, &job.session_id).unwrap();
    let submitted = world.broker.queue.submit(&session, job, admission).await;
    assert_eq!(submitted, Err(Error::Busy));
}

pub(crate) async fn jobs_come_in_the_order_they_were_accepted(world: &World) {
    for (at, number) in numbers(0..10).iter().enumerate() {
        let session = world.session(["a", "b", "c", "d"][at % 4]);
        world.submit(&session, number).await;
    }
    let mut came = Vec::new();
    for _ in 0..10 {
        came.push(world.work().await);
    }
    assert_eq!(came, numbers(0..10));
    world.all_done().await;
}

pub(crate) async fn a_job_arrives_as_it_was_submitted(world: &World) {
    let long = "中".repeat(42);
    for id in ["a.b", "*", ">", "a b", &long] {
        let session = world.of(id, id);
        let (job, sequence) = world.submit(&session, "hello").await;
        let delivery = world.next().await;
        assert_eq!(delivery.session, session);
        assert_eq!(delivery.job, job);
        assert_eq!(delivery.turn.to_string(), job.turn_id);
        assert_eq!(delivery.sequence, sequence);
        assert_eq!(delivery.attempt, 1);
        delivery.lease.acknowledge().await.unwrap();
    }
    world.all_done().await;
}

pub(crate) async fn a_waiting_worker_gets_a_job_that_is_submitted_later(world: &World) {
    let session = world.session("s");
    let submit = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        world.submit(&session, "late").await
    };
    let (came, _) = tokio::join!(world.work(), submit);
    assert_eq!(came, "late");
    world.all_done().await;
}

pub(crate) async fn only_an_empty_session_admits_if_empty(world: &World) {
    let (session, other) = (world.session("s"), world.session("other"));
    let (first, second) = (job(&session, "first"), job(&session, "second"));
    accept(world, &first, Admission::IfEmpty).await;
    refuse(world, &second, Admission::IfEmpty).await;
    // Another session is not concerned.
    accept(world, &job(&other, "theirs"), Admission::IfEmpty).await;
    // Delivered is not finished.
    let delivery = world.next().await;
    refuse(world, &second, Admission::IfEmpty).await;
    delivery.lease.acknowledge().await.unwrap();
    assert_eq!(world.work().await, "theirs");
    world.all_done().await;
    accept(world, &second, Admission::IfEmpty).await;
    assert_eq!(world.work().await, "second");
    world.all_done().await;
}

pub(crate) async fn only_the_newest_job_admits_if_last(world: &World) {
    let session = world.session("s");
    let (_, first) = world.submit(&session, "first").await;
    let (second, third) = (job(&session, "second"), job(&session, "third"));
    let beyond = Sequence(first.0 + 1);
    refuse(world, &second, Admission::IfLast(beyond)).await;
    accept(world, &second, Admission::IfLast(first)).await;
    refuse(world, &third, Admission::IfLast(first)).await;
    assert_eq!(world.broker.queue.clear(&session).await, Ok(2));
    refuse(world, &third, Admission::IfLast(first)).await;
}

pub(crate) async fn a_session_is_full_at_its_depth(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    for number in 0..DEPTH {
        world.submit(&session, &number.to_string()).await;
    }
    let more = job(&session, "more");
    let full = queue.submit(&session, &more, Admission::Enqueue).await;
    assert!(matches!(full, Err(Error::Full(_))), "{full:?}");
    world.submit(&world.session("other"), "other").await;
    assert_eq!(world.work().await, "0");
    soon(async {
        // An acknowledgement may take a moment to count.
        while let Err(Error::Full(_)) = queue.submit(&session, &more, Admission::Enqueue).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(queue.clear(&session).await, Ok(u64::from(DEPTH)));
    assert_eq!(world.work().await, "other");
    world.all_done().await;
}

pub(crate) async fn the_same_turn_is_accepted_once(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    let (same, _) = world.submit(&session, "once").await;
    // A duplicate is one whatever its admission.
    for admission in [Admission::Enqueue, Admission::IfEmpty] {
        let again = queue.submit(&session, &same, admission).await;
        assert_eq!(again, Ok(Submitted::Duplicate), "{admission:?}");
    }
    assert_eq!(world.work().await, "once");
    world.all_done().await;
    for admission in [Admission::Enqueue, Admission::IfEmpty] {
        let again = queue.submit(&session, &same, admission).await;
        assert_eq!(again, Ok(Submitted::Duplicate), "{admission:?} when finished");
    }
    assert_eq!(queue.depth().await, Ok(0));
}

pub(crate) async fn the_same_turn_is_accepted_once_by_many_at_once(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    let same = job(&session, "once");
    let submits = (0..16).map(|_| queue.submit(&session, &same, Admission::IfEmpty));
    let mut accepted = 0;
    for submitted in soon(join_all(submits)).await {
        match submitted.unwrap() {
            Submitted::Accepted(_) => accepted += 1,
            Submitted::Duplicate => {}
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(world.work().await, "once");
    world.all_done().await;
}

pub(crate) async fn a_job_past_its_limit_is_too_large(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    let mut large = job(&session, &"x".repeat(MAX_JOB_BYTES));
    let size = large.encoded_len();
    let refused = queue.submit(&session, &large, Admission::Enqueue).await;
    let too_large = Error::TooLarge { what: "job", size, limit: MAX_JOB_BYTES };
    assert_eq!(refused, Err(too_large));
    large.system.truncate(MAX_JOB_BYTES - (size - MAX_JOB_BYTES));
    assert_eq!(large.encoded_len(), MAX_JOB_BYTES);
    let accepted = queue.submit(&session, &large, Admission::Enqueue).await;
    assert!(matches!(accepted, Ok(Submitted::Accepted(_))), "{accepted:?}");
    assert_eq!(world.work().await, large.system);
    world.all_done().await;
}

pub(crate) async fn pending_jobs_are_listed_in_order_with_the_one_that_runs(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    assert_eq!(queue.pending(&session).await, Ok(vec![]));
    let one = world.submit(&session, "one").await;
    world.submit(&world.session("other"), "other").await;
    let two = world.submit(&session, "two").await;
    let delivery = world.next().await;
    let listed = queue.pending(&session).await.unwrap();
    let turns = listed.iter().map(|it| it.turn.to_string());
    let ids = [one.0.turn_id.clone(), two.0.turn_id.clone()];
    assert_eq!(turns.collect::<Vec<_>>(), ids);
    let listed: Vec<_> = listed.into_iter().map(|it| (it.job, it.sequence)).collect();
    assert_eq!(listed, [one, two]);
    drop(delivery);
    assert_eq!(queue.clear(&session).await, Ok(2));
    assert_eq!(world.work().await, "other");
    world.all_done().await;
}

pub(crate) async fn the_sessions_of_a_user_that_have_jobs_are_known_with_how_many(world: &World) {
    // Ids that a broker spells otherwise, and users whose ids look the same.
    for id in ["Z", "a", "a.b", "*", ">", "中文", "a"] {
        world.submit(&world.session(id), "mine").await;
    }
    for other in ["-x", ".a", "*"] {
        world.submit(&world.of(other, "a"), "theirs").await;
    }
    let mine = [("*", 1), (">", 1), ("Z", 1), ("a", 2), ("a.b", 1), ("中文", 1)];
    assert_eq!(busy(world, &world.session("a")).await, mine.map(|it| (it.0.to_owned(), it.1)));
    assert_eq!(busy(world, &world.of(".a", "a")).await, [("a".to_owned(), 1)]);
    for _ in 0..10 {
        world.work().await;
    }
    world.all_done().await;
    assert_eq!(busy(world, &world.session("a")).await, []);
}

pub(crate) async fn a_session_is_busy_until_its_last_job_is_acknowledged(world: &World) {
    let session = world.session("s");
    world.submit(&session, "one").await;
    world.submit(&session, "two").await;
    for left in [1, 0] {
        let delivery = world.next().await;
        assert_eq!(busy(world, &session).await, [("s".to_owned(), left + 1)]);
        delivery.lease.acknowledge().await.unwrap();
        let expected: Vec<_> = (left > 0).then(|| ("s".to_owned(), left)).into_iter().collect();
        // An acknowledgement may take a moment to count.
        soon(async { while busy(world, &session).await != expected {} }).await;
    }
}

/// The sessions of a session's user that have jobs.
async fn busy(world: &World, session: &Session) -> Vec<(String, u64)> {
    let busy = world.broker.queue.busy(&session.user).await.unwrap();
    busy.into_iter().map(|it| (it.0.to_string(), it.1)).collect()
}

pub(crate) async fn the_first_job_of_a_session_is_known(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    assert_eq!(queue.first(&session).await, Ok(None));
    let (_, first) = world.submit(&session, "one").await;
    let (_, second) = world.submit(&session, "two").await;
    assert_eq!(queue.first(&session).await, Ok(Some(first)));
    assert_eq!(world.work().await, "one");
    // An acknowledgement may take a moment to count.
    soon(async { while queue.first(&session).await == Ok(Some(first)) {} }).await;
    assert_eq!(queue.first(&session).await, Ok(Some(second)));
    assert_eq!(world.work().await, "two");
    world.all_done().await;
}

pub(crate) async fn a_cleared_session_has_no_jobs(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    world.submit(&session, "one").await;
    world.submit(&world.session("other"), "other").await;
    world.submit(&session, "two").await;
    assert_eq!(queue.depth().await, Ok(3));
    assert_eq!(queue.clear(&session).await, Ok(2));
    assert_eq!(queue.clear(&session).await, Ok(0));
    assert_eq!(world.work().await, "other");
    world.all_done().await;
}

pub(crate) async fn a_session_cleared_under_its_worker_goes_on(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    world.submit(&session, "old").await;
    let delivery = world.next().await;
    assert_eq!(queue.clear(&session).await, Ok(1));
    // Whoever had the job is none the wiser.
    delivery.lease.progress().await.unwrap();
    delivery.lease.acknowledge().await.unwrap();
    world.submit(&session, "new").await;
    assert_eq!(world.work().await, "new");
    world.all_done().await;
}

/// What is filed of a session under dead letters.
async fn letters(world: &World, session: &Session) -> Vec<DeadLetter> {
    let (records, mut letters) = (&world.broker.records, Vec::new());
    for key in records.list(Bucket::DeadLetters, &Key::session(session)).await.unwrap() {
        let record = records.get(Bucket::DeadLetters, &key).await.unwrap();
        letters.push(DeadLetter::decode(record.unwrap().value).unwrap());
    }
    letters
}

pub(crate) async fn a_job_that_cannot_be_read_is_filed_and_holds_nobody_up(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    let strange = Job { session_id: "another".to_owned(), ..job(&session, "strange") };
    let submitted = queue.submit(&session, &strange, Admission::Enqueue).await;
    assert!(submitted.is_ok(), "{submitted:?}");
    world.submit(&session, "good").await;
    assert_eq!(world.work().await, "good");
    world.all_done().await;
    let letters = letters(world, &session).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].code.as_str(), &letters[0].payload[..]),
        ("unreadable", &strange.encode_to_vec()[..])
    );
}

pub(crate) async fn a_job_of_another_format_is_filed_and_delivered_so_that_its_turn_can_end(
    world: &World,
) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    let newer = Job { version: FORMAT + 1, ..job(&session, "newer") };
    let submitted = queue.submit(&session, &newer, Admission::Enqueue).await;
    assert!(submitted.is_ok(), "{submitted:?}");
    for _ in 0..2 {
        let delivery = world.next().await;
        assert_eq!(delivery.job, newer);
        let letters = letters(world, &session).await;
        assert_eq!(letters.len(), 1, "filed once, however often it comes");
        assert_eq!(
            (letters[0].code.as_str(), &letters[0].payload[..]),
            ("unreadable", &newer.encode_to_vec()[..])
        );
        soon(delivery.lease.later(std::time::Duration::ZERO)).await.unwrap();
    }
    world.work().await;
    world.all_done().await;
}

pub(crate) async fn a_job_without_a_turn_is_refused(world: &World) {
    let session = world.session("s");
    for turn_id in ["", "turn"] {
        let job = Job { turn_id: turn_id.to_owned(), ..job(&session, "whose?") };
        let queue = &world.broker.queue;
        let refused = queue.submit(&session, &job, Admission::Enqueue).await;
        assert!(matches!(refused, Err(Error::Unsuitable(_))), "{refused:?}");
    }
    world.all_done().await;
}

pub(crate) async fn many_workers_get_every_job(world: &World) {
    const JOBS: usize = 40;
    let came = Mutex::new(BTreeSet::new());
    let worker = async || {
        while came.lock().unwrap().len() < JOBS {
            let Ok(delivery) =
                tokio::time::timeout(crate::world::LEASE / 5, world.broker.queue.next()).await
            else {
                continue;
            };
            let delivery = delivery.unwrap();
            delivery.lease.acknowledge().await.unwrap();
            came.lock().unwrap().insert(said(&delivery.job));
        }
    };
    let submit = async {
        for number in numbers(0..JOBS) {
            let session = world.session(&format!("s{number}"));
            world.submit(&session, &number).await;
        }
    };
    soon(async { tokio::join!(submit, worker(), worker(), worker(), worker()) }).await;
    world.all_done().await;
}
