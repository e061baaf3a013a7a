//! A job is somebody's until it is settled or its lease ends.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::world::{LEASE, World, numbers, said, soon};

pub(crate) async fn a_job_whose_lease_ended_comes_again(world: &World) {
    let session = world.session("s");
    let (job, sequence) = world.submit(&session, "again").await;
    let began = Instant::now();
    let mut attempt = 0;
    for _ in 0..2 {
        let delivery = world.next().await;
        assert_eq!(delivery.job, job);
        assert_eq!(delivery.sequence, sequence);
        assert_eq!(delivery.lease.lasts(), LEASE);
        // One that was lost on the way to somebody who left counts too.
        assert!(delivery.attempt > attempt, "{delivery:?}");
        attempt = delivery.attempt;
    }
    assert!(began.elapsed() >= LEASE * 9 / 10, "{:?}", began.elapsed());
    let delivery = world.next().await;
    assert!(delivery.attempt > attempt, "{delivery:?}");
    delivery.lease.acknowledge().await.unwrap();
    world.all_done().await;
}

pub(crate) async fn progress_keeps_a_job(world: &World) {
    let session = world.session("s");
    world.submit(&session, "mine").await;
    let delivery = world.next().await;
    let work = async {
        for _ in 0..8 {
            sleep(LEASE / 4).await;
            delivery.lease.progress().await.unwrap();
        }
    };
    tokio::select! {
        () = work => {}
        other = world.broker.queue.next() => panic!("it was taken away: {other:?}"),
    }
    delivery.lease.acknowledge().await.unwrap();
    world.all_done().await;
}

pub(crate) async fn a_job_given_back_comes_again_after_its_delay(world: &World) {
    let session = world.session("s");
    let delay = LEASE / 4;
    world.submit(&session, "later").await;
    let first = world.next().await;
    let attempt = first.attempt;
    let began = Instant::now();
    // Somebody who waits already is told of it.
    let (given_back, delivery) = tokio::join!(first.lease.later(delay), world.next());
    given_back.unwrap();
    let took = began.elapsed();
    assert!(delivery.attempt > attempt);
    assert!(took >= delay * 9 / 10, "after {took:?}");
    assert!(took < LEASE, "after {took:?}");
    delivery.lease.acknowledge().await.unwrap();
    world.all_done().await;
}

pub(crate) async fn an_acknowledged_job_never_comes_again(world: &World) {
    let (queue, session) = (&world.broker.queue, world.session("s"));
    world.submit(&session, "done").await;
    assert_eq!(world.work().await, "done");
    world.all_done().await;
    assert_eq!(queue.first(&session).await, Ok(None));
    world.nothing_comes(LEASE * 3 / 2).await;
}

pub(crate) async fn a_late_acknowledgement_counts_too(world: &World) {
    let session = world.session("s");
    world.submit(&session, "twice").await;
    let stalled = world.next().await;
    let successor = world.next().await;
    assert!(successor.attempt > stalled.attempt);
    stalled.lease.acknowledge().await.unwrap();
    world.all_done().await;
    successor.lease.progress().await.unwrap();
    successor.lease.acknowledge().await.unwrap();
    world.all_done().await;
}

pub(crate) async fn a_dropped_wait_loses_no_job(world: &World) {
    const JOBS: usize = 8;
    let submit = async {
        for number in numbers(0..JOBS) {
            world.submit(&world.session(&number), &number).await;
        }
    };
    let mut came = BTreeSet::new();
    let work = async {
        // Most leave before the answer, some while it is under way.
        let mut patience = [0, 100, 1_000, 5_000, 2_000_000].iter().cycle();
        while came.len() < JOBS {
            let wait = Duration::from_micros(*patience.next().unwrap());
            if let Ok(delivery) = timeout(wait, world.broker.queue.next()).await {
                let delivery = delivery.unwrap();
                delivery.lease.acknowledge().await.unwrap();
                came.insert(said(&delivery.job));
            }
        }
    };
    soon(async { tokio::join!(submit, work) }).await;
    world.all_done().await;
}
