//! Asking in an earlier turn's place: who is refused at the edge, what the worker
//! is told, and what readers see.

use broker::Bucket;
use proto::{Job, Message, Transcript, TranscriptTurn, TurnId, event};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::decisions::store;
use crate::harness::{Edge, Work, frames, problem, session};

fn turn(turn: TurnId, question: &str) -> TranscriptTurn {
    let said = |role: &str, content: &str| Message {
        role: role.into(),
        content: content.into(),
        ..Message::default()
    };
    TranscriptTurn {
        turn_id: turn.to_string(),
        messages: vec![said("user", question), said("assistant", "So.")],
        ..TranscriptTurn::default()
    }
}

/// The turns that the transcript has from now on.
async fn keep(edge: &Edge, turns: Vec<TranscriptTurn>) {
    let transcript = Transcript { version: proto::FORMAT, turns, ..Transcript::default() };
    store(edge, &session(), Bucket::Transcripts, &transcript).await;
}

/// Asks and answers these, as the transcript then has them.
async fn answered(edge: &Edge, questions: &[&str]) -> Vec<TurnId> {
    let (mut ids, mut kept) = (Vec::new(), Vec::new());
    for question in questions {
        edge.accepted(question).await;
        let mut work = edge.work().await;
        ids.push(work.delivery.turn);
        kept.push(turn(work.delivery.turn, question));
        keep(edge, kept.clone()).await;
        work.complete().await;
        work.settle().await;
    }
    ids
}

/// Begins a turn that fails without a word.
async fn failed(edge: &Edge) -> TurnId {
    let mut work = edge.work().await;
    let turn = work.delivery.turn;
    work.say(vec![event::Kind::Failed(proto::Failed::default())]).await;
    work.settle().await;
    turn
}

fn instead(edge: &Edge, replaces: TurnId, input: &str, admission: &str) -> RequestBuilder {
    let replaces = replaces.to_string();
    let body = json!({"userId": "u", "input": input, "replaces": replaces, "admission": admission});
    edge.post("/v1/sessions/s/turns", &body).header("prefer", "respond-async")
}

async fn accepted(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 202, "{:?}", response.text().await);
    response.json().await.unwrap()
}

async fn refused(request: RequestBuilder, status: u16, code: &str) -> Value {
    let refusal = problem(request.send().await.unwrap(), status).await;
    assert_eq!(refusal["type"], format!("urn:weir:problem:{code}"), "{refusal}");
    refusal
}

/// What is told of the session: each turn's status and first message.
async fn told(edge: &Edge) -> Vec<(String, String)> {
    let page = edge.get("/v1/sessions/s/turns?userId=u").send().await.unwrap();
    let page: Value = page.json().await.unwrap();
    let turns = page["turns"].as_array().unwrap().iter();
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    turns.map(|it| (text(&it["status"]), text(&it["messages"][0]["content"]))).collect()
}

fn place(job: &Job) -> (String, Option<String>) {
    (job.replaces.clone(), job.behind.clone())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect()
}

#[tokio::test]
async fn a_turn_stands_in_its_place_from_its_beginning_and_the_stream_says_whose_it_is() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?", "Three?"]).await;
    let body = json!({"userId": "u", "input": "Edited?", "replaces": ids[1].to_string()});
    let request = edge.post("/v1/sessions/s/turns", &body).header("accept", "text/event-stream");
    let play = async {
        let mut work = edge.work().await;
        assert_eq!(place(&work.delivery.job), (ids[1].to_string(), None));
        let running = told(&edge).await;
        assert_eq!(running, pairs(&[("unknown", "One?"), ("running", "Edited?")]));
        keep(&edge, vec![turn(ids[0], "One?"), turn(work.delivery.turn, "Edited?")]).await;
        let stored = told(&edge).await;
        assert_eq!(stored, running, "stored, and its end not said yet");
        work.complete().await;
        work.settle().await;
    };
    let (response, ()) = tokio::join!(request.send(), play);
    let said = frames(&response.unwrap().text().await.unwrap());
    let started = said.iter().find(|it| it.is("started")).unwrap();
    let expected = json!({"input": "Edited?", "replaces": ids[1].to_string()});
    assert_eq!(started.data["started"], expected);
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("completed", "Edited?")]));
    let late = refused(instead(&edge, ids[1], "Again?", "reject"), 404, "unknown_turn").await;
    assert_eq!(late["turnId"], ids[1].to_string());
}

#[tokio::test]
async fn what_is_taken_away_comes_back_when_the_new_turn_ends_before_it_is_stored() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?", "Three?"]).await;
    accepted(instead(&edge, ids[1], "Edited?", "reject")).await;
    let edited = failed(&edge).await;
    let (one, two, three) = (("unknown", "One?"), ("unknown", "Two?"), ("unknown", "Three?"));
    assert_eq!(told(&edge).await, pairs(&[one, two, three, ("failed", "Edited?")]));
    // Again in its place, which is that of the one that it was to replace.
    accepted(instead(&edge, edited, "Retried?", "reject")).await;
    let work = edge.work().await;
    assert_eq!(place(&work.delivery.job), (ids[1].to_string(), None));
    assert_eq!(told(&edge).await, pairs(&[one, ("running", "Retried?")]));
}

#[tokio::test]
async fn a_failed_first_question_can_be_asked_again_in_its_place() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let first = failed(&edge).await;
    accepted(instead(&edge, first, "One, again?", "reject")).await;
    let work = edge.work().await;
    assert_eq!(place(&work.delivery.job), (first.to_string(), Some(String::new())));
    assert_eq!(told(&edge).await, pairs(&[("running", "One, again?")]));
}

#[tokio::test]
async fn only_a_turn_of_this_session_that_has_ended_can_be_replaced() {
    let edge = Edge::start().await;
    let unknown = TurnId::new();
    refused(instead(&edge, unknown, "?", "reject"), 404, "unknown_turn").await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    refused(instead(&edge, unknown, "?", "reject"), 404, "unknown_turn").await;
    let elsewhere = json!({"userId": "u", "input": "?", "replaces": ids[0].to_string()});
    let elsewhere = edge.post("/v1/sessions/another/turns", &elsewhere);
    refused(elsewhere, 404, "unknown_turn").await;

    edge.accepted("Three?").await;
    let waits = instead(&edge, ids[0], "?", "reject");
    let waiting = refused(waits, 409, "turn_in_progress").await["turnId"].clone();
    let mut work = edge.work().await;
    let running = work.delivery.turn;
    assert_eq!(waiting, running.to_string());
    let refusal = refused(instead(&edge, running, "?", "reject"), 409, "turn_in_progress").await;
    assert_eq!(refusal["turnId"], running.to_string());
    let waits = refused(instead(&edge, running, "?", "enqueue"), 400, "invalid_request").await;
    assert_eq!(waits["violations"][0]["field"], "admission", "{waits}");
    work.complete().await;
    work.settle().await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0, "nothing was queued");
}

#[tokio::test]
async fn a_running_turn_is_stopped_and_replaced_in_one() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?"]).await;
    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    let stopped = work.delivery.turn;
    accepted(instead(&edge, stopped, "Rather?", "interrupt")).await;
    work.catch_up().await;
    assert!(edge.last().await.entry.state.unwrap().is_cancelled(&stopped.to_string()));
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    work.settle().await;
    let next = edge.work().await;
    let expected = (stopped.to_string(), Some(ids[0].to_string()));
    assert_eq!(place(&next.delivery.job), expected);
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("running", "Rather?")]));
}

/// Whether anybody asked to stop a turn of the session.
async fn is_stopped(edge: &Edge) -> bool {
    let state = edge.last().await.entry.state.unwrap_or_default();
    !state.cancels.is_empty()
}

#[tokio::test]
async fn what_another_device_asked_meanwhile_is_neither_stopped_nor_taken_away() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?"]).await;
    edge.accepted("Two?").await;
    let two = failed(&edge).await;
    edge.accepted("Other?").await;
    let other = edge.broker.queue.pending(&session()).await.unwrap()[0].turn;
    for begun in [false, true] {
        let work = if begun { Some(edge.work().await) } else { None };
        for replaced in [two, ids[0]] {
            for admission in ["reject", "interrupt"] {
                let refusal = instead(&edge, replaced, "Two, again?", admission);
                let refusal = refused(refusal, 409, "turn_in_progress").await;
                assert_eq!(refusal["turnId"], other.to_string(), "{begun} {admission}");
            }
        }
        assert!(!is_stopped(&edge).await);
        let Some(mut work) = work else { continue };
        keep(&edge, vec![turn(ids[0], "One?"), turn(other, "Other?")]).await;
        work.complete().await;
        work.settle().await;
    }
    let late = instead(&edge, two, "Two, again?", "reject");
    refused(late, 404, "unknown_turn").await;
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("completed", "Other?")]));
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_turn_that_replaces_is_not_stopped_for_one_that_wants_the_same_place() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    accepted(instead(&edge, ids[1], "Mine?", "reject")).await;
    let mut work = edge.work().await;
    let mine = work.delivery.turn;
    let refusal = refused(instead(&edge, ids[1], "?", "interrupt"), 409, "turn_in_progress").await;
    assert_eq!(refusal["turnId"], mine.to_string());
    assert!(!is_stopped(&edge).await);
    keep(&edge, vec![turn(ids[0], "One?"), turn(mine, "Mine?")]).await;
    work.complete().await;
    work.settle().await;
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("completed", "Mine?")]));
}

#[tokio::test]
async fn a_turn_with_another_one_waiting_behind_it_cannot_be_replaced() {
    let edge = Edge::start().await;
    answered(&edge, &["One?"]).await;
    edge.accepted("Two?").await;
    let work = edge.work().await;
    let running = work.delivery.turn;
    let body = json!({"userId": "u", "input": "Three?", "admission": "enqueue"});
    let waits = edge.post("/v1/sessions/s/turns", &body).header("prefer", "respond-async");
    let waits: TurnId = accepted(waits).await["turnId"].as_str().unwrap().parse().unwrap();
    for replaced in [running, waits] {
        let refusal = instead(&edge, replaced, "?", "interrupt");
        let refusal = refused(refusal, 409, "turn_in_progress").await;
        assert_eq!(refusal["turnId"], running.to_string());
    }
    assert!(!is_stopped(&edge).await);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 2);
}

/// Stops what runs, which says that it was, and nothing else.
async fn cancelled(mut work: Work) {
    work.catch_up().await;
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    work.settle().await;
}

#[tokio::test]
async fn what_stood_in_for_one_that_stood_in_for_another_is_replaced_in_the_first_ones_place() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    accepted(instead(&edge, ids[1], "Edited?", "reject")).await;
    let work = edge.work().await;
    let edited = work.delivery.turn;
    accepted(instead(&edge, edited, "Rather?", "interrupt")).await;
    cancelled(work).await;
    let rather = failed(&edge).await;
    accepted(instead(&edge, rather, "At last?", "reject")).await;
    let work = edge.work().await;
    let expected = (rather.to_string(), Some(ids[0].to_string()));
    assert_eq!(place(&work.delivery.job), expected);
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("running", "At last?")]));
}

#[tokio::test]
async fn a_stopped_turn_that_may_be_stored_late_is_replaced_itself_where_it_was_to_stand() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    accepted(instead(&edge, ids[1], "Edited?", "reject")).await;
    let work = edge.work().await;
    let edited = work.delivery.turn;
    cancelled(work).await;
    accepted(instead(&edge, edited, "Again?", "reject")).await;
    let work = edge.work().await;
    assert_eq!(place(&work.delivery.job), (edited.to_string(), Some(ids[0].to_string())));
}

#[tokio::test]
async fn of_two_devices_that_replace_one_turn_one_is_refused() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    let (one, two) = tokio::join!(
        instead(&edge, ids[1], "Mine?", "reject").send(),
        instead(&edge, ids[1], "No, mine?", "reject").send(),
    );
    let mut statuses = [one.unwrap().status().as_u16(), two.unwrap().status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409]);
    let mut work = edge.work().await;
    keep(&edge, vec![turn(ids[0], "One?"), turn(work.delivery.turn, "Mine?")]).await;
    work.complete().await;
    work.settle().await;
    refused(instead(&edge, ids[1], "Late?", "reject"), 404, "unknown_turn").await;
}

#[tokio::test]
async fn a_repeated_request_is_the_same_turn_although_its_place_is_taken_by_itself() {
    let edge = Edge::start().await;
    let ids = answered(&edge, &["One?", "Two?"]).await;
    let keyed = || instead(&edge, ids[1], "Edited?", "reject").header("idempotency-key", "k");
    let receipt = accepted(keyed()).await;
    assert_eq!(accepted(keyed()).await["turnId"], receipt["turnId"]);
    let mut work = edge.work().await;
    keep(&edge, vec![turn(ids[0], "One?"), turn(work.delivery.turn, "Edited?")]).await;
    work.complete().await;
    work.settle().await;
    assert_eq!(accepted(keyed()).await["turnId"], receipt["turnId"]);
    let other = instead(&edge, ids[0], "Edited?", "reject").header("idempotency-key", "k");
    refused(other, 422, "idempotency_key_reused").await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

/// A turn that waits for a human, and one that decided and failed.
async fn decided(edge: &Edge) -> (TurnId, Work) {
    let waits = crate::decisions::interrupted(edge).await;
    let kept = TranscriptTurn { interrupted: true, ..turn(waits, "Write?") };
    keep(edge, vec![turn(TurnId::new(), "One?"), kept]).await;
    let call = crate::decisions::call(waits, "a");
    let decision = json!({"callId": "a", "argumentsHash": call.arguments_hash, "type": "accept"});
    let body = json!({"userId": "u", "turnId": waits.to_string(), "decisions": [decision]});
    let request = edge.post("/v1/sessions/s/decisions", &body).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    (waits, edge.work().await)
}

#[tokio::test]
async fn a_turn_that_resumed_another_one_is_replaced_together_with_that() {
    let edge = Edge::start().await;
    let (waits, mut work) = decided(&edge).await;
    let resumed = work.delivery.turn;
    work.say(vec![event::Kind::Failed(proto::Failed::default())]).await;
    work.settle().await;
    accepted(instead(&edge, resumed, "Never mind?", "reject")).await;
    let work = edge.work().await;
    assert_eq!(place(&work.delivery.job), (waits.to_string(), None));
    assert_eq!(told(&edge).await, pairs(&[("unknown", "One?"), ("running", "Never mind?")]));
}
