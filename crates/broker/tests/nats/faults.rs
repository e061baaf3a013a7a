//! What servers that die, restart or lose their store do to those who write,
//! read and wait.

use broker::nats::open;
use broker::{Admission, Broker, Sequence, Signal, Submitted};
use futures::StreamExt as _;
use proto::Session;
use testkit::nats::{Cluster, Server};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::world::{LONG, assert_refused_turn_may_come_again, config, job, session, store};

/// The log holds exactly this many entries, each linked to the one before.
async fn assert_chain(broker: &Broker, session: &Session, many: usize) {
    let (mut after, mut count) = (Sequence::START, 0);
    loop {
        let read = broker.log.read(session, after, 64).await.expect("a read");
        if read.is_empty() {
            break;
        }
        for stored in read {
            assert_eq!(stored.entry.follows, after.0);
            (after, count) = (stored.sequence, count + 1);
        }
    }
    assert_eq!(count, many);
    assert_eq!(
        broker
            .log
            .last(session)
            .await
            .expect("a last entry")
            .expect("an entry")
            .sequence,
        after
    );
}

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
    assert_eq!(
        timeout(LONG, live.next()).await.unwrap(),
        Some(Signal::Missed)
    );
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
async fn an_append_is_stored_once_although_the_server_dies_under_it() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut last = store(&broker, &session, Sequence::START, "0").await;
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
    assert_chain(&broker, &session, 601).await;
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
async fn a_worker_that_waits_gets_the_job_submitted_after_a_restart() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let job = job(&session);
    let (delivery, ()) = tokio::join!(timeout(LONG, broker.queue.next()), async {
        server.restart().await.unwrap();
        broker
            .queue
            .submit(&session, &job, Admission::IfEmpty)
            .await
            .unwrap();
    });
    assert_eq!(delivery.unwrap().unwrap().job, job);
}

#[tokio::test]
async fn a_clusters_log_goes_on_when_its_leader_is_killed() {
    let mut cluster = Cluster::start().await.unwrap();
    let mut replicated = config(&cluster.url());
    replicated.replicas = 3;
    let broker = open(replicated.clone()).await.unwrap();
    assert_refused_turn_may_come_again(&broker).await;
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let mut last = store(&broker, &session, Sequence::START, "0").await;
    assert!(matches!(
        timeout(LONG, live.next()).await.unwrap(),
        Some(Signal::Entry(_))
    ));
    let leader = cluster.leader_of("LOG").await.unwrap();
    let node = cluster.node(leader);
    let ((), killed) = tokio::join!(
        async {
            for text in 0..300 {
                last = store(&broker, &session, last, &text.to_string()).await;
            }
        },
        node.kill()
    );
    killed.unwrap();
    cluster.node(leader).restart().await.unwrap();
    let again = open(replicated).await.unwrap();
    assert_eq!(again.log.epoch(), broker.log.epoch());
    assert_eq!(
        broker.log.last(&session).await.unwrap().unwrap().sequence,
        last
    );
    let job = job(&session);
    broker
        .queue
        .submit(&session, &job, Admission::IfEmpty)
        .await
        .unwrap();
    let again = broker
        .queue
        .submit(&session, &job, Admission::IfEmpty)
        .await;
    assert_eq!(again, Ok(Submitted::Duplicate));
    timeout(LONG, broker.queue.next())
        .await
        .unwrap()
        .unwrap()
        .lease
        .acknowledge()
        .await
        .unwrap();
}

#[tokio::test]
async fn tmp_a_paused_leader() {
    let mut cluster = Cluster::start().await.unwrap();
    let mut replicated = config(&cluster.url());
    replicated.replicas = 3;
    let broker = open(replicated.clone()).await.unwrap();
    let leader = cluster.leader_of("LOG").await.unwrap();
    drop(broker);
    replicated.url = cluster.node(leader).url();
    let broker = open(replicated.clone()).await.unwrap();
    let session = session("s");
    for _ in 0..2 {
        let mut last = broker
            .log
            .last(&session)
            .await
            .unwrap()
            .map_or(Sequence::START, |it| it.sequence);
        let leader = cluster.leader_of("LOG").await.unwrap();
        let began = tokio::time::Instant::now();
        let paused = Notify::new();
        let mut worst = std::time::Duration::ZERO;
        let ((), ()) = tokio::join!(
            async {
                for text in 0..300 {
                    if text == 50 {
                        paused.notify_one();
                    }
                    let t = tokio::time::Instant::now();
                    last = store(&broker, &session, last, &text.to_string()).await;
                    worst = worst.max(t.elapsed());
                    if text > 60 && began.elapsed() < std::time::Duration::from_secs(5) {
                        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
                    }
                }
            },
            async {
                paused.notified().await;
                cluster.node(leader).pause().unwrap();
                tokio::time::sleep(std::time::Duration::from_secs(20)).await;
                cluster.node(leader).resume().unwrap();
            }
        );
        println!(
            "leader {leader} worst {worst:?} total {:?}",
            began.elapsed()
        );
    }
    assert_chain(&broker, &session, 600).await;
    panic!("show");
}
