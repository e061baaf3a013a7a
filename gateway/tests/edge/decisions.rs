//! `POST /v1/sessions/{session}/decisions`, and what a session says of the calls
//! that wait for them.

use std::time::Duration;

use broker::{Bucket, Expected, Key};
use proto::review::arguments_hash;
use proto::{PendingCall, Review, Session, Transcript, TurnId, event};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Edge, Frames, frames, problem, session};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn call(turn: TurnId, id: &str) -> PendingCall {
    let call = PendingCall {
        call_id: id.into(),
        name: "files__write".into(),
        arguments: r#"{"path":"a"}"#.into(),
        summary: "write in files".into(),
        reason: "review".into(),
        ..PendingCall::default()
    };
    PendingCall { arguments_hash: arguments_hash(&session(), turn, &call), ..call }
}

/// The calls `a` and `b` of a turn that was interrupted for them.
fn review(turn: TurnId) -> Review {
    Review {
        version: proto::FORMAT,
        turn_ids: vec![turn.to_string()],
        calls: vec![call(turn, "a"), call(turn, "b")],
        expires: Some(proto::timestamp(process::clock::now() + HOUR)),
        ..Review::default()
    }
}

pub(crate) async fn store(
    edge: &Edge,
    session: &Session,
    bucket: Bucket,
    record: &impl prost::Message,
) {
    let value = record.encode_to_vec().into();
    let key = Key::session(session);
    edge.broker.records.put(bucket, &key, value, Expected::Any).await.unwrap();
}

/// An interrupted turn of user `u` in session `s`.
pub(crate) async fn interrupted(edge: &Edge) -> TurnId {
    edge.accepted("Write?").await;
    let mut work = edge.work().await;
    let turn = work.delivery.turn;
    let review = review(turn);
    store(edge, &session(), Bucket::Reviews, &review).await;
    let (calls, expires) = (review.calls, review.expires);
    work.say(vec![event::Kind::Interrupted(proto::Interrupted { calls, expires })]).await;
    work.settle().await;
    turn
}

fn accept(turn: TurnId, id: &str) -> Value {
    let hash = call(turn, id).arguments_hash;
    json!({"callId": id, "argumentsHash": hash, "type": "accept"})
}

fn body(turn: TurnId, decisions: &[Value]) -> Value {
    json!({"userId": "u", "turnId": turn.to_string(), "decisions": decisions})
}

fn decide(edge: &Edge, turn: TurnId, ids: &[&str]) -> RequestBuilder {
    let decisions: Vec<_> = ids.iter().map(|it| accept(turn, it)).collect();
    edge.post("/v1/sessions/s/decisions", &body(turn, &decisions))
}

async fn shown(edge: &Edge, user: &str) -> Value {
    let path = format!("/v1/sessions/s?userId={user}");
    edge.get(&path).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn decisions_start_a_turn_that_streams_like_any_other() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let response = decide(&edge, turn, &["b"]).header("accept", "text/event-stream").send();
    let mut stream = Frames::of(response.await.unwrap());
    let mut work = edge.work().await;
    let job = &work.delivery.job;
    assert!(job.messages.is_empty());
    let resume = job.resume.clone().unwrap();
    assert_eq!((resume.turn_id, resume.decisions.len()), (turn.to_string(), 1));
    assert_eq!(resume.decisions[0].arguments_hash, call(turn, "b").arguments_hash);
    work.text("Done.").await;
    work.complete().await;
    let said = stream.until("completed").await;
    assert_eq!(said.len(), 3);
    assert_eq!(said[0].data["started"], json!({"resumes": turn.to_string()}));
    assert_eq!(said[1].data["text"], "Done.");
    assert!(stream.next().await.unwrap().is_none());
    work.settle().await;
}

#[tokio::test]
async fn a_client_that_takes_json_gets_the_answer_and_what_still_waits() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let answer = decide(&edge, turn, &["a"]).send();
    let play = async {
        let mut work = edge.work().await;
        let calls = vec![call(turn, "b")];
        work.say(vec![event::Kind::Interrupted(proto::Interrupted { calls, expires: None })]).await;
        work.delivery.turn.to_string()
    };
    let (response, resuming) = tokio::join!(answer, play);
    let answer: Value = response.unwrap().json().await.unwrap();
    assert_eq!((&answer["status"], &answer["turnId"]), (&json!("interrupted"), &json!(resuming)));
    assert_eq!(answer["interrupt"]["calls"][0]["callId"], "b");
    assert_eq!(answer["text"], "");
}

#[tokio::test]
async fn the_same_key_is_the_same_decision_before_and_after_it_is_made() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let keyed = |ids: &[&str]| {
        let request = decide(&edge, turn, ids).header("idempotency-key", "k1");
        request.header("accept", "text/event-stream")
    };
    let first = keyed(&["a"]).send().await.unwrap();
    let waiting = keyed(&["a"]).send().await.unwrap();
    problem(keyed(&["a", "b"]).send().await.unwrap(), 422).await;
    let mut work = edge.work().await;
    let mut review = review(turn);
    review.decided.push(proto::ReviewDecision {
        decision: work.delivery.job.resume.clone().unwrap().decisions.pop(),
        turn_id: work.delivery.turn.to_string(),
    });
    store(&edge, &session(), Bucket::Reviews, &review).await;
    let running = keyed(&["a"]).send().await.unwrap();
    work.complete().await;
    work.settle().await;
    // Another review is there by now, which knows nothing of these calls.
    store(&edge, &session(), Bucket::Reviews, &Review::default()).await;
    let ended = keyed(&["a"]).send().await.unwrap();
    let whole = first.text().await.unwrap();
    assert_eq!(frames(&whole).len(), 3);
    for other in [waiting, running, ended] {
        assert_eq!(other.text().await.unwrap(), whole);
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn decisions_of_the_wrong_form_are_refused_by_field() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let with = |field: &str, value: Value| {
        let mut decision = accept(turn, "a");
        decision[field] = value;
        body(turn, &[decision])
    };
    let mut unknown_field = body(turn, &[accept(turn, "a")]);
    unknown_field["input"] = json!("x");
    for (body, fields) in [
        (json!({"userId": "u", "turnId": "7", "decisions": []}), &["turnId", "decisions"][..]),
        (body(turn, &vec![accept(turn, "a"); 65]), &["decisions"]),
        (with("type", json!("yes")), &["decisions[0].type"]),
        (with("type", json!("edit")), &["decisions[0].arguments"]),
        (with("message", json!("x")), &["decisions[0].message"]),
        (with("argumentsHash", json!("0")), &["decisions[0].argumentsHash"]),
        (body(turn, &[accept(turn, "a"), accept(turn, "a")]), &["decisions"]),
        (unknown_field, &["input"]),
    ] {
        let refused = edge.post("/v1/sessions/s/decisions", &body).send().await.unwrap();
        let refusal = problem(refused, 400).await;
        assert_eq!(refusal["type"], "urn:weir:problem:invalid_request");
        let named = refusal["violations"].as_array().unwrap();
        let named: Vec<_> = named.iter().map(|it| it["field"].as_str().unwrap()).collect();
        assert_eq!(named, fields, "{body}");
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn what_no_longer_fits_the_pending_calls_is_refused_with_the_reason() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let altered = {
        let mut decision = accept(turn, "a");
        decision["argumentsHash"] = json!("0".repeat(64));
        body(turn, &[decision])
    };
    let accepted = body(turn, &[accept(turn, "a")]);
    let decided = |it: Review| Review {
        decided: vec![proto::ReviewDecision {
            decision: Some(serde_json::from_value(accept(turn, "a")).unwrap()),
            turn_id: TurnId::new().to_string(),
        }],
        ..it
    };
    let expired = |it: Review| Review { expires: Some(proto::timestamp(Duration::ZERO)), ..it };
    let closed = |it: Review| Review { closed: true, ..it };
    let foreign = |it: Review| Review { generation: 7, ..it };
    for (change, body, (status, code)) in [
        (&(|it| it) as &dyn Fn(Review) -> Review, &altered, (409, "call_altered")),
        (&|it| it, &body(TurnId::new(), &[accept(turn, "a")]), (404, "nothing_pending")),
        (&|it| it, &body(turn, &[accept(turn, "c")]), (404, "nothing_pending")),
        (&decided, &accepted, (409, "already_decided")),
        (&expired, &accepted, (410, "decision_expired")),
        (&closed, &accepted, (409, "review_closed")),
        (&foreign, &accepted, (404, "nothing_pending")),
    ] {
        store(&edge, &session(), Bucket::Reviews, &change(review(turn))).await;
        let refused = edge.post("/v1/sessions/s/decisions", body).send().await.unwrap();
        let refusal = problem(refused, status).await;
        assert_eq!(refusal["type"], format!("urn:weir:problem:{code}"));
        assert!(refusal["detail"].as_str().unwrap().len() > 20, "{refusal}");
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_decision_waits_for_no_other_turn_unless_it_says_so() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let running = edge.accepted("Something else?").await;
    let refusal = problem(decide(&edge, turn, &["a"]).send().await.unwrap(), 409).await;
    assert_eq!(refusal["type"], "urn:weir:problem:turn_in_progress");
    assert_eq!(refusal["turnId"], running["turnId"]);
    let mut waits = body(turn, &[accept(turn, "a")]);
    waits["admission"] = json!("enqueue");
    let request = edge.post("/v1/sessions/s/decisions", &waits).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_second_device_that_is_late_is_told_so_and_starts_nothing() {
    let edge = Edge::start().await;
    let other = edge.another().await;
    let turn = interrupted(&edge).await;
    let request = decide(&edge, turn, &["a"]).header("prefer", "respond-async");
    assert_eq!(request.send().await.unwrap().status(), 202);
    let mut work = edge.work().await;
    let resuming = work.delivery.turn;
    let mut review = review(turn);
    review.turn_ids.push(resuming.to_string());
    review.decided.push(proto::ReviewDecision {
        decision: work.delivery.job.resume.clone().unwrap().decisions.pop(),
        turn_id: resuming.to_string(),
    });
    store(&edge, &session(), Bucket::Reviews, &review).await;
    work.complete().await;
    work.settle().await;
    let refusal = problem(decide(&other, turn, &["a", "b"]).send().await.unwrap(), 409).await;
    assert_eq!(refusal["type"], "urn:weir:problem:already_decided");
    assert!(refusal["detail"].as_str().unwrap().contains("`a`"), "{refusal}");
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
    let rest = decide(&other, turn, &["b"]).header("prefer", "respond-async").send().await.unwrap();
    assert_eq!(rest.status(), 202, "what it still may decide, it may decide with what it knows");
}

#[tokio::test]
async fn a_session_shows_the_calls_that_wait_to_its_user_alone() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let mine = shown(&edge, "u").await;
    assert_eq!(mine["pending"].as_array().unwrap().len(), 2);
    assert_eq!(mine["pending"][0]["argumentsHash"], call(turn, "a").arguments_hash);
    assert_eq!(mine["interruptedTurnId"], turn.to_string());
    assert!(mine["expires"].as_str().unwrap().starts_with("20"), "{mine}");
    assert_eq!(shown(&edge, "v").await.get("pending"), None);
    let mut foreign = body(turn, &[accept(turn, "a")]);
    foreign["userId"] = json!("v");
    let refused = edge.post("/v1/sessions/s/decisions", &foreign).send().await.unwrap();
    assert_eq!(problem(refused, 404).await["type"], "urn:weir:problem:nothing_pending");
    // Theirs, under the same session id, is another review.
    let other = Session::parse("v", "s").unwrap();
    store(&edge, &other, Bucket::Reviews, &review(turn)).await;
    let accepted =
        edge.post("/v1/sessions/s/decisions", &foreign).header("prefer", "respond-async");
    assert_eq!(accepted.send().await.unwrap().status(), 202);
    assert_eq!(edge.work().await.delivery.session, other);
    assert_eq!(shown(&edge, "u").await["pending"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_waits_in_a_review_that_is_over() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let expired = Some(proto::timestamp(Duration::ZERO));
    for over in [
        Review { closed: true, ..review(turn) },
        Review { expires: expired, ..review(turn) },
        Review { calls: Vec::new(), ..review(turn) },
        Review { generation: 7, ..review(turn) },
    ] {
        store(&edge, &session(), Bucket::Reviews, &over).await;
        assert_eq!(shown(&edge, "u").await.get("pending"), None, "{over:?}");
    }
    store(&edge, &session(), Bucket::Reviews, &review(turn)).await;
    let erasing = Transcript { erasing: true, ..Transcript::default() };
    store(&edge, &session(), Bucket::Transcripts, &erasing).await;
    assert_eq!(shown(&edge, "u").await.get("pending"), None);
    assert_eq!(edge.erase("s").send().await.unwrap().status(), 200);
    let refused = decide(&edge, turn, &["a"]).send().await.unwrap();
    problem(refused, 404).await;
}

#[tokio::test]
async fn calls_wait_on_after_a_turn_that_was_to_go_on_with_them_has_failed() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge).await;
    let decided = decide(&edge, turn, &["a"]).header("prefer", "respond-async").send();
    assert_eq!(decided.await.unwrap().status(), 202);
    let mut work = edge.work().await;
    let failed = proto::Failed { message: "It broke.".into(), ..proto::Failed::default() };
    work.say(vec![event::Kind::Failed(failed)]).await;
    work.settle().await;
    let record = proto::SessionRecord { version: proto::FORMAT, ..Default::default() };
    store(&edge, &session(), Bucket::Sessions, &record).await;
    let get =
        async |path: &str| -> Value { edge.get(path).send().await.unwrap().json().await.unwrap() };
    let listed = get("/v1/sessions?userId=u").await;
    for told in [&shown(&edge, "u").await, &listed["sessions"][0]] {
        assert_eq!((&told["status"], &told["ending"]), (&json!("interrupted"), &json!("failed")));
    }
    let status = get("/agent/status/u/s").await;
    assert_eq!(
        (&status["status"], &status["message"]),
        (&json!("interrupted"), &json!("It broke."))
    );
    let waiting = &status["last_response"]["interrupt_data"]["calls"];
    assert_eq!(waiting.as_array().map(Vec::len), Some(2), "{status}");
    // Over, it is what it was.
    store(&edge, &session(), Bucket::Reviews, &Review { closed: true, ..review(turn) }).await;
    assert_eq!(shown(&edge, "u").await["status"], "idle");
    assert_eq!(get("/agent/status/u/s").await["status"], "error");
}
