//! `/agent/*`, as clients of the system that Weir replaces use it.

mod hostile;
mod resuming;

use std::time::Duration;

use broker::{Bucket, Expected, Key};
use prost::Message as _;
use proto::{PendingCall, Review, Session, SessionRecord, TurnId, event};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use crate::decisions::{call, store};
use crate::harness::{Edge, Work, frames, session};

fn body(query: &str) -> Value {
    json!({"user_id": "u", "session_id": "s", "query": query, "unknown": [1]})
}

fn resume(kind: &str, args: &Value) -> Value {
    json!({"user_id": "u", "session_id": "s", "response_type": kind, "args": args})
}

async fn read(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

async fn status(edge: &Edge, user: &str) -> Value {
    read(edge.get(&format!("/agent/status/{user}/s"))).await
}

/// Checks that an answer is a refusal of this family.
async fn refused(response: Response, status: u16) -> String {
    let (got, kind) = (response.status(), response.headers()["content-type"].clone());
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(kind, "application/json");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["success"], &told["status"]), (&json!(false), &json!("error")));
    assert_eq!(told["message"], told["detail"]);
    told["message"].as_str().unwrap().to_owned()
}

/// Asks with `/agent/invoke` while a test plays the turn.
async fn invoked<T>(edge: &Edge, body: &Value, play: impl Future<Output = T>) -> (Value, T) {
    let asking = read(edge.post("/agent/invoke", body));
    tokio::join!(asking, play)
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_messages() {
    let edge = Edge::start().await;
    let mut asked = body("Why?");
    asked["system_message"] = json!("Be brief.");
    let play = async {
        let mut work = edge.work().await;
        assert_eq!(work.delivery.job.system, "Be brief.");
        work.text("Let me look.").await;
        let call = proto::ToolCall {
            call_id: "c".into(),
            name: "t__count".into(),
            arguments: r#"{"by":1}"#.into(),
        };
        let result =
            proto::ToolResult { call_id: "c".into(), content: "1".into(), ..Default::default() };
        work.say(vec![event::Kind::ToolCall(call), event::Kind::ToolResult(result)]).await;
        work.text("It is 1.").await;
        work.complete().await;
        work.settle().await;
    };
    let before = process::clock::now().as_secs_f64();
    let (answer, ()) = invoked(&edge, &asked, play).await;
    let at = answer["timestamp"].as_f64().unwrap();
    assert!((before..before + 60.0).contains(&at), "{at}");
    for (field, expected) in [
        ("session_id", json!("s")),
        ("status", json!("completed")),
        ("message", Value::Null),
        ("interrupt_data", Value::Null),
    ] {
        assert_eq!(answer[field], expected, "{answer}");
    }
    let call = json!({"name": "t__count", "args": {"by": 1}, "id": "c", "type": "tool_call"});
    assert_eq!(
        answer["result"]["messages"],
        json!([
            {"type": "human", "content": "Why?"},
            {"type": "ai", "content": "Let me look.", "tool_calls": [call]},
            {"type": "tool", "content": "1", "name": "t__count", "tool_call_id": "c"},
            {"type": "ai", "content": "It is 1.", "tool_calls": []},
        ])
    );
}

#[tokio::test]
async fn a_question_waits_behind_an_unfinished_turn() {
    let edge = Edge::start().await;
    edge.accepted("One?").await;
    let first = edge.work().await;
    let (one, two) = (body("Two?"), body("Three?"));
    let asking = edge.post("/agent/invoke/stream", &one).send().await.unwrap();
    assert_eq!(asking.status(), 200);
    // Past the depth of the queue.
    let full = refused(edge.post("/agent/invoke", &two).send().await.unwrap(), 429).await;
    assert!(full.contains("as many waiting turns"), "{full}");
    finish(first, "1").await;
    finish(edge.work().await, "2").await;
    let said = frames(&asking.text().await.unwrap());
    assert_eq!(said[0].data["content"], "2");
}

async fn finish(mut work: Work, text: &str) {
    work.text(text).await;
    work.complete().await;
    work.settle().await;
}

#[tokio::test]
async fn a_stream_is_of_data_alone_and_ends_after_the_stored_end() {
    let edge = Edge::start().await;
    let response = edge.post("/agent/invoke/stream", &body("Why?")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut work = edge.work().await;
    work.text("多巴").await;
    work.text("wrong").await;
    work.say(vec![event::Kind::Rewind(proto::Rewind { to: 1 })]).await;
    work.text("胺\n").await;
    work.complete().await;
    let said = frames(&response.text().await.unwrap());
    assert!(said.iter().all(|it| it.event.is_none() && it.id.is_none()));
    let kinds: Vec<_> = said.iter().map(|it| it.data["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text_chunk", "text_chunk", "rewind", "text_chunk", "completed"]);
    assert_eq!(said[2].data["content"], "多巴");
    assert_eq!(said[4].data["data"]["content"], "多巴胺\n");
    assert_eq!(said[4].data["data"]["messages"][1]["content"], "多巴胺\n");
    for frame in &said {
        assert_eq!(frame.data["session_id"], "s");
        assert!(frame.data["timestamp"].is_f64(), "{frame:?}");
    }
}

#[tokio::test]
async fn a_stream_whose_turn_has_no_stored_end_is_cut() {
    let edge = Edge::start().await;
    let mut response = edge.post("/agent/invoke/stream", &body("Why?")).send().await.unwrap();
    let mut work = edge.work().await;
    work.text("half").await;
    assert!(response.chunk().await.unwrap().is_some());
    edge.life.drain();
    let rest = async {
        while response.chunk().await?.is_some() {}
        Ok::<_, reqwest::Error>(())
    };
    assert!(rest.await.is_err(), "no clean end");
}

#[tokio::test]
async fn a_turn_that_brings_no_answer_is_an_error_that_says_why() {
    let failed = proto::Failed { message: "It broke.".into(), ..Default::default() };
    for (end, says) in [
        (event::Kind::Failed(failed), "It broke."),
        (event::Kind::Cancelled(proto::Cancelled {}), "The turn was cancelled."),
    ] {
        let edge = Edge::start().await;
        let play = async {
            let mut work = edge.work().await;
            work.text("half").await;
            work.say(vec![end.clone()]).await;
            work.settle().await;
        };
        let (answer, ()) = invoked(&edge, &body("Why?"), play).await;
        assert_eq!((&answer["status"], &answer["message"]), (&json!("error"), &json!(says)));
        assert_eq!(answer["result"], Value::Null);
        let shown = status(&edge, "u").await;
        assert_eq!((&shown["status"], &shown["message"]), (&json!("error"), &json!(says)));
        assert_eq!(shown["last_response"]["message"], says);

        let response = edge.post("/agent/invoke/stream", &body("Why?")).send().await.unwrap();
        edge.work().await.say(vec![end]).await;
        let said = frames(&response.text().await.unwrap());
        assert_eq!(said.last().unwrap().data["type"], "error");
        assert_eq!(said.last().unwrap().data["error_message"], says);
    }
}

async fn review(edge: &Edge, turn: TurnId, calls: Vec<PendingCall>) {
    let review = Review {
        version: proto::FORMAT,
        turn_ids: vec![turn.to_string()],
        calls,
        ..Review::default()
    };
    store(edge, &session(), Bucket::Reviews, &review).await;
}

#[tokio::test]
async fn a_session_is_told_as_it_stands_from_the_first_question_on() {
    let edge = Edge::start().await;
    let unknown = status(&edge, "u").await;
    assert_eq!(
        (&unknown["status"], &unknown["last_response"]),
        (&json!("not_found"), &Value::Null)
    );
    assert!(unknown["message"].is_string());
    let asking = edge.post("/agent/invoke/stream", &body("Write?")).send().await.unwrap();
    let waits = status(&edge, "u").await;
    assert_eq!((&waits["status"], &waits["last_query"]), (&json!("running"), &json!("Write?")));
    assert!(waits["last_updated"].is_f64(), "{waits}");
    let mut work = edge.work().await;
    let runs = status(&edge, "u").await;
    assert_eq!((&runs["status"], &runs["last_response"]), (&json!("running"), &Value::Null));
    let turn = work.delivery.turn;
    review(&edge, turn, vec![call(turn, "a")]).await;
    let calls = vec![call(turn, "a")];
    work.say(vec![event::Kind::Interrupted(proto::Interrupted { calls, expires: None })]).await;
    work.settle().await;
    drop(asking);
    let stopped = status(&edge, "u").await;
    assert_eq!(
        (&stopped["status"], &stopped["last_query"]),
        (&json!("interrupted"), &json!("Write?"))
    );
    let response = &stopped["last_response"];
    assert_eq!(response["interrupt_data"]["action_request"]["action"], "files__write");
    assert_eq!(response["status"], "interrupted");
    assert_eq!(status(&edge, "v").await["status"], "not_found");

    let accepted = edge.post("/agent/resume", &resume("accept", &Value::Null)).send();
    let play = async { finish(edge.work().await, "Done.").await };
    let (accepted, ()) = tokio::join!(accepted, play);
    assert_eq!(accepted.unwrap().status(), 200);
    let done = status(&edge, "u").await;
    assert_eq!(done["status"], "completed");
    let messages = done["last_response"]["result"]["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["content"], "Done.");
}

async fn record(edge: &Edge, id: &str, updated: u64) {
    let at = Some(proto::timestamp(Duration::from_millis(updated)));
    let record = SessionRecord {
        version: proto::FORMAT,
        question: "Before?".into(),
        answer: "That".into(),
        updated: at,
        turn_id: TurnId::new().to_string(),
        ending: proto::Ending::Completed.into(),
        ..SessionRecord::default()
    };
    let key = Key::session(&Session::parse("u", id).unwrap());
    let value = record.encode_to_vec().into();
    edge.broker.records.put(Bucket::Sessions, &key, value, Expected::Any).await.unwrap();
}

#[tokio::test]
async fn a_users_sessions_are_named_and_the_latest_is_the_active_one_until_it_is_deleted() {
    let edge = Edge::start().await;
    let ids = async |user: &str| read(edge.get(&format!("/agent/sessionids/{user}"))).await;
    let active = async || read(edge.get("/agent/active/sessionid/u")).await;
    assert_eq!(ids("u").await, json!({"session_ids": []}));
    assert_eq!(active().await, json!({"active_session_id": ""}));
    record(&edge, "old", 1_500).await;
    record(&edge, "用户.1", 2_500).await;
    assert_eq!(ids("u").await, json!({"session_ids": ["用户.1", "old"]}));
    assert_eq!(active().await, json!({"active_session_id": "用户.1"}));
    assert_eq!(ids("v").await, json!({"session_ids": []}));
    let kept = read(edge.get("/agent/status/u/old")).await;
    assert_eq!((&kept["status"], &kept["last_updated"]), (&json!("completed"), &json!(1.5)));
    assert_eq!(kept["last_query"], "Before?");
    assert_eq!(kept["last_response"]["result"]["messages"][1]["content"], "That");

    let delete = |user: &str, id: &str| {
        edge.http.delete(format!("http://{}/agent/session/{user}/{id}", edge.address)).send()
    };
    refused(delete("v", "old").await.unwrap(), 404).await;
    let deleted = delete("u", "用户.1").await.unwrap();
    assert_eq!(deleted.status(), 200);
    let deleted: Value = deleted.json().await.unwrap();
    assert_eq!((&deleted["success"], &deleted["removed"]["records"]), (&json!(true), &json!(1)));
    refused(delete("u", "用户.1").await.unwrap(), 404).await;
    assert_eq!(active().await, json!({"active_session_id": "old"}));
    let body = json!({"user_id": "u", "memory_info": "Likes tea"});
    let written = read(edge.post("/agent/write/longterm", &body)).await;
    assert_eq!((&written["success"], &written["user_id"]), (&json!(true), &json!("u")));
    assert_eq!(delete("u", "old").await.unwrap().status(), 200);
    let memories = read(edge.get("/v1/memories?userId=u")).await;
    assert_eq!(memories["memories"][0]["text"], "Likes tea", "memory is the user's");
}

#[tokio::test]
async fn an_invoke_with_a_key_can_be_sent_again_after_a_server_stopped() {
    let edge = Edge::start().await;
    let invoke = |edge: &Edge, query| {
        edge.post("/agent/invoke", &body(query)).header("idempotency-key", "k").send()
    };
    let play = async {
        let mut work = edge.work().await;
        work.text("It is 1.").await;
        edge.life.drain();
        work
    };
    let (stopped, mut work) = tokio::join!(invoke(&edge, "Why?"), play);
    let stopped = stopped.unwrap();
    assert_eq!(stopped.status(), 503);
    let told: Value = stopped.json().await.unwrap();
    assert_eq!(told["turn_id"], work.delivery.turn.to_string());
    let elsewhere = edge.another().await;
    let end = async {
        work.complete().await;
        work.settle().await;
    };
    let (again, ()) = tokio::join!(invoke(&elsewhere, "Why?"), end);
    let again: Value = again.unwrap().json().await.unwrap();
    assert_eq!((&again["status"], &again["turn_id"]), (&json!("completed"), &told["turn_id"]));
    refused(invoke(&elsewhere, "What?").await.unwrap(), 422).await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_turn_that_left_the_log_is_told_whole_from_the_transcript() {
    let edge = Edge::start().await;
    let turn = TurnId::new().to_string();
    let record = SessionRecord {
        version: proto::FORMAT,
        turn_id: turn.clone(),
        question: "Wh".into(),
        answer: "Beca".into(),
        ending: proto::Ending::Completed.into(),
        ..SessionRecord::default()
    };
    store(&edge, &session(), Bucket::Sessions, &record).await;
    let last = async || {
        let told = status(&edge, "u").await;
        let messages = told["last_response"]["result"]["messages"].clone();
        let text = |it: usize| messages[it]["content"].as_str().unwrap().to_owned();
        (text(0), text(1))
    };
    assert_eq!(last().await, ("Wh".to_owned(), "Beca".to_owned()));
    let said = |role: &str, content: &str| proto::Message {
        role: role.into(),
        content: content.into(),
        ..proto::Message::default()
    };
    let messages = vec![said("user", "Why?"), said("assistant", "Because.")];
    let kept = proto::TranscriptTurn { turn_id: turn, messages, ..Default::default() };
    let transcript =
        proto::Transcript { version: proto::FORMAT, turns: vec![kept], ..Default::default() };
    store(&edge, &session(), Bucket::Transcripts, &transcript).await;
    assert_eq!(last().await, ("Why?".to_owned(), "Because.".to_owned()));
}
