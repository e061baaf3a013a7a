//! Answers as bytes, whole, broken and cut anywhere.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use proptest::prelude::*;
use proto::ToolCall;
use serde_json::json;

use super::*;
use crate::{Protocol, Provider, reply};

/// It connects nowhere; to set it up takes long.
static CONNECTION: LazyLock<Arc<Connection>> = LazyLock::new(|| {
    let key = Some("sk-secret".into());
    let provider = Provider { protocol: Protocol::DashScope, key, ..Provider::default() };
    Arc::new(Connection::new("dashscope", provider).unwrap())
});

fn generation() -> Generation {
    Generation::new(Arc::clone(&CONNECTION), "dashscope/m".to_owned())
}

/// What is said of these pieces of a body; with `silent`, nothing follows them,
/// not even the end.
async fn read(pieces: &[&[u8]], silent: bool) -> Vec<Result<Said, Failure>> {
    let pieces: Vec<_> = pieces.iter().map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    let bytes = futures::stream::iter(pieces);
    let events = |bytes| sse::events::<_, std::io::Error>(bytes);
    let events = if silent {
        events(bytes.chain(futures::stream::pending()).boxed())
    } else {
        events(bytes.boxed())
    };
    reply::said(events, generation()).collect().await
}

async fn failure(pieces: &[&[u8]]) -> (&'static str, bool) {
    let said = read(pieces, false).await;
    let failure = said.last().unwrap().clone().unwrap_err();
    (failure.code, failure.retryable)
}

fn text(it: &str) -> Said {
    Said::Text(it.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> Said {
    Said::ToolCall(ToolCall {
        call_id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    })
}

/// The events of these messages, the last with that reason.
fn body(messages: &[Value], finish: &str) -> Vec<u8> {
    let mut body = String::new();
    for (at, message) in messages.iter().enumerate() {
        let reason = if at + 1 == messages.len() { finish } else { "null" };
        let result = json!({
            "output": { "choices": [{ "message": message, "index": 0, "finish_reason": reason }] },
            "usage": { "input_tokens": 3, "output_tokens": at + 1, "total_tokens": at + 4,
                "prompt_tokens_details": { "cached_tokens": 2 } },
            "request_id": "r",
        });
        let id = at + 1;
        write!(body, "id:{id}\nevent:result\n:HTTP_STATUS/200\ndata:{result}\n\n").unwrap();
    }
    body.into_bytes()
}

fn content(text: &str) -> Value {
    json!({ "role": "assistant", "content": text })
}

fn usage(output: u32) -> Said {
    Said::Usage(Usage {
        input_tokens: 3,
        output_tokens: output,
        cached_tokens: 2,
        model: "dashscope/m".to_owned(),
        ..Usage::default()
    })
}

/// Text and reasoning put together, everything else as it is.
fn joined(said: Vec<Result<Said, Failure>>) -> (String, String, Vec<Said>) {
    let (mut text, mut reasoning, mut rest) = (String::new(), String::new(), Vec::new());
    for it in said {
        match it.unwrap() {
            Said::Text(more) => text += &more,
            Said::Reasoning(more) => reasoning += &more,
            Said::Composing | Said::Usage(_) => {}
            other @ (Said::Citation(_) | Said::ToolCall(_) | Said::Finished(_)) => rest.push(other),
        }
    }
    (text, reasoning, rest)
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_reasoning_text_usage_and_its_end() {
    let messages = [
        json!({ "role": "assistant", "content": "", "reasoning_content": "so" }),
        json!({ "role": "assistant", "content": null, "reasoning_content": ", 好" }),
        content("三 "),
        json!({ "content": [{ "text": "four" }] }),
        content(""),
    ];
    let want = [
        Ok(Said::Reasoning("so".to_owned())),
        Ok(Said::Reasoning(", 好".to_owned())),
        Ok(text("三 ")),
        Ok(text("four")),
        Ok(usage(5)),
        Ok(Said::Finished("stop")),
    ];
    let body = body(&messages, "stop");
    assert_eq!(read(&[&body], false).await, want);
    let started = tokio::time::Instant::now();
    assert_eq!(read(&[&body], true).await, want, "silence after the reason is the end");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn tool_calls_are_put_together_from_what_the_service_really_sends() {
    let piece = |index: u32, id: Value, name: Value, arguments: Value| {
        let function = json!({ "name": name, "arguments": arguments });
        json!({ "role": "assistant", "content": "",
            "tool_calls": [{ "index": index, "id": id, "type": "function", "function": function }] })
    };
    let null = || Value::Null;
    let messages = [
        piece(0, json!("a"), json!("weather"), null()),
        piece(0, json!("a"), null(), json!("{\"city\":")),
        piece(0, json!(""), null(), json!("\"杭州\"}")),
        piece(1, json!("b"), json!("time"), json!("")),
        piece(1, null(), json!(""), json!("{}")),
        content(""),
    ];
    let (_, _, rest) = joined(read(&[&body(&messages, "tool_calls")], false).await);
    let calls = [call("a", "weather", "{\"city\":\"杭州\"}"), call("b", "time", "{}")];
    assert_eq!(rest[..2], calls);
    assert_eq!(rest[2..], [Said::Finished("tool_calls")]);
    let torn = joined(read(&[&body(&messages[..2], "length")], false).await);
    assert_eq!(torn.2, [Said::Finished("length")], "a torn call is not asked for");
    assert_eq!(failure(&[&body(&[content("x")], "tool_calls")]).await, ("model_error", true));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_whole_only_with_a_reason() {
    let half = body(&[content("Hel"), content("lo")], "null");
    assert_eq!(failure(&[&half]).await, ("model_cut", true));
    assert_eq!(failure(&[&half, b"data:{\"output\":{\"choi"]).await, ("model_cut", true));
    assert_eq!(failure(&[&half, b"data:<html>\n\n"]).await, ("model_error", true));
    let whole = body(&[content("Hel"), content("lo")], "stop");
    let said = read(&[&whole, b"event:error\ndata:{\"code\":\"InternalError\"}\n\n"], false).await;
    assert_eq!(said.last(), Some(&Ok(Said::Finished("stop"))), "what follows fails nothing");
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_stream_is_told_by_its_word() {
    let begun = body(&[content("Hel"), content("lo")], "null");
    for (word, code, retryable) in [
        ("Throttling.RateQuota", "model_rate_limited", true),
        ("InvalidApiKey", "model_auth", false),
        ("Arrearage", "model_quota", false),
        ("InternalError", "model_unavailable", true),
        ("InvalidParameter", "model_error", false),
        ("Mystery", "model_error", true),
    ] {
        let error = json!({ "code": word, "message": "<429> no, sk-secret", "request_id": "r" });
        let event = format!("id:3\nevent:error\n:HTTP_STATUS/429\ndata:{error}\n\n");
        let said = read(&[&begun, event.as_bytes()], false).await;
        assert_eq!(said[..2], [Ok(text("Hel")), Ok(text("lo"))]);
        let told = said[2].clone().unwrap_err();
        assert_eq!((told.code, told.retryable), (code, retryable), "{word}");
        assert!(!told.message.contains("sk-secret"));
        let unnamed = format!("data:{error}\n\n");
        assert_eq!(failure(&[unnamed.as_bytes()]).await, (code, retryable));
    }
    assert_eq!(failure(&[b"event:error\ndata:what?\n\n"]).await, ("model_error", true));
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_a_failure() {
    let calls: Vec<Value> = (0..65)
        .map(|it| json!({ "index": it, "id": "", "function": { "name": "x", "arguments": "" } }))
        .collect();
    let many = json!({ "content": "with text", "tool_calls": calls });
    for (message, reason) in [(many, "null"), (content("with text"), "error")] {
        let said = read(&[&body(&[content("Hel"), message], reason)], false).await;
        assert_eq!((said.len(), &said[0]), (2, &Ok(text("Hel"))), "{said:?}");
        assert_eq!(said[1].clone().unwrap_err().code, "model_error");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_stopped_for_what_it_says_ends_so() {
    let error = json!({ "code": "DataInspectionFailed", "message": "Output data may …" });
    let event = format!("event:error\n:HTTP_STATUS/400\ndata:{error}\n\n");
    let begun = body(&[content("Hel"), content("lo")], "null");
    let said = read(&[&begun, event.as_bytes()], false).await;
    let want =
        [Ok(text("Hel")), Ok(text("lo")), Ok(usage(2)), Ok(Said::Finished("content_filter"))];
    assert_eq!(said, want);
    assert_eq!(failure(&[event.as_bytes()]).await, ("model_error", false), "the question was it");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_no_stream_is_read_whole() {
    let message = json!({ "content": "hi", "tool_calls": [
        { "id": "a", "function": { "name": "x", "arguments": "{}" } },
    ] });
    let choices = json!([{ "message": message, "finish_reason": "tool_calls" }]);
    let whole = json!({ "output": { "choices": choices }, "usage": null }).to_string();
    let said = generation().whole(whole.as_bytes()).unwrap();
    let want = [text("hi"), Said::Composing, call("a", "x", "{}"), Said::Finished("tool_calls")];
    assert_eq!(said, want);
    let old = json!({ "output": { "text": "hi", "finish_reason": "stop" } }).to_string();
    let said = generation().whole(old.as_bytes()).unwrap();
    assert_eq!(said, [text("hi"), Said::Finished("stop")]);
    let error = json!({ "code": "Arrearage", "message": "…" }).to_string();
    assert_eq!(generation().whole(error.as_bytes()).unwrap_err().code, "model_quota");
    for nothing in [&b"{}"[..], b"", b"<html>", b"{\"output\":{\"text\":\"half\"}}"] {
        assert_eq!(generation().whole(nothing).unwrap_err().code, "model_error");
    }
}

/// Words as models say them, a few tokens at a time. None begins with another:
/// increments that do could be read both ways.
fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z]{1,6} |[天气情况如下杭州]{1,4}。|, |\n", 3..20)
}

/// The messages of an answer, as increments or each with everything so far.
fn messages(reasoning: &[String], text: &[String], arguments: &str, repeats: bool) -> Vec<Value> {
    let mut so_far = (String::new(), String::new(), String::new());
    let mut messages = Vec::new();
    let mut say = |reasoning: &str, text: &str, arguments: &str| {
        so_far.0 += reasoning;
        so_far.1 += text;
        so_far.2 += arguments;
        let shown = |new: &str, all: &str| if repeats { all.to_owned() } else { new.to_owned() };
        let mut message = json!({
            "role": "assistant",
            "reasoning_content": shown(reasoning, &so_far.0),
            "content": shown(text, &so_far.1),
        });
        if !arguments.is_empty() || (repeats && !so_far.2.is_empty()) {
            let first = so_far.2 == arguments;
            message["tool_calls"] = json!([{
                "index": 0, "id": if first || repeats { "a" } else { "" }, "type": "function",
                "function": {
                    "name": (first || repeats).then_some("tool"),
                    "arguments": shown(arguments, &so_far.2),
                },
            }]);
        }
        messages.push(message);
    };
    for more in reasoning {
        say(more, "", "");
    }
    for more in text {
        say("", more, "");
    }
    let characters: Vec<char> = arguments.chars().collect();
    for piece in characters.chunks(4) {
        say("", "", &piece.iter().collect::<String>());
    }
    say("", "", "");
    messages
}

proptest! {
    #[test]
    fn an_answer_reads_the_same_in_increments_and_repeated_and_however_it_is_cut(
        reasoning in words(),
        text in words(),
        query in "[a-z]{0,12}",
        cut in 0_usize..4096,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let arguments = json!({ "query": query }).to_string();
        let want = (
            text.concat(),
            reasoning.concat(),
            vec![call("a", "tool", &arguments), Said::Finished("tool_calls")],
        );
        for repeats in [false, true] {
            let body = body(&messages(&reasoning, &text, &arguments, repeats), "tool_calls");
            let (one, two) = body.split_at(cut % body.len());
            let said = runtime.block_on(read(&[one, two], false));
            prop_assert_eq!(&joined(said), &want, "repeated: {}", repeats);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_at_every_byte_reads_the_same() {
    let body = body(&[content("三"), content("四 and"), content(" five")], "stop");
    let want = read(&[&body], false).await;
    assert_eq!(joined(want.clone()).0, "三四 and five");
    for at in 0..body.len() {
        let (one, two) = body.split_at(at);
        assert_eq!(read(&[one, two], false).await, want, "cut at {at}");
    }
}
