//! Commands in, native events out.

use broker::{Bucket, Expected, Key};
use prost::Message as _;
use proto::event;
use serde_json::{Value, json};

use super::Client;
use crate::harness::{Edge, Work, session};

/// The events that came of the log: those with a place.
fn stored(events: &[Value]) -> Vec<Value> {
    events.iter().filter(|it| it.get("id").is_some()).cloned().collect()
}

async fn play(edge: &Edge, texts: &[&str]) -> Work {
    let mut work = edge.work().await;
    for text in texts {
        work.text(text).await;
    }
    work
}

#[tokio::test]
async fn a_question_is_accepted_under_its_name_before_anything_it_causes() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "ask", "id": "q1", "input": "Why?", "model": "x/y"})).await;
    let mut work = play(&edge, &["Be", "cause"]).await;
    work.complete().await;
    assert_eq!(work.delivery.job.model, "x/y");
    let events = client.until("completed").await;
    let turn = work.delivery.turn.to_string();
    assert_eq!(events[0]["event"], "accepted");
    assert_eq!(
        (&events[0]["data"]["ref"], &events[0]["data"]["turnId"]),
        (&json!("q1"), &json!(turn))
    );
    // The same bytes as everywhere.
    let mut reader = edge.events("&after=start").await;
    let frames = reader.until("completed").await;
    assert_eq!(stored(&events).len(), frames.len());
    for (event, frame) in stored(&events).iter().zip(&frames) {
        assert_eq!(event["id"].as_str(), frame.id.as_deref());
        assert_eq!(event["event"].as_str(), frame.event.as_deref());
        assert_eq!(event["data"], frame.data);
    }
}

#[tokio::test]
async fn a_socket_that_is_cut_goes_on_at_another_gateway_without_loss_or_doubling() {
    let edge = Edge::start().await;
    let other = edge.another().await;
    for cut in 1..8_usize {
        let mut client = Client::native(&edge).await;
        client.command(json!({"type": "ask", "input": "Why?"})).await;
        let mut work = edge.work().await;
        let mut had = client.until("started").await;
        let texts: Vec<_> = (0..8).map(|n| format!("t{n} ")).collect();
        for (n, text) in texts.iter().enumerate() {
            let citation = proto::Citation { number: 1, ..Default::default() };
            work.say(vec![event::Kind::Text(text.clone()), event::Kind::Citation(citation)]).await;
            if n < cut {
                // Cut between the two frames of an entry every other time.
                had.extend(client.until(if n % 2 == 0 { "text" } else { "citation" }).await);
                if n % 2 == 0 && n + 1 < cut {
                    had.extend(client.until("citation").await);
                }
            }
        }
        work.complete().await;
        work.settle().await;
        let after = had.iter().rev().find_map(|it| it["id"].as_str()).unwrap().to_owned();
        drop(client);
        let mut client = Client::native(&other).await;
        client.command(json!({"type": "resume", "id": "r", "after": after})).await;
        let rest = client.until("completed").await;
        assert_eq!(
            rest[0],
            json!({"event": "accepted", "data": {"ref": "r", "status": "following"}})
        );
        let whole = Client::whole_turn(&other, &had).await;
        let joined: Vec<_> = stored(&had).into_iter().chain(stored(&rest)).collect();
        assert_eq!(joined, whole, "cut {cut}");
    }
}

impl Client {
    /// The turn that these events begin, as a reader gets it who misses nothing.
    async fn whole_turn(edge: &Edge, events: &[Value]) -> Vec<Value> {
        let turn =
            events.iter().find(|it| it["event"] == "started").unwrap()["data"]["turnId"].clone();
        let mut client = Self::native(edge).await;
        client.command(json!({"type": "resume", "after": "start"})).await;
        loop {
            let events = client.until("completed").await;
            if events.last().unwrap()["data"]["turnId"] == turn {
                return stored(&events);
            }
        }
    }
}

#[tokio::test]
async fn two_sockets_on_a_session_hear_the_same() {
    let edge = Edge::start().await;
    let other = edge.another().await;
    let mut listening = Client::native(&other).await;
    listening.command(json!({"type": "resume", "after": "now"})).await;
    listening.until("accepted").await;
    let mut asking = Client::native(&edge).await;
    for (input, text) in [("One?", "1"), ("Two?", "2")] {
        asking.command(json!({"type": "ask", "input": input, "admission": "enqueue"})).await;
        let mut work = play(&edge, &[text]).await;
        work.complete().await;
        work.settle().await;
        let heard = listening.until("completed").await;
        assert_eq!(stored(&asking.until("completed").await), heard);
    }
}

#[tokio::test]
async fn a_late_socket_is_told_the_running_turn_first() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let mut work = play(&edge, &["a", "b"]).await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "resume"})).await;
    let told = client.until("text").await;
    assert_eq!(told.last().unwrap()["data"]["text"], "ab");
    work.text("c").await;
    assert_eq!(client.event().await["data"]["text"], "c");
}

#[tokio::test]
async fn a_turn_is_stopped_on_command() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "cancel", "id": "c0"})).await;
    let refused = client.event().await;
    assert_eq!((&refused["event"], &refused["data"]["ref"]), (&json!("problem"), &json!("c0")));
    assert_eq!(refused["data"]["type"], "urn:weir:problem:unknown_turn");
    client.command(json!({"type": "ask", "input": "Why?"})).await;
    let mut work = play(&edge, &["Be"]).await;
    client.until("text").await;
    let turn = work.delivery.turn.to_string();
    client.command(json!({"type": "cancel", "id": "c1", "turnId": turn})).await;
    let accepted = client.until("accepted").await.pop().unwrap();
    let expected = json!({"ref": "c1", "turnId": turn, "status": "cancelling"});
    assert_eq!(accepted["data"], expected);
    work.catch_up().await;
    work.say(vec![event::Kind::Cancelled(proto::Cancelled {})]).await;
    client.until("cancelled").await;
}

/// Writes down that a call of this turn waits.
async fn pend(edge: &Edge, turn: &str) -> proto::PendingCall {
    let call = proto::PendingCall {
        call_id: "c1".into(),
        name: "send".into(),
        arguments: "{}".into(),
        arguments_hash: "0".repeat(64),
        ..Default::default()
    };
    let review = proto::Review {
        version: proto::FORMAT,
        turn_ids: vec![turn.to_owned()],
        calls: vec![call.clone()],
        ..Default::default()
    };
    let bytes = review.encode_to_vec().into();
    let key = Key::session(&session());
    edge.broker.records.put(Bucket::Reviews, &key, bytes, Expected::Absent).await.unwrap();
    call
}

#[tokio::test]
async fn a_pending_call_is_decided_on_command_and_checked_like_everywhere() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "ask", "input": "Send it."})).await;
    let mut work = edge.work().await;
    let turn = work.delivery.turn.to_string();
    let call = pend(&edge, &turn).await;
    let interrupted = proto::Interrupted { calls: vec![call], expires: None };
    work.say(vec![event::Kind::Interrupted(interrupted)]).await;
    work.settle().await;
    client.until("interrupted").await;
    let decide = |hash: &str| {
        let decision = json!({"callId": "c1", "argumentsHash": hash, "type": "accept"});
        json!({"type": "decide", "id": "d", "turnId": turn, "decisions": [decision]})
    };
    client.command(decide(&"1".repeat(64))).await;
    let refused = client.event().await;
    assert_eq!(refused["data"]["type"], "urn:weir:problem:call_altered", "{refused}");
    client.command(decide(&"0".repeat(64))).await;
    assert_eq!(client.event().await["event"], "accepted");
    let work = edge.work().await;
    assert_eq!(work.delivery.job.resume.as_ref().unwrap().turn_id, turn);
    let started = client.until("started").await.pop().unwrap();
    assert_eq!(started["data"]["started"]["resumes"], turn);
}

#[tokio::test]
async fn a_repeated_question_is_the_same_turn_and_tells_where_it_stands() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    let ask = json!({"type": "ask", "input": "Why?", "idempotencyKey": "k"});
    client.command(ask.clone()).await;
    let mut work = play(&edge, &["Because"]).await;
    work.complete().await;
    work.settle().await;
    let events = client.until("completed").await;
    client.command(ask).await;
    let again = client.event().await;
    assert_eq!(again["data"]["turnId"], events[0]["data"]["turnId"]);
    let position = again["data"]["position"].clone();
    client.command(json!({"type": "resume", "after": position})).await;
    assert_eq!(stored(&client.until("completed").await), stored(&events));
    client.command(json!({"type": "ask", "input": "Other?", "idempotencyKey": "k"})).await;
    let refused = client.event().await;
    assert_eq!(refused["data"]["type"], "urn:weir:problem:idempotency_key_reused");
}

#[tokio::test]
async fn what_cannot_be_done_is_a_problem_with_its_name_and_harms_nothing() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    for (text, kind) in [
        ("not json", "invalid_request"),
        (r#"{"type":"shout","id":"x"}"#, "invalid_request"),
        (r#"{"type":"ask","input":"?","sessionId":"other"}"#, "invalid_request"),
        (r#"{"type":"resume","after":"nowhere"}"#, "invalid_request"),
    ] {
        client.say(text).await;
        let problem = client.event().await;
        assert_eq!(problem["event"], "problem");
        assert_eq!(problem["data"]["type"], format!("urn:weir:problem:{kind}"), "{text}");
    }
    client.command(json!({"type": "ping", "id": "p"})).await;
    assert_eq!(client.event().await, json!({"event": "pong", "data": {"ref": "p"}}));
    client.command(json!({"type": "ask", "input": "One?"})).await;
    client.until("accepted").await;
    client.command(json!({"type": "ask", "input": "Two?"})).await;
    let busy = client.event().await;
    assert_eq!(busy["data"]["type"], "urn:weir:problem:turn_in_progress");
}

#[tokio::test]
async fn an_erased_session_is_told_and_the_socket_stays() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "ask", "input": "Why?"})).await;
    let mut work = play(&edge, &["Because"]).await;
    work.complete().await;
    work.settle().await;
    client.until("completed").await;
    assert!(edge.erase("s").send().await.unwrap().status().is_success());
    client.until("deleted").await;
    client.command(json!({"type": "ask", "input": "Again?"})).await;
    play(&edge, &["Yes"]).await;
    assert_eq!(client.until("text").await.pop().unwrap()["data"]["text"], "Yes");
}

#[tokio::test]
async fn what_is_no_longer_kept_is_a_gap() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "resume", "after": "zz-7"})).await;
    let gap = client.until("gap").await.pop().unwrap();
    assert!(gap.get("id").is_none());
    assert_eq!(gap["data"]["gap"]["reason"], "other_log");
}

#[tokio::test]
async fn a_long_answer_comes_whole_in_one_message() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    client.command(json!({"type": "ask", "input": "Why?"})).await;
    let long = "长\u{1}".repeat(50_000);
    play(&edge, &[&long, "short"]).await;
    let text = client.until("text").await.pop().unwrap();
    assert!(text["data"]["text"] == long.as_str());
    assert_eq!(client.event().await["data"]["text"], "short");
}

#[tokio::test]
async fn a_question_may_be_asked_in_the_place_of_an_earlier_one() {
    let edge = Edge::start().await;
    let mut client = Client::native(&edge).await;
    let unknown = proto::TurnId::new().to_string();
    client.command(json!({"type": "ask", "input": "?", "replaces": unknown, "id": "a"})).await;
    let refused = client.event().await;
    assert_eq!(refused["data"]["type"], "urn:weir:problem:unknown_turn", "{refused}");
    assert_eq!(
        (&refused["data"]["ref"], &refused["data"]["turnId"]),
        (&json!("a"), &json!(unknown))
    );

    client.command(json!({"type": "ask", "input": "One?"})).await;
    let turn = client.until("accepted").await.remove(0)["data"]["turnId"].clone();
    let mut work = edge.work().await;
    work.say(vec![event::Kind::Failed(proto::Failed::default())]).await;
    work.settle().await;
    client.until("failed").await;
    client.command(json!({"type": "ask", "input": "One, again?", "replaces": turn})).await;
    client.until("accepted").await;
    let _work = edge.work().await;
    let started = client.until("started").await.pop().unwrap();
    assert_eq!(
        started["data"]["started"],
        json!({"input": "One, again?", "replaces": turn, "behind": ""})
    );
}
