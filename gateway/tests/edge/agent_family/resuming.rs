//! `/agent/resume`: the four answers of a human.

use std::time::Duration;

use broker::Bucket;
use proto::{Decision, Review, TurnId, event};
use serde_json::{Value, json};

use super::{body, invoked, read, refused, resume, review};
use crate::decisions::{call, store};
use crate::harness::{Edge, frames, session};

/// A turn that waits for decisions about these calls.
async fn interrupted(edge: &Edge, ids: &[&str]) -> TurnId {
    let play = async {
        let mut work = edge.work().await;
        let turn = work.delivery.turn;
        let calls: Vec<_> = ids.iter().map(|it| call(turn, it)).collect();
        review(edge, turn, calls.clone()).await;
        work.say(vec![event::Kind::Interrupted(proto::Interrupted { calls, expires: None })]).await;
        work.settle().await;
        turn
    };
    let (answer, turn) = invoked(edge, &body("Write?"), play).await;
    assert_eq!(answer["status"], "interrupted");
    let data = &answer["interrupt_data"];
    assert_eq!(data["action_request"]["action"], "files__write");
    assert_eq!(data["action_request"]["args"], json!({"path": "a"}));
    let config = json!({"allow_accept": true, "allow_edit": ids.len() == 1,
                        "allow_respond": ids.len() == 1, "allow_ignore": false});
    assert_eq!(data["config"], config);
    assert_eq!(data["description"], vec!["write in files"; ids.len()].join("\n"));
    let told: Vec<_> = data["calls"].as_array().unwrap().iter().map(|it| &it["call_id"]).collect();
    assert_eq!(told, ids);
    assert_eq!(data["calls"][0]["arguments_hash"], call(turn, ids[0]).arguments_hash);
    turn
}

#[tokio::test]
async fn one_answer_in_each_of_the_four_ways_goes_on_with_the_turn() {
    let long = json!({"args": {"path": "b"}});
    let request = json!({"action": "files__write", "args": {"path": "b"}, "id": "a"});
    for (kind, args, expected, arguments, message) in [
        ("accept", &Value::Null, "accept", "", ""),
        ("edit", &long, "edit", r#"{"path":"b"}"#, ""),
        ("edit", &long["args"], "edit", r#"{"path":"b"}"#, ""),
        ("edit", &request, "edit", r#"{"path":"b"}"#, ""),
        ("reject", &Value::Null, "reject", "", ""),
        ("reject", &json!({"args": "too dear"}), "reject", "", "too dear"),
        ("response", &json!({"args": "forty-two"}), "respond", "", "forty-two"),
        ("response", &json!("forty-two"), "respond", "", "forty-two"),
    ] {
        let edge = Edge::start().await;
        let turn = interrupted(&edge, &["a"]).await;
        let play = async {
            let mut work = edge.work().await;
            let resume = work.delivery.job.resume.clone().unwrap();
            work.text("Done.").await;
            work.complete().await;
            resume
        };
        let asking = read(edge.post("/agent/resume", &resume(kind, args)));
        let (answer, brought) = tokio::join!(asking, play);
        assert_eq!(brought.turn_id, turn.to_string());
        let decision = Decision {
            call_id: "a".into(),
            arguments_hash: call(turn, "a").arguments_hash,
            r#type: expected.into(),
            arguments: arguments.into(),
            message: message.into(),
        };
        assert_eq!(brought.decisions, [decision], "{kind} {args}");
        assert_eq!(answer["status"], "completed");
        let messages = answer["result"]["messages"].as_array().unwrap();
        assert_eq!(messages.last().unwrap()["content"], "Done.");
    }
}

#[tokio::test]
async fn of_several_calls_all_are_accepted_and_what_waits_then_is_told_again() {
    let edge = Edge::start().await;
    let turn = interrupted(&edge, &["a", "b"]).await;
    for (kind, args) in [("edit", json!({"path": "b"})), ("response", json!("x"))] {
        let asked = edge.post("/agent/resume", &resume(kind, &args)).send().await.unwrap();
        let says = refused(asked, 400).await;
        assert!(says.contains("2 calls wait") && says.contains("/decisions"), "{says}");
    }
    let accepted = edge.post("/agent/resume/stream", &resume("accept", &Value::Null));
    let accepted = accepted.send().await.unwrap();
    let mut work = edge.work().await;
    let brought = work.delivery.job.resume.clone().unwrap();
    assert_eq!(brought.decisions.len(), 2);
    assert_eq!(brought.decisions[1].arguments_hash, call(turn, "b").arguments_hash);
    let again = refused(
        edge.post("/agent/resume", &resume("accept", &Value::Null)).send().await.unwrap(),
        409,
    );
    assert!(again.await.contains("unfinished turn"));
    let calls = vec![call(work.delivery.turn, "c")];
    work.text("And then").await;
    work.say(vec![event::Kind::Interrupted(proto::Interrupted { calls, expires: None })]).await;
    let said = frames(&accepted.text().await.unwrap());
    let kinds: Vec<_> = said.iter().map(|it| it.data["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text_chunk", "interrupt"]);
    assert_eq!(said[1].data["interrupt_data"]["calls"][0]["call_id"], "c");
}

#[tokio::test]
async fn a_decision_about_nothing_that_waits_is_refused_and_starts_nothing() {
    let edge = Edge::start().await;
    let accept = resume("accept", &Value::Null);
    let nothing = refused(edge.post("/agent/resume", &accept).send().await.unwrap(), 404).await;
    assert_eq!(nothing, "no call of this session waits for a decision");
    let turn = interrupted(&edge, &["a"]).await;
    let mut foreign = accept.clone();
    foreign["user_id"] = json!("v");
    refused(edge.post("/agent/resume/stream", &foreign).send().await.unwrap(), 404).await;
    let of = |it: Review| Review {
        version: proto::FORMAT,
        turn_ids: vec![turn.to_string()],
        calls: vec![call(turn, "a")],
        ..it
    };
    let expired = Some(proto::timestamp(Duration::ZERO));
    for (over, status) in [
        (of(Review { closed: true, ..Review::default() }), 409),
        (of(Review { expires: expired, ..Review::default() }), 410),
        (of(Review { generation: 7, ..Review::default() }), 404),
    ] {
        store(&edge, &session(), Bucket::Reviews, &over).await;
        refused(edge.post("/agent/resume", &accept).send().await.unwrap(), status).await;
        let shown = read(edge.get("/agent/status/u/s")).await;
        assert_eq!(shown["status"], "idle", "nothing can be decided any more");
        assert_eq!(shown["last_response"]["interrupt_data"], Value::Null);
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_decided_calls_result_has_the_name_of_its_tool() {
    let edge = Edge::start().await;
    interrupted(&edge, &["a"]).await;
    let play = async {
        let mut work = edge.work().await;
        let (call_id, name, content) = ("a".into(), "files__write".into(), "done".into());
        let result = proto::ToolResult { call_id, name, content, is_error: false };
        work.say(vec![event::Kind::ToolResult(result)]).await;
        work.text("Done.").await;
        work.complete().await;
    };
    let asking = read(edge.post("/agent/resume", &resume("accept", &Value::Null)));
    let (answer, ()) = tokio::join!(asking, play);
    let tool = &answer["result"]["messages"][0];
    assert_eq!(
        (&tool["type"], &tool["name"]),
        (&json!("tool"), &json!("files__write")),
        "{answer}"
    );
}
