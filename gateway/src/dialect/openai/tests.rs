//! Streams as clients get them.

use broker::{Epoch, Sequence};
use event::Kind as K;
use proto::{Completed, Event, PendingCall, Rewind, Started, ToolCall, ToolResult};
use serde_json::Value;

use super::*;
use crate::dialect::answer::Gathering;

const TURN: &str = "0193f4a2-7c00-7000-8000-000000000001";
/// What the id says, in seconds since 1970.
const CREATED: u64 = 0x0193_f4a2_7c00 / 1_000;

fn head() -> Head {
    Head::new(&"s".parse().unwrap(), TURN.parse().unwrap(), "weir", 7)
}

fn stored(kinds: Vec<(u32, K)>) -> Stored {
    let events = kinds.into_iter().map(|(index, kind)| Event { index, kind: Some(kind) });
    let entry = proto::Entry { events: events.collect(), ..proto::Entry::default() };
    Stored { sequence: Sequence(1), entry }
}

fn at() -> Position {
    Position { epoch: Epoch(1), sequence: Sequence(1) }
}

/// All lines of data of a stream, and whether it is over.
fn streamed(usage: bool, kinds: Vec<(u32, K)>) -> (Vec<String>, bool) {
    let mut chunks = Chunks::new(head(), usage);
    let mut out = String::new();
    chunks.open(&mut out);
    for event in kinds {
        chunks.entry(at(), &stored(vec![event]), 0, &mut out);
    }
    assert!(out.ends_with("\n\n"), "{out}");
    let lines =
        out.split_terminator("\n\n").map(|it| it.strip_prefix("data: ").unwrap().to_owned());
    (lines.collect(), chunks.is_over())
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let chunks = lines.iter().filter(|it| *it != "[DONE]");
    chunks.map(|it| serde_json::from_str(it).unwrap()).collect()
}

/// What a client puts together.
fn joined(chunks: &[Value], field: &str) -> String {
    let piece =
        |it: &Value| it["choices"][0]["delta"][field].as_str().unwrap_or_default().to_owned();
    chunks.iter().map(piece).collect()
}

fn text(it: &str) -> K {
    K::Text(it.into())
}

fn done(reason: &str) -> K {
    K::Completed(Completed { finish_reason: reason.into() })
}

fn used(input: u32) -> K {
    K::Usage(Usage {
        input_tokens: input,
        output_tokens: 3,
        reasoning_tokens: 2,
        cached_tokens: 1,
        ..Usage::default()
    })
}

fn waiting() -> Interrupted {
    let call = |id: &str| PendingCall {
        call_id: id.into(),
        name: "t__pay".into(),
        arguments: "{\"n\":1}".into(),
        arguments_hash: "h".into(),
        ..PendingCall::default()
    };
    Interrupted { calls: vec![call("a"), call("b")], expires: None }
}

#[test]
fn a_stream_is_what_openai_sends() {
    let (lines, over) = streamed(
        false,
        vec![
            (0, K::Started(Started::default())),
            (1, K::Reasoning("hm".into())),
            (2, text("你\n")),
            (3, used(10)),
            (4, done("length")),
        ],
    );
    let head = format!(
        r#""id":"chatcmpl-{TURN}","object":"chat.completion.chunk","created":{CREATED},"model":"weir""#
    );
    let chunk = |delta: &str| {
        format!(r#"{{{head},"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
    };
    assert_eq!(
        lines,
        [
            chunk(r#"{"role":"assistant","content":""}"#),
            chunk(r#"{"reasoning_content":"hm"}"#),
            chunk(r#"{"content":"你\n"}"#),
            format!(
                r#"{{{head},"choices":[{{"index":0,"delta":{{}},"finish_reason":"length"}}],"weir":{{"sessionId":"s","turnId":"{TURN}","status":"completed"}}}}"#
            ),
            "[DONE]".to_owned(),
        ]
    );
    assert!(!over, "the turn has ended by itself");
}

#[test]
fn what_was_used_comes_last_and_only_when_asked_for() {
    let kinds = || vec![(1, used(10)), (2, text("a")), (3, used(20)), (4, done("stop"))];
    let (lines, _) = streamed(true, kinds());
    assert_eq!(lines.last().unwrap(), "[DONE]");
    let chunks = parsed(&lines);
    let (last, before) = chunks.split_last().unwrap();
    assert!(before.iter().all(|it| it["usage"].is_null() && it.get("usage").is_some()));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        last["usage"],
        json!({"prompt_tokens": 30, "completion_tokens": 6, "total_tokens": 36,
               "prompt_tokens_details": {"cached_tokens": 2},
               "completion_tokens_details": {"reasoning_tokens": 4}})
    );
    let (lines, _) = streamed(false, kinds());
    assert!(lines.iter().all(|it| !it.contains("usage")));
}

#[test]
fn calls_that_the_agent_makes_are_not_the_clients_to_make() {
    let call = || K::ToolCall(ToolCall { call_id: "c".into(), ..ToolCall::default() });
    let result = || K::ToolResult(ToolResult { call_id: "c".into(), ..ToolResult::default() });
    let kinds = vec![(1, text("Let me look.")), (2, call()), (3, result()), (4, text("It is."))];
    let (lines, _) = streamed(false, [kinds, vec![(5, done("stop"))]].concat());
    assert!(lines.iter().all(|it| !it.contains("tool")), "{lines:?}");
    assert_eq!(joined(&parsed(&lines), "content"), "Let me look.\n\nIt is.");
}

#[test]
fn calls_that_wait_for_a_human_are_told_as_calls_of_a_tool() {
    let (lines, _) = streamed(false, vec![(1, text("I would.")), (2, K::Interrupted(waiting()))]);
    let chunks = parsed(&lines);
    let call = |index: usize, id: &str| {
        json!({"index": index, "id": id, "type": "function",
               "function": {"name": "t__pay", "arguments": "{\"n\":1}"}})
    };
    assert_eq!(
        chunks[2]["choices"][0]["delta"],
        json!({"tool_calls": [call(0, "a"), call(1, "b")]})
    );
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(last["weir"]["status"], "interrupted");
    assert_eq!(last["weir"]["pending"][1]["callId"], "b");
    assert_eq!(last["weir"]["pending"][1]["argumentsHash"], "h");
    assert_eq!(lines.last().unwrap(), "[DONE]");
}

#[test]
fn text_is_never_said_twice() {
    let again = |to| K::Rewind(Rewind { to });
    let (lines, over) =
        streamed(false, vec![(1, text("a")), (2, again(0)), (3, text("never")), (4, done("stop"))]);
    let chunks = parsed(&lines);
    assert!(over);
    assert_eq!(chunks.last().unwrap()["error"]["code"], "taken_back");
    assert_eq!(joined(&chunks, "content"), "a");
    assert!(!lines.contains(&"[DONE]".to_owned()));

    let call = K::ToolCall(ToolCall::default());
    let kinds = vec![(1, text("a")), (2, call), (3, used(100)), (4, again(1)), (5, text("b"))];
    let (lines, over) = streamed(true, [kinds, vec![(6, used(10)), (7, done("stop"))]].concat());
    let chunks = parsed(&lines);
    assert!(!over, "nothing that was sent was taken back");
    assert_eq!(joined(&chunks, "content"), "ab");
    assert_eq!(chunks.last().unwrap()["usage"]["prompt_tokens"], 10);
}

#[test]
fn a_gap_behind_what_was_sent_ends_the_stream_and_one_before_it_does_not() {
    let gap = K::Gap(proto::Gap::default());
    let mut out = String::new();
    let mut chunks = Chunks::new(head(), false);
    chunks.gap(&gap, &mut out);
    assert!(out.is_empty() && !chunks.is_over());
    chunks.entry(at(), &stored(vec![(1, text("a"))]), 0, &mut out);
    chunks.gap(&gap, &mut out);
    assert!(out.contains("taken_back") && chunks.is_over());
}

#[test]
fn a_turn_without_an_answer_ends_with_an_error_or_says_that_it_was_stopped() {
    let failed = K::Failed(Failed {
        code: "model_rate_limited".into(),
        message: "later".into(),
        retryable: true,
    });
    for (kind, code, kind_of) in [
        (failed, "rate_limit_exceeded", "rate_limit_error"),
        (K::Deleted(proto::Deleted {}), "session_deleted", "server_error"),
    ] {
        let (lines, over) = streamed(true, vec![(1, text("a")), (2, kind)]);
        let error = &parsed(&lines).pop().unwrap()["error"];
        assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(kind_of)));
        assert!(over && !lines.contains(&"[DONE]".to_owned()));
    }
    let (lines, _) = streamed(false, vec![(1, text("a")), (2, K::Cancelled(proto::Cancelled {}))]);
    let last = parsed(&lines).pop().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["weir"]["status"], "cancelled");
    let mut out = String::new();
    Chunks::new(head(), false).expired(&mut out);
    assert!(out.contains("auth_expired") && out.contains("authentication_error"), "{out}");
}

/// The completion of a turn that said this.
fn whole(kinds: Vec<(u32, K)>) -> Value {
    let mut gathering = Gathering::default();
    let ending = gathering.entry(&stored(kinds)).unwrap();
    let session = proto::Session::parse("u", "s").unwrap();
    completion(&head(), &gathering.finish(&session, TURN.parse().unwrap(), ending))
}

#[test]
fn a_completion_is_what_openai_answers() {
    let rewound = (3, K::Rewind(Rewind { to: 2 }));
    let kinds = vec![(1, K::Reasoning("hm".into())), (2, text("a")), rewound, (4, text("b"))];
    let answer = whole([kinds, vec![(5, used(10)), (6, done("content_filter"))]].concat());
    assert_eq!(
        answer,
        json!({
            "id": format!("chatcmpl-{TURN}"), "object": "chat.completion", "created": CREATED,
            "model": "weir",
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": "ab", "refusal": null,
                            "reasoning_content": "hm"},
                "logprobs": null,
                "finish_reason": "content_filter",
            }],
            "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13,
                      "prompt_tokens_details": {"cached_tokens": 1},
                      "completion_tokens_details": {"reasoning_tokens": 2}},
            "weir": {"sessionId": "s", "turnId": TURN, "status": "completed"},
        })
    );
}

#[test]
fn a_completion_that_waits_for_a_human_has_calls_and_need_not_have_text() {
    let answer = whole(vec![(1, K::Interrupted(waiting()))]);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let call = json!({"id": "a", "type": "function",
                      "function": {"name": "t__pay", "arguments": "{\"n\":1}"}});
    assert_eq!(choice["message"]["tool_calls"][0], call);
    assert_eq!(answer["weir"]["pending"][0]["callId"], "a");
    let stopped = whole(vec![(1, K::Cancelled(proto::Cancelled {}))]);
    assert_eq!(stopped["choices"][0]["message"]["content"], "");
    assert_eq!(stopped["weir"]["status"], "cancelled");
}

#[test]
fn a_turn_whose_id_tells_no_time_was_made_when_it_was_asked() {
    let keyed = proto::TurnId::from_key(&"u".parse().unwrap(), "k");
    let head = Head::new(&"s".parse().unwrap(), keyed, "m", 7);
    let head = serde_json::to_value(head).unwrap();
    assert_eq!((&head["created"], &head["model"]), (&json!(7), &json!("m")));
}
