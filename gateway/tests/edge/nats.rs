//! The same at a nats-server: two gateways, each with a connection of its own.

use std::collections::HashSet;

use broker::nats::Config;
use futures::future::join_all;
use serde_json::Value;
use testkit::nats::Server;

use crate::harness::{Edge, problem};

async fn gateway(server: &Server) -> Edge {
    let broker = broker::nats::open(Config::new(server.url())).await.unwrap();
    Edge::on(gateway::Config::default(), broker).await
}

#[tokio::test]
async fn two_gateways_at_one_server_agree() {
    let server = Server::start().await.unwrap();
    let edges = [gateway(&server).await, gateway(&server).await];
    for round in 0..10 {
        // One key, four requests, two gateways.
        let key = format!("k{round}");
        let requests = (0..4).map(|it| {
            let request = edges[it % 2].ask("Why?").header("idempotency-key", &key);
            request.header("prefer", "respond-async").send()
        });
        let mut turns = HashSet::new();
        for answer in join_all(requests).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), 202, "round {round}");
            let receipt: Value = answer.json().await.unwrap();
            turns.insert(receipt["turnId"].as_str().unwrap().to_owned());
        }
        assert_eq!(turns.len(), 1, "round {round}: {turns:?}");
        let reused = edges[1].ask("Another?").header("idempotency-key", &key);
        problem(reused.send().await.unwrap(), 422).await;
        // A reader elsewhere sees the end; a question right behind it is taken.
        let mut events = edges[1].events("&after=start").await;
        let mut work = edges[0].work().await;
        assert!(turns.contains(&work.delivery.turn.to_string()));
        work.text("Because").await;
        events.until("text").await;
        work.complete().await;
        let (next, ()) = tokio::join!(edges[1].accepted("Next?"), work.settle());
        let mut work = edges[1].work().await;
        assert_eq!(next["turnId"], work.delivery.turn.to_string());
        // Erased while it runs: its reader is told, and its worker is fenced.
        assert_eq!(edges[0].erase("s").send().await.unwrap().status(), 200);
        events.until("deleted").await;
        assert_eq!(work.try_to_complete().await, None);
        problem(edges[1].erase("s").send().await.unwrap(), 404).await;
    }
}

#[tokio::test]
async fn the_status_says_what_an_acknowledgement_is_worth() {
    let server = Server::start().await.unwrap();
    for (monitors, level, synced) in [
        (vec![server.monitor()], "disk", "within 120 s"),
        (Vec::new(), "disk", "unknown: a server tells only its monitor, and none is named"),
    ] {
        let config = Config { monitors, ..Config::new(server.url()) };
        let broker = broker::nats::open(config).await.unwrap();
        let edge = Edge::on(gateway::Config::default(), broker).await;
        let status: Value = edge.get("/v1/status").send().await.unwrap().json().await.unwrap();
        let broker = &status["broker"];
        assert_eq!((&broker["level"], &broker["copies"]), (&level.into(), &1.into()));
        assert_eq!(broker["synced"], synced);
    }
}
