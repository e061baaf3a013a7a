//! Who is refused at one gateway does not get in at another.

use std::num::NonZeroU32;

use gateway::Config;
use serde_json::json;

use crate::harness::{Edge, problem};

#[tokio::test]
async fn unfinished_turns_of_a_user_count_at_every_gateway() {
    let turns_per_user = NonZeroU32::new(4).unwrap();
    let config = Config { turns_per_user, ..Config::default() };
    let one = Edge::with(config.clone()).await;
    let two = Edge::on(config, one.broker.clone()).await;
    let ask = |edge: &Edge, user: &str, session: usize| {
        let body = json!({"userId": user, "input": "?"});
        let asked = edge.post(&format!("/v1/sessions/{session}/turns"), &body);
        asked.header("prefer", "respond-async").send()
    };
    for session in 0..4 {
        let edge = if session % 2 == 0 { &one } else { &two };
        assert_eq!(ask(edge, "u", session).await.unwrap().status(), 202);
    }
    for edge in [&one, &two] {
        let told = problem(ask(edge, "u", 9).await.unwrap(), 429).await;
        assert_eq!(told["type"], "urn:weir:problem:too_many_turns");
    }
    assert_eq!(ask(&two, "v", 9).await.unwrap().status(), 202);
    let mut work = one.work().await;
    work.complete().await;
    work.settle().await;
    assert_eq!(ask(&two, "u", 9).await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_sessions_queue_is_one_for_all_gateways() {
    let one = Edge::start().await;
    let two = one.another().await;
    let ask = |edge: &Edge| {
        let body = json!({"userId": "u", "input": "?", "admission": "enqueue"});
        let asked = edge.post("/v1/sessions/s/turns", &body);
        asked.header("prefer", "respond-async").send()
    };
    for edge in [&one, &two] {
        assert_eq!(ask(edge).await.unwrap().status(), 202);
    }
    for edge in [&one, &two] {
        let refused = ask(edge).await.unwrap();
        assert_eq!(refused.headers()["retry-after"], "1");
        let told = problem(refused, 429).await;
        assert_eq!(told["type"], "urn:weir:problem:queue_full");
    }
}
