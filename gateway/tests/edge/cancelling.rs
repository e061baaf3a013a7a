//! `POST /v1/sessions/{session}/cancel`.

use std::time::Duration;

use gateway::Config;
use proto::event;
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{Edge, Frames, problem};

async fn cancel(edge: &Edge, turn: Option<&Value>) -> Response {
    let mut body = json!({"userId": "u"});
    if let Some(turn) = turn {
        body["turnId"] = turn.clone();
    }
    edge.post("/v1/sessions/s/cancel", &body).send().await.unwrap()
}

#[tokio::test]
async fn a_running_turn_is_asked_to_stop_once_and_keeps_its_place() {
    let edge = Edge::start().await;
    let turn = edge.accepted("Why?").await["turnId"].clone();
    let mut work = edge.work().await;
    let began = edge.last().await.sequence.0;
    for asked in [None, Some(&turn)] {
        let response = cancel(&edge, asked).await;
        assert_eq!(response.status(), 202);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body, json!({"turnId": turn, "status": "cancelling"}));
    }
    let last = edge.last().await;
    assert_eq!(last.entry.follows, began, "asked twice, stored once");
    let state = last.entry.state.unwrap();
    assert_eq!((state.began, state.cancels), (began, vec![turn.as_str().unwrap().to_owned()]));
    work.catch_up().await;
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    let refusal = problem(cancel(&edge, Some(&turn)).await, 409).await;
    assert_eq!((&refusal["turnId"], &refusal["turnStatus"]), (&turn, &json!("cancelled")));
}

#[tokio::test]
async fn a_waiting_turn_is_asked_to_stop_before_it_begins() {
    let edge = Edge::start().await;
    let turn = edge.accepted("Why?").await["turnId"].clone();
    assert_eq!(cancel(&edge, Some(&turn)).await.status(), 202);
    assert_eq!(edge.last().await.entry.state.unwrap().cancels, [turn.as_str().unwrap()]);
}

#[tokio::test]
async fn a_turn_that_ended_long_ago_is_told_with_its_ending() {
    let edge = Edge::start().await;
    let first = edge.accepted("One?").await["turnId"].clone();
    for _ in 0..2 {
        let mut work = edge.work().await;
        work.complete().await;
        work.settle().await;
        edge.accepted("More?").await;
    }
    let refusal = problem(cancel(&edge, Some(&first)).await, 409).await;
    assert_eq!(refusal["turnStatus"], "completed");
}

#[tokio::test]
async fn a_turn_that_never_was_is_not_found() {
    let edge = Edge::start().await;
    let unknown = json!("00000000-0000-7000-8000-000000000001");
    problem(cancel(&edge, None).await, 404).await;
    problem(cancel(&edge, Some(&unknown)).await, 404).await;
    edge.accepted("Why?").await;
    problem(cancel(&edge, Some(&unknown)).await, 404).await;
    let refusal = problem(cancel(&edge, Some(&json!("x"))).await, 400).await;
    assert_eq!(refusal["violations"][0]["field"], "turnId");
}

#[tokio::test]
async fn a_turn_may_end_with_its_reader() {
    let disconnect_grace = Duration::from_millis(10);
    let edge = Edge::with(Config { disconnect_grace, ..Config::default() }).await;
    let mut watcher = edge.events("&after=start").await;
    let body = json!({"userId": "u", "input": "Why?", "onDisconnect": "cancel"});
    let request = edge.post("/v1/sessions/s/turns", &body).header("accept", "text/event-stream");
    let mut reader = Frames::of(request.send().await.unwrap());
    let mut work = edge.work().await;
    work.text("Because").await;
    reader.until("text").await;
    watcher.until("text").await;
    let began = edge.last().await.sequence;
    drop(reader);
    let session = crate::harness::session();
    let log = std::sync::Arc::clone(&edge.broker.log);
    let mut follow = broker::Follow::open(log, session, broker::From::Now).await.unwrap();
    let asked = async {
        while edge.last().await.sequence == began {
            follow.next().await.unwrap();
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, asked).await.unwrap();
    let cancels = edge.last().await.entry.state.unwrap().cancels;
    assert_eq!(cancels, [work.delivery.turn.to_string()]);
}

#[tokio::test]
async fn a_turn_whose_reader_comes_back_goes_on() {
    let disconnect_grace = Duration::from_millis(200);
    let edge = Edge::with(Config { disconnect_grace, ..Config::default() }).await;
    let body = json!({"userId": "u", "input": "Why?", "onDisconnect": "cancel"});
    let ask = || {
        let request = edge.post("/v1/sessions/s/turns", &body);
        request.header("accept", "text/event-stream").header("idempotency-key", "k").send()
    };
    let mut first = Frames::of(ask().await.unwrap());
    let mut work = edge.work().await;
    work.text("Because").await;
    first.until("text").await;
    let second = Frames::of(ask().await.unwrap());
    drop(first);
    // Somebody else's turn, whose reader leaves later, is stopped: by then the
    // grace of the first one is over.
    let other = json!({"userId": "v", "input": "Why?", "onDisconnect": "cancel"});
    let request = edge.post("/v1/sessions/s/turns", &other).header("accept", "text/event-stream");
    let mut third = Frames::of(request.send().await.unwrap());
    let mut theirs = edge.work().await;
    theirs.text("Because").await;
    third.until("text").await;
    let cancels = async |session: &proto::Session| {
        let last = edge.broker.log.last(session).await.unwrap().unwrap();
        last.entry.state.unwrap().cancels
    };
    let stopped = async |session: &proto::Session| {
        let log = std::sync::Arc::clone(&edge.broker.log);
        let mut follow =
            broker::Follow::open(log, session.clone(), broker::From::Now).await.unwrap();
        while cancels(session).await.is_empty() {
            tokio::time::timeout(crate::harness::PATIENCE, follow.next()).await.unwrap().unwrap();
        }
    };
    drop(third);
    stopped(&theirs.delivery.session).await;
    assert!(cancels(&work.delivery.session).await.is_empty(), "it is read");
    drop(second);
    stopped(&work.delivery.session).await;
}
