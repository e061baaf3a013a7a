//! `POST /v1/sessions/{session}/turns` in its three forms.

use proto::{Status, event};
use serde_json::json;

use crate::harness::{Edge, Frames, frames, problem};

#[tokio::test]
async fn a_question_streams_until_its_stored_end() {
    let edge = Edge::start().await;
    let request = edge.ask("Why?\r\n\nid: 1").header("accept", "text/event-stream");
    let response = request.send().await.unwrap();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let mut work = edge.work().await;
    work.text("Because\r\n\r\ndata: x").await;
    let citation = proto::Citation { number: 1, source: "a.md".into(), ..Default::default() };
    work.say(vec![event::Kind::Citation(citation), event::Kind::Text(".".into())]).await;
    work.complete().await;
    let position = edge.last().await.sequence.0;
    let body = response.text().await.unwrap();
    assert!(body.starts_with("retry: 1000\n\n"));
    let frames = frames(&body);
    let kinds: Vec<_> = frames[1..].iter().map(|it| it.event.clone().unwrap()).collect();
    assert_eq!(kinds, ["started", "text", "citation", "text", "completed"]);
    let ids: Vec<_> = frames[1..].iter().map(|it| it.id.clone().unwrap()).collect();
    assert!(ids[2].ends_with(".1") && ids[3].ends_with(".2"));
    assert!(ids[4].ends_with(&format!("-{position}")));
    assert_eq!(frames[1].data["started"]["input"], "Why?\r\n\nid: 1");
    assert_eq!(frames[2].data["text"], "Because\r\n\r\ndata: x");
    assert_eq!(frames[2].data["sessionId"], "s");
    assert_eq!(frames[2].data["turnId"], work.delivery.turn.to_string());
    assert_eq!((&frames[2].data["attempt"], &frames[2].data["index"]), (&json!(1), &json!(1)));
    work.settle().await;
}

#[tokio::test]
async fn a_client_that_takes_json_waits_for_the_whole_answer() {
    let edge = Edge::start().await;
    let answer = edge.ask("Why?").header("accept", "application/json").send();
    let play = async {
        let mut work = edge.work().await;
        work.text("Be").await;
        work.text("cause").await;
        let usage = proto::Usage { input_tokens: 3, ..Default::default() };
        work.say(vec![event::Kind::Usage(usage)]).await;
        work.complete().await;
        work.delivery.turn.to_string()
    };
    let (response, turn) = tokio::join!(answer, play);
    let answer: serde_json::Value = response.unwrap().json().await.unwrap();
    assert_eq!(
        answer,
        json!({"sessionId": "s", "turnId": turn, "status": "completed", "text": "Because",
               "toolCalls": [], "usage": {"inputTokens": 3}})
    );
}

#[tokio::test]
async fn a_failed_turn_is_an_answer_with_its_error() {
    let edge = Edge::start().await;
    let answer = edge.ask("Why?").send();
    let play = async {
        let failed = proto::Failed {
            code: "unknown_model".into(),
            message: "No such model.".into(),
            retryable: false,
        };
        edge.work().await.say(vec![event::Kind::Failed(failed)]).await;
    };
    let (response, ()) = tokio::join!(answer, play);
    let answer: serde_json::Value = response.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "failed");
    assert_eq!(answer["error"]["code"], "unknown_model");
}

#[tokio::test]
async fn a_receipt_names_the_turn_and_where_to_follow_it() {
    let edge = Edge::start().await;
    for round in 1..=2 {
        let receipt = edge.accepted("Why?").await;
        assert_eq!(receipt["sessionId"], "s");
        let after = receipt["position"].as_str().unwrap();
        let mut events = edge.events(&format!("&after={after}")).await;
        let mut work = edge.work().await;
        work.text("Because").await;
        work.complete().await;
        let frames = events.until("completed").await;
        assert_eq!(frames.len(), 3, "round {round}");
        assert_eq!(frames[0].data["turnId"], receipt["turnId"]);
        work.settle().await;
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_turn_waiting_running_and_ended() {
    let edge = Edge::start().await;
    let ask = |input: &str| {
        let request = edge.ask(input).header("idempotency-key", "k1");
        request.header("accept", "text/event-stream")
    };
    let first = ask("Why?").send().await.unwrap();
    let waiting = ask("Why?").send().await.unwrap();
    problem(ask("Why not?").send().await.unwrap(), 422).await;
    let mut work = edge.work().await;
    work.text("Because").await;
    let running = ask("Why?").send().await.unwrap();
    work.complete().await;
    work.settle().await;
    let ended = ask("Why?").send().await.unwrap();
    problem(ask("Why not?").send().await.unwrap(), 422).await;
    let whole = first.text().await.unwrap();
    assert_eq!(frames(&whole).len(), 4);
    for other in [waiting, running, ended] {
        assert_eq!(other.text().await.unwrap(), whole);
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn an_old_turn_is_found_again_by_its_key_behind_later_ones() {
    let edge = Edge::start().await;
    let ask =
        || edge.ask("One?").header("idempotency-key", "k1").header("accept", "text/event-stream");
    let first = ask().send().await.unwrap();
    let mut work = edge.work().await;
    work.complete().await;
    work.settle().await;
    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    let again = ask().send().await.unwrap();
    assert_eq!(again.text().await.unwrap(), first.text().await.unwrap());
    work.complete().await;
}

#[tokio::test]
async fn a_second_question_is_refused_with_the_turn_in_the_way() {
    let edge = Edge::start().await;
    let receipt = edge.accepted("One?").await;
    let refusal = problem(edge.ask("Two?").send().await.unwrap(), 409).await;
    assert_eq!(refusal["type"], "urn:weir:problem:turn_in_progress");
    assert_eq!(refusal["turnId"], receipt["turnId"]);
    let mut work = edge.work().await;
    let refusal = problem(edge.ask("Two?").send().await.unwrap(), 409).await;
    assert_eq!(refusal["turnId"], receipt["turnId"]);
    work.complete().await;
    // The job of the ended turn is still there: it is not in the way.
    edge.accepted("Two?").await;
}

#[tokio::test]
async fn an_enqueued_turn_shows_nothing_of_the_one_before_it() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let mut work = edge.work().await;
    let body = json!({"userId": "u", "input": "Two?", "admission": "enqueue"});
    let request = edge.post("/v1/sessions/s/turns", &body).header("accept", "text/event-stream");
    let response = request.send().await.unwrap();
    let full = edge.post("/v1/sessions/s/turns", &body).send().await.unwrap();
    assert_eq!(full.headers()["retry-after"], "1");
    problem(full, 429).await;
    work.text("first").await;
    work.complete().await;
    work.settle().await;
    let mut work = edge.work().await;
    work.text("second").await;
    work.complete().await;
    let frames = frames(&response.text().await.unwrap());
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[1].data["started"]["input"], "Two?");
    assert_eq!(frames[2].data["text"], "second");
}

#[tokio::test]
async fn an_interrupting_question_asks_to_stop_the_running_turn_first() {
    let edge = Edge::start().await;
    let running = edge.accepted("One?").await;
    let _work = edge.work().await;
    let body = json!({"userId": "u", "input": "Two?", "admission": "interrupt"});
    let request = edge.post("/v1/sessions/s/turns", &body).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let state = edge.last().await.entry.state.unwrap();
    assert_eq!(state.status(), Status::Running);
    assert_eq!(state.cancels, [running["turnId"].as_str().unwrap()]);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 2);
}

#[tokio::test]
async fn a_cut_turn_is_resumed_by_asking_again_with_the_key_and_the_last_id() {
    let edge = Edge::start().await;
    let ask =
        || edge.ask("Why?").header("idempotency-key", "k").header("accept", "text/event-stream");
    let mut cut = Frames::of(ask().send().await.unwrap());
    let mut work = edge.work().await;
    work.text("Be").await;
    let had = cut.until("text").await;
    drop(cut);
    work.text("cause").await;
    work.complete().await;
    let last = had.last().unwrap().id.clone().unwrap();
    let after = async |last: &str| {
        let rest = ask().header("last-event-id", last).send().await.unwrap();
        frames(&rest.text().await.unwrap())
    };
    let rest = after(&last).await;
    assert_eq!(rest[1].data["text"], "cause");
    assert!(rest[2].is("completed"));
    let end = rest[2].id.clone().unwrap();
    assert_eq!(after(&end).await.len(), 1, "only `retry`, and a clean end");
    assert_eq!(after("zz-1").await.len(), 5, "a foreign position: all of it");
}
