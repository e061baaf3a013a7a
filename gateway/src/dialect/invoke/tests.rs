//! The bytes that clients of `/agent/*` get.

use broker::{Epoch, Sequence};
use event::Kind as K;
use proto::{PendingCall, ToolCall, ToolResult};

use super::*;
use proto::Started;

const TURN: &str = "00000000-0000-7000-8000-000000000001";

fn clock() -> Duration {
    Duration::from_millis(1_700_000_000_250)
}

fn stored(kinds: Vec<(u32, K)>) -> Stored {
    let events = kinds.into_iter().map(|(index, kind)| Event { index, kind: Some(kind) });
    let entry = proto::Entry { events: events.collect(), ..proto::Entry::default() };
    Stored { sequence: Sequence(1), entry }
}

/// The frames of a turn; each line is one of them, without what all have.
fn check(kinds: Vec<(u32, K)>, expected: &[&str]) {
    let mut dialect = Invoke::new("s".parse().unwrap(), TURN.parse().unwrap(), clock);
    let at = Position { epoch: Epoch(1), sequence: Sequence(1) };
    let mut out = String::new();
    dialect.open(&mut out);
    for kind in kinds {
        dialect.entry(at, &stored(vec![kind]), 0, &mut out);
    }
    let tail = format!(r#","session_id":"s","turn_id":"{TURN}","timestamp":1700000000.25}}"#);
    let frames: Vec<_> = expected.iter().map(|it| format!("data: {{{it}{tail}\n\n")).collect();
    assert_eq!(out, frames.concat());
}

fn text(text: &str) -> K {
    K::Text(text.to_owned())
}

fn call(id: &str) -> ToolCall {
    ToolCall { call_id: id.into(), name: "n".into(), arguments: r#"{"a":1}"#.into() }
}

fn question() -> K {
    K::Started(Started { input: "Why?".into(), ..Default::default() })
}

fn pending(id: &str) -> PendingCall {
    PendingCall {
        call_id: id.into(),
        name: "n".into(),
        arguments: r#"{"a":1}"#.into(),
        arguments_hash: "h".into(),
        summary: format!("do {id}"),
        ..PendingCall::default()
    }
}

#[test]
fn text_comes_in_chunks_and_the_last_frame_has_the_whole_turn() {
    check(
        vec![
            (0, question()),
            (1, text("你\n")),
            (2, text("b")),
            (3, K::Completed(proto::Completed::default())),
        ],
        &[
            r#""type":"text_chunk","content":"你\n""#,
            r#""type":"text_chunk","content":"b""#,
            r#""type":"completed","data":{"content":"你\nb","messages":[{"type":"human","content":"Why?"},{"type":"ai","content":"你\nb","tool_calls":[]}]}"#,
        ],
    );
}

#[test]
fn calls_and_their_results_are_in_the_messages() {
    let result = ToolResult { call_id: "c".into(), content: "2".into(), ..ToolResult::default() };
    let shown = r#"{"name":"n","args":{"a":1},"id":"c","type":"tool_call"}"#;
    check(
        vec![
            (1, K::ToolCall(call("c"))),
            (2, K::ToolResult(result)),
            (3, text("It is 2.")),
            (4, K::Completed(proto::Completed::default())),
        ],
        &[
            &format!(r#""type":"tool_call","data":{{"tool_calls":[{shown}]}}"#),
            r#""type":"text_chunk","content":"It is 2.""#,
            &format!(
                r#""type":"completed","data":{{"content":"It is 2.","messages":[{{"type":"ai","content":"","tool_calls":[{shown}]}},{{"type":"tool","content":"2","name":"n","tool_call_id":"c"}},{{"type":"ai","content":"It is 2.","tool_calls":[]}}]}}"#
            ),
        ],
    );
}

#[test]
fn what_is_taken_back_is_told_with_all_that_is_left() {
    let kept = r#"{"name":"n","args":{"a":1},"id":"a","type":"tool_call"}"#;
    let void = kept.replace(r#""id":"a""#, r#""id":"b""#);
    check(
        vec![
            (1, text("a")),
            (2, K::ToolCall(call("a"))),
            (3, text("b")),
            (4, K::ToolCall(call("b"))),
            (2, K::Rewind(proto::Rewind { to: 2 })),
        ],
        &[
            r#""type":"text_chunk","content":"a""#,
            &format!(r#""type":"tool_call","data":{{"tool_calls":[{kept}]}}"#),
            r#""type":"text_chunk","content":"b""#,
            &format!(r#""type":"tool_call","data":{{"tool_calls":[{void}]}}"#),
            &format!(r#""type":"rewind","content":"a","data":{{"tool_calls":[{kept}]}}"#),
        ],
    );
}

#[test]
fn what_is_told_again_after_a_gap_is_taken_back_first() {
    let mut dialect = Invoke::new("s".parse().unwrap(), TURN.parse().unwrap(), clock);
    let at = Position { epoch: Epoch(1), sequence: Sequence(1) };
    let mut out = String::new();
    dialect.entry(at, &stored(vec![(1, text("a")), (2, K::ToolCall(call("c")))]), 0, &mut out);
    out.clear();
    dialect.gap(&K::Gap(proto::Gap::default()), &mut out);
    assert!(out.starts_with(r#"data: {"type":"rewind","content":"","data":{"tool_calls":[]},"#));
    out.clear();
    let again = vec![(1, text("a")), (2, K::Completed(proto::Completed::default()))];
    dialect.entry(at, &stored(again), 0, &mut out);
    assert!(
        out.contains(r#""data":{"content":"a","messages":[{"type":"ai","content":"a""#),
        "{out}"
    );
}

#[test]
fn a_turn_that_brings_no_answer_ends_with_an_error_that_says_why() {
    let failed = Failed { code: "x".into(), message: "No such model.".into(), retryable: false };
    for (end, says) in [
        (K::Failed(failed), "No such model."),
        (K::Cancelled(proto::Cancelled {}), "The turn was cancelled."),
        (K::Deleted(proto::Deleted {}), "The session was deleted."),
    ] {
        let error = format!(r#""type":"error","error_message":"{says}""#);
        check(vec![(1, text("a")), (2, end)], &[r#""type":"text_chunk","content":"a""#, &error]);
    }
}

#[test]
fn one_call_that_waits_stands_where_clients_look_for_it() {
    let action = r#""action_request":{"action":"n","args":{"a":1},"id":"a"}"#;
    let config = r#""config":{"allow_accept":true,"allow_edit":true,"allow_respond":true,"allow_ignore":false}"#;
    let interrupt = Interrupted { calls: vec![pending("a")], expires: None };
    check(
        vec![(1, K::Interrupted(interrupt))],
        &[&format!(
            r#""type":"interrupt","interrupt_data":{{"interrupt_type":"tool_review",{action},{config},"description":"do a","calls":[{{{action},{config},"description":"do a","call_id":"a","arguments_hash":"h"}}]}}"#
        )],
    );
}

#[test]
fn of_several_calls_that_wait_all_are_described_and_none_can_be_edited() {
    let review = Review::of(&[pending("a"), pending("b")]).unwrap();
    let told = serde_json::to_value(&review).unwrap();
    assert_eq!(told["description"], "do a\ndo b");
    assert_eq!(told["config"]["allow_edit"], false);
    assert_eq!(told["config"]["allow_respond"], false);
    assert_eq!(told["config"]["allow_accept"], true);
    assert_eq!(told["calls"][1]["call_id"], "b");
    assert_eq!(told["calls"][1]["config"]["allow_edit"], true);
    assert_eq!(Review::of(&[]), None);
}

fn answer(kinds: Vec<(u32, K)>, erased: bool) -> serde_json::Value {
    let mut gathering = Gathering::default();
    let ending = gathering.entry(&stored(kinds)).filter(|_| !erased);
    let of = (&"s".parse().unwrap(), TURN.parse().unwrap());
    serde_json::to_value(gathering.finish(of, ending, clock())).unwrap()
}

#[test]
fn an_answer_has_every_field_and_its_last_message_is_what_was_said() {
    let done = || K::Completed(proto::Completed::default());
    let whole = answer(vec![(0, question()), (1, text("a")), (2, done())], false);
    let expected = format!(
        r#"{{"session_id":"s","status":"completed","timestamp":1700000000.25,"message":null,"result":{{"messages":[{{"type":"human","content":"Why?"}},{{"type":"ai","content":"a","tool_calls":[]}}]}},"interrupt_data":null,"turn_id":"{TURN}"}}"#
    );
    assert_eq!(whole, serde_json::from_str::<serde_json::Value>(&expected).unwrap());
    let silent = answer(vec![(0, question()), (1, done())], false);
    assert_eq!(silent["result"]["messages"][1]["content"], "");
    let cancelled = answer(vec![(1, text("a")), (2, K::Cancelled(proto::Cancelled {}))], false);
    assert_eq!((&cancelled["status"], &cancelled["result"]), (&"error".into(), &().into()));
    assert_eq!(cancelled["message"], "The turn was cancelled.");
    let erased = answer(vec![(1, text("a")), (2, done())], true);
    assert_eq!((&erased["message"], &erased["result"]), (&ERASED.into(), &().into()));
}

#[test]
fn arguments_that_are_no_json_are_told_as_they_are() {
    assert_eq!(message::arguments("{\"a\":"), serde_json::Value::String("{\"a\":".to_owned()));
    assert_eq!(message::arguments("{}"), serde_json::json!({}));
}
