//! What servers that die, restart or lose their store do to those who write,
//! read and wait.

use broker::nats::open;
use broker::{Admission, Sequence, Signal};
use futures::StreamExt as _;
use testkit::nats::Server;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::world::{LONG, assert_chain, assert_follows, config, job, session, store};

#[tokio::test]
async fn a_live_tail_hears_what_is_stored_and_is_told_of_a_restart() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let first = store(&broker, &session, Sequence::START, "a").await;
    match timeout(LONG, live.next()).await.unwrap() {
        Some(Signal::Entry(heard)) => assert_eq!(heard.sequence, first),
        other => panic!("{other:?}"),
    }
    server.restart().await.unwrap();
    assert_eq!(timeout(LONG, live.next()).await.unwrap(), Some(Signal::Missed));
    let second = store(&broker, &session, first, "b").await;
    match timeout(LONG, live.next()).await.unwrap() {
        Some(Signal::Entry(heard)) => assert_eq!(heard.sequence, second),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_that_was_too_slow_is_told_so() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let mut last = Sequence::START;
    for _ in 0..400 {
        last = store(&broker, &session, last, "x").await;
    }
    let mut heard = 0;
    while timeout(LONG, live.next()).await.unwrap() != Some(Signal::Missed) {
        heard += 1;
    }
    assert!(heard < 400, "{heard}");
}

#[tokio::test]
async fn entries_are_stored_and_followed_once_although_the_server_dies() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let written = async {
        let mut last = Sequence::START;
        for round in 0..3 {
            let under_way = Notify::new();
            let appends = async {
                for text in 0..200 {
                    if text == 20 {
                        under_way.notify_one();
                    }
                    last = store(&broker, &session, last, &format!("{round}.{text}")).await;
                }
            };
            let ((), restarted) = tokio::join!(appends, async {
                under_way.notified().await;
                server.restart().await
            });
            restarted.unwrap();
        }
    };
    tokio::join!(written, assert_follows(&broker, &session, 600));
    assert_chain(&broker, &session, 600).await;
    let again = open(config(&server.url())).await.unwrap();
    assert_eq!(again.log.epoch(), broker.log.epoch());
}

#[tokio::test]
async fn a_log_that_was_lost_comes_back_with_another_epoch() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    store(&broker, &session, Sequence::START, "a").await;
    let born = broker.log.epoch();
    server.kill().await.unwrap();
    server.lose_store().unwrap();
    server.restart().await.unwrap();
    let other = open(config(&server.url())).await.unwrap();
    assert_ne!(other.log.epoch(), born);
    assert_eq!(other.log.last(&session).await, Ok(None));
    // The process that lived through it notices as well.
    store(&broker, &session, Sequence::START, "b").await;
    let noticed = async {
        while broker.log.epoch() == born {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, noticed).await.unwrap();
    assert_eq!(broker.log.epoch(), other.log.epoch());
}

#[tokio::test]
async fn what_must_be_there_is_declared_until_it_is() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let born = broker.log.epoch();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let operator = async_nats::jetstream::new(raw);
    // No log that this broker would work with.
    let mut log = operator.get_stream("LOG").await.unwrap();
    let mut unfit = log.info().await.unwrap().config.clone();
    unfit.allow_direct = false;
    operator.update_stream(unfit).await.unwrap();
    server.restart().await.unwrap();
    // It comes back as often as it is lost, and every time the log is looked at.
    for _ in 0..2 {
        delete(&operator, "JOBS").await;
        let back = async { while operator.get_stream("JOBS").await.is_err() {} };
        timeout(LONG, back).await.unwrap();
    }
    assert_eq!(broker.log.epoch(), born);
    delete(&operator, "LOG").await;
    let noticed = async {
        while broker.log.epoch() == born {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, noticed).await.unwrap();
    store(&broker, &session("s"), Sequence::START, "a").await;
}

/// Tried until it is answered: the connection may be a new one.
async fn delete(operator: &async_nats::jetstream::Context, stream: &str) {
    let gone = async { while operator.delete_stream(stream).await.is_err() {} };
    timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn workers_that_wait_notice_that_everything_was_lost() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let (session, queue) = (session("s"), &broker.queue);
    let mut live = broker.log.live(&session).await.unwrap();
    let job = job(&session);
    let born = broker.log.epoch();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let operator = async_nats::jetstream::new(raw);
    let waiting = futures::future::select_all((0..8).map(|_| queue.next()));
    let lost = async {
        delete(&operator, "LOG").await;
        delete(&operator, "JOBS").await;
        while timeout(LONG, live.next()).await.unwrap() != Some(Signal::Missed) {}
        assert_ne!(broker.log.epoch(), born);
        queue.submit(&session, &job, Admission::IfEmpty).await
    };
    let (delivery, submitted) = tokio::join!(timeout(LONG, waiting), lost);
    submitted.unwrap();
    assert_eq!(delivery.unwrap().0.unwrap().job, job);
}

#[tokio::test]
async fn a_worker_that_was_busy_during_a_restart_loses_no_job_to_its_old_pull() {
    let mut server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    for id in ["before", "after"] {
        let session = session(id);
        let job = job(&session);
        let submitted = queue.submit(&session, &job, Admission::IfEmpty).await;
        submitted.unwrap();
        let delivery = timeout(LONG, queue.next()).await.unwrap().unwrap();
        assert_eq!((&delivery.job, delivery.attempt), (&job, 1));
        delivery.lease.acknowledge().await.unwrap();
        server.restart().await.unwrap();
    }
}

#[tokio::test]
async fn a_worker_that_waits_gets_the_job_submitted_after_a_restart() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let job = job(&session);
    let (delivery, ()) = tokio::join!(timeout(LONG, broker.queue.next()), async {
        server.restart().await.unwrap();
        broker.queue.submit(&session, &job, Admission::IfEmpty).await.unwrap();
    });
    assert_eq!(delivery.unwrap().unwrap().job, job);
}
