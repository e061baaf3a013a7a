//! `GET /v1/sessions/{session}/turns`.

use broker::Bucket;
use proto::{Ending, Message, Session, ToolCall, Transcript, TranscriptTurn, event};
use reqwest::Response;
use serde_json::{Value, json};

use crate::decisions::store;
use crate::harness::{Edge, problem, session};

fn id(n: u8) -> String {
    format!("00000000-0000-7000-8000-0000000000{n:02}")
}

fn said(role: &str, content: &str) -> Message {
    Message { role: role.into(), content: content.into(), ..Message::default() }
}

fn turn(n: u8, ending: Ending) -> TranscriptTurn {
    TranscriptTurn {
        turn_id: id(n),
        messages: vec![said("user", &format!("q{n}")), said("assistant", &format!("a{n}"))],
        at: Some(proto::timestamp(std::time::Duration::from_secs(n.into()))),
        interrupted: ending == Ending::Interrupted,
        ending: ending.into(),
        ..TranscriptTurn::default()
    }
}

async fn keep(edge: &Edge, session: &Session, turns: Vec<TranscriptTurn>) {
    let transcript = Transcript { version: proto::FORMAT, turns, ..Transcript::default() };
    store(edge, session, Bucket::Transcripts, &transcript).await;
}

async fn get(edge: &Edge, query: &[(&str, &str)]) -> Response {
    edge.get("/v1/sessions/s/turns").query(query).send().await.unwrap()
}

async fn turns(edge: &Edge, query: &[(&str, &str)]) -> Value {
    let response = get(edge, &[&[("userId", "u")], query].concat()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

/// The turns' statuses, and the content of each one's messages.
fn told(page: &Value) -> Vec<(&str, Vec<&str>)> {
    fn contents(turn: &Value) -> Vec<&str> {
        let messages = turn["messages"].as_array().unwrap().iter();
        messages.map(|it| it["content"].as_str().unwrap()).collect()
    }
    let turns = page["turns"].as_array().unwrap().iter();
    turns.map(|it| (it["status"].as_str().unwrap(), contents(it))).collect()
}

#[tokio::test]
async fn a_transcript_is_told_in_pages_the_oldest_turn_first() {
    let edge = Edge::start().await;
    let call = ToolCall { call_id: "c".into(), name: "n".into(), arguments: "{}".into() };
    let mut second = turn(2, Ending::Interrupted);
    second.messages[1].tool_calls.push(call);
    second.messages.push(Message { tool_call_id: "c".into(), ..said("tool", "r") });
    second.sources.push(proto::Citation { number: 1, source: "a.md".into(), ..Default::default() });
    let unspecified = turn(3, Ending::Unspecified);
    keep(&edge, &session(), vec![turn(1, Ending::Completed), second, unspecified]).await;
    let first = turns(&edge, &[("limit", "2")]).await;
    assert_eq!(
        first["turns"],
        json!([
            {"turnId": id(1), "at": "1970-01-01T00:00:01Z", "status": "completed",
             "messages": [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"}]},
            {"turnId": id(2), "at": "1970-01-01T00:00:02Z", "status": "interrupted",
             "messages": [
                {"role": "user", "content": "q2"},
                {"role": "assistant", "content": "a2",
                 "toolCalls": [{"callId": "c", "name": "n", "arguments": "{}"}]},
                {"role": "tool", "content": "r", "toolCallId": "c"}],
             "sources": [{"number": 1, "source": "a.md"}]},
        ])
    );
    let cursor = first["cursor"].as_str().unwrap();
    let second = turns(&edge, &[("cursor", cursor)]).await;
    assert_eq!(told(&second), [("unknown", vec!["q3", "a3"])]);
    assert_eq!(second.get("cursor"), None);
}

#[tokio::test]
async fn the_last_turn_is_told_as_the_log_knows_it_and_what_waits_behind_it() {
    let edge = Edge::start().await;
    keep(&edge, &session(), vec![turn(1, Ending::Completed)]).await;
    edge.accepted("Two?").await;
    let mut work = edge.work().await;
    work.text("half").await;
    work.text(" wrong").await;
    work.say(vec![event::Kind::Rewind(proto::Rewind { to: 1 })]).await;
    let waiting = json!({"userId": "u", "input": "Three?", "admission": "enqueue"});
    let request = edge.post("/v1/sessions/s/turns", &waiting).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let running = turns(&edge, &[]).await;
    assert_eq!(
        told(&running),
        [
            ("completed", vec!["q1", "a1"]),
            ("running", vec!["Two?", "half"]),
            ("queued", vec!["Three?"])
        ]
    );
    assert_eq!(running["turns"][1]["turnId"], work.delivery.turn.to_string());
    assert!(running["turns"][1]["at"].is_string() && running["turns"][2]["at"].is_string());

    let failed = proto::Failed { message: "It broke.".into(), ..Default::default() };
    work.say(vec![event::Kind::Failed(failed)]).await;
    let turn_two = work.delivery.turn.to_string();
    work.settle().await;
    let failed = turns(&edge, &[]).await;
    assert_eq!(told(&failed)[1], ("failed", vec!["Two?", "half"]));
    // Stored after all, as one that was stopped may be.
    let late = TranscriptTurn { turn_id: turn_two, ..turn(2, Ending::Unspecified) };
    keep(&edge, &session(), vec![turn(1, Ending::Completed), late]).await;
    assert_eq!(told(&turns(&edge, &[]).await)[1], ("failed", vec!["q2", "a2"]));
}

#[tokio::test]
async fn nobody_but_its_user_reads_a_transcript_and_an_erased_one_is_read_by_nobody() {
    let edge = Edge::start().await;
    problem(get(&edge, &[("userId", "u")]).await, 404).await;
    keep(&edge, &session(), vec![turn(1, Ending::Completed)]).await;
    assert_eq!(told(&turns(&edge, &[]).await).len(), 1);
    problem(get(&edge, &[("userId", "v")]).await, 404).await;
    let erasing = Transcript {
        turns: vec![turn(1, Ending::Completed)],
        erasing: true,
        ..Transcript::default()
    };
    store(&edge, &session(), Bucket::Transcripts, &erasing).await;
    problem(get(&edge, &[("userId", "u")]).await, 404).await;
    keep(&edge, &session(), vec![turn(1, Ending::Completed)]).await;
    let answer: Value = edge.erase("s").send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["removed"]["turns"], 1, "{answer}");
    problem(get(&edge, &[("userId", "u")]).await, 404).await;
}

#[tokio::test]
async fn pages_of_a_transcript_that_make_no_sense_are_refused_by_field() {
    let edge = Edge::start().await;
    keep(&edge, &session(), vec![turn(1, Ending::Completed)]).await;
    for (query, field) in [
        (("limit", "0"), "limit"),
        (("limit", "101"), "limit"),
        (("cursor", "x"), "cursor"),
        (("cursor", ""), "cursor"),
    ] {
        let refused = get(&edge, &[("userId", "u"), query]).await;
        assert_eq!(problem(refused, 400).await["violations"][0]["field"], field);
    }
    problem(get(&edge, &[]).await, 400).await;
}
