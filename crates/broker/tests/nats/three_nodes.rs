//! What a cluster of three with three replicas goes through unharmed.

use broker::nats::{Config, open};
use broker::{Admission, Broker, Sequence, Submitted};
use proto::Session;
use testkit::nats::Cluster;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::world::{
    LONG, assert_chain, assert_follows, assert_refused_turn_may_come_again, config, job, session,
    store,
};

fn replicated(url: &str) -> Config {
    Config { replicas: 3, ..config(url) }
}

/// Writes 300 entries, and tells when it is well under way.
async fn write(broker: &Broker, session: &Session, under_way: &Notify) {
    let mut last = Sequence::START;
    for text in 0..300 {
        if text == 20 {
            under_way.notify_one();
        }
        last = store(broker, session, last, &text.to_string()).await;
    }
}

/// A broker that knows all servers and is connected to this one.
async fn connected_to(cluster: &mut Cluster, node: usize) -> Broker {
    for name in 0..64 {
        let config = Config { name: format!("try {name}."), ..replicated(&cluster.url()) };
        let name = config.name.clone();
        let broker = open(config).await.unwrap();
        let connections = cluster.node(node).page("connz").await.unwrap();
        if connections.to_string().contains(&name) {
            return broker;
        }
    }
    panic!("64 connections, and none to node {node}");
}

#[tokio::test]
async fn a_log_goes_on_when_its_leader_is_killed() {
    let mut cluster = Cluster::start().await.unwrap();
    let broker = open(replicated(&cluster.url())).await.unwrap();
    assert_refused_turn_may_come_again(&broker).await;
    let session = session("s");
    let leader = cluster.leader_of("LOG").await.unwrap();
    let node = cluster.node(leader);
    let under_way = Notify::new();
    let appends = write(&broker, &session, &under_way);
    let read = assert_follows(&broker, &session, 300);
    let ((), (), killed) = tokio::join!(appends, read, async {
        under_way.notified().await;
        node.kill().await
    });
    killed.unwrap();
    cluster.node(leader).restart().await.unwrap();
    let again = open(replicated(&cluster.url())).await.unwrap();
    assert_eq!(again.log.epoch(), broker.log.epoch());
    assert_chain(&broker, &session, 300).await;
    let job = job(&session);
    broker.queue.submit(&session, &job, Admission::IfEmpty).await.unwrap();
    let again = broker.queue.submit(&session, &job, Admission::IfEmpty).await;
    assert_eq!(again, Ok(Submitted::Duplicate));
    timeout(LONG, broker.queue.next()).await.unwrap().unwrap().lease.acknowledge().await.unwrap();
}

#[tokio::test]
async fn a_log_goes_on_when_its_leader_hangs_and_is_the_one_connected_to() {
    let mut cluster = Cluster::start().await.unwrap();
    open(replicated(&cluster.url())).await.unwrap();
    let leader = cluster.leader_of("LOG").await.unwrap();
    let broker = connected_to(&mut cluster, leader).await;
    let node = cluster.node(leader);
    let (session, under_way) = (session("s"), Notify::new());
    let appends = write(&broker, &session, &under_way);
    let read = assert_follows(&broker, &session, 300);
    let ((), (), paused) = tokio::join!(appends, read, async {
        under_way.notified().await;
        node.pause()
    });
    paused.unwrap();
    node.resume().unwrap();
    assert_chain(&broker, &session, 300).await;
}
