//! An OpenAI-compatible answer, however its bytes are cut and however it ends.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use proptest::prelude::*;
use proto::ToolCall;
use serde_json::json;

use super::*;
use crate::{Provider, reply};

static CONNECTION: LazyLock<Arc<Connection>> = LazyLock::new(|| {
    let provider = Provider { key: Some("sk-secret".into()), ..Provider::default() };
    Arc::new(Connection::new("openai", provider).unwrap())
});

fn completion() -> Completion {
    Completion::new(Arc::clone(&CONNECTION), "openai/m".to_owned())
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
    reply::said(events, completion()).collect().await
}

async fn failure(pieces: &[&[u8]], silent: bool) -> (&'static str, bool) {
    let said = read(pieces, silent).await;
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

/// The events of these chunks.
fn body(chunks: &[Value]) -> Vec<u8> {
    chunks.iter().flat_map(|it| format!("data: {it}\n\n").into_bytes()).collect()
}

fn delta(delta: &Value) -> Value {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn finished(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

const A: &[u8] = "data: {\"choices\":[{\"delta\":{\"content\":\"三\"}}]}\n\n".as_bytes();
const STOP: &[u8] = b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// An answer with everything that one can have, and what it says.
fn everything() -> (Vec<u8>, Vec<Result<Said, Failure>>) {
    let piece = |index, id, name, arguments| json!({ "index": index, "id": id, "function": { "name": name, "arguments": arguments } });
    let chunks = body(&[
        json!({ "id": "", "choices": [{ "delta": { "reasoning_content": "嗯", "content": null } }], "usage": null }),
        delta(&json!({ "content": "三" })),
        delta(&json!({ "content": "", "reasoning": "四", "reasoning_content": "四" })),
        delta(&json!({ "tool_calls": [piece(0, Some("a"), Some("weather"), "{\"city\":")] })),
        delta(&json!({ "tool_calls": [piece(1, Some("b"), Some("time"), "")] })),
        json!({ "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 1 } }),
        delta(
            &json!({ "tool_calls": [piece(0, Some(""), None, "\"杭州\"}"), piece(1, None, None, "{}")] }),
        ),
        json!({ "choices": [{ "index": 1, "delta": { "content": "another choice" } }] }),
        finished("tool_calls"),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 2,
            "prompt_tokens_details": { "cached_tokens": 1 },
            "completion_tokens_details": { "reasoning_tokens": 1 } } }),
    ]);
    let all = [b": comment\r\n\r\n", &chunks[..], b"data: [DONE]\n\n"].concat();
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        reasoning_tokens: 1,
        cached_tokens: 1,
        model: "openai/m".to_owned(),
        ..Usage::default()
    };
    let said = [
        Said::Reasoning("嗯".to_owned()),
        text("三"),
        Said::Reasoning("四".to_owned()),
        Said::Composing,
        Said::Composing,
        Said::Composing,
        call("a", "weather", "{\"city\":\"杭州\"}"),
        call("b", "time", "{}"),
        Said::Usage(usage),
        Said::Finished("tool_calls"),
    ];
    (all, said.map(Ok).into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_answer_cut_anywhere_into_pieces_reads_the_same(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (body, want) = everything();
        let mut cuts: Vec<_> = cuts.iter().map(|it| it.index(body.len())).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|it| &body[it[0]..it[1]]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        prop_assert_eq!(runtime.unwrap().block_on(read(&pieces, false)), want);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_off_anywhere_is_failed_and_says_only_what_came() {
    let (body, want) = everything();
    let end = String::from_utf8(body.clone()).unwrap().find("\"finish_reason\":\"tool").unwrap();
    for at in 0..end {
        let mut said = read(&[&body[..at]], false).await;
        let failure = said.pop().unwrap().unwrap_err();
        assert_eq!((failure.code, failure.retryable), ("model_cut", true), "cut at {at}");
        assert_eq!(said, want[..said.len()], "cut at {at}");
        assert!(said.len() <= 6, "no call is said");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_whole_only_with_a_finish_reason() {
    let end = Ok(Said::Finished("stop"));
    assert_eq!(read(&[A, STOP], false).await, [Ok(text("三")), end.clone()]);
    assert_eq!(read(&[A, STOP], true).await, [Ok(text("三")), end.clone()]);
    assert_eq!(read(&[A, STOP, b"data: oops\n\n"], true).await, [Ok(text("三")), end]);
    assert_eq!(failure(&[A], false).await, ("model_cut", true));
    assert_eq!(failure(&[A, b"data: [DONE]\n\n"], false).await, ("model_cut", true));
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_end_is_not_waited_for_long() {
    let usage = body(&[json!({ "choices": [], "usage": { "prompt_tokens": 1 } })]);
    let counting = futures::stream::unfold((), move |()| {
        let usage = Bytes::from(usage.clone());
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(usage), ()))
        }
    });
    let bytes = futures::stream::iter([Ok(Bytes::from_static(STOP))]).chain(counting);
    let events = sse::events::<_, std::io::Error>(bytes);
    let began = tokio::time::Instant::now();
    let said: Vec<_> = reply::said(events, completion()).collect().await;
    assert_eq!(said.last().unwrap(), &Ok(Said::Finished("stop")));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn comments_and_empty_events_say_nothing() {
    let comments = futures::stream::unfold(0, |n| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let line = if n % 2 == 0 { ": still here\n\n" } else { "data:\n\n" };
        Some((Ok(Bytes::from_static(line.as_bytes())), n + 1))
    });
    let events = sse::events::<_, std::io::Error>(comments);
    let mut answer = Box::pin(reply::said(events, completion()));
    let heard = tokio::time::timeout(Duration::from_mins(10), answer.next()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_are_said_by_what_was_asked_and_not_by_the_word_for_it() {
    let asked = delta(&json!({ "tool_calls": [{ "index": 0, "id": "a",
        "function": { "name": "time", "arguments": "{}" } }] }));
    let single = delta(&json!({ "function_call": { "name": "time", "arguments": "{}" } }));
    let said = async |asked: &Value, reason: &str| {
        let said = read(&[&body(&[asked.clone(), finished(reason)])], false).await;
        let said = said.into_iter().filter(|it| *it != Ok(Said::Composing));
        said.collect::<Result<Vec<_>, _>>()
    };
    let one = |id: &str| Ok(vec![call(id, "time", "{}"), Said::Finished("tool_calls")]);
    for reason in ["tool_calls", "function_call", "stop", "eos"] {
        assert_eq!(said(&asked, reason).await, one("a"), "{reason}");
    }
    assert_eq!(said(&single, "function_call").await, one(""));
    assert_eq!(said(&asked, "length").await, Ok(vec![Said::Finished("length")]));
    assert_eq!(said(&asked, "content_filter").await, Ok(vec![Said::Finished("content_filter")]));
    let none = said(&delta(&json!({})), "tool_calls").await.unwrap_err();
    assert_eq!((none.code, none.retryable), ("model_error", true));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_is_a_failure_with_a_code() {
    let long = vec![b'x'; 64 * 1024];
    let endless: Vec<&[u8]> = std::iter::once(&b"data: "[..]).chain([&long[..]; 20]).collect();
    assert_eq!(failure(&endless, true).await, ("model_error", false));
    assert_eq!(failure(&[b"data: <html>\n\n"], false).await, ("model_error", true));
    assert_eq!(failure(&[b"data: 7\n\n"], false).await, ("model_error", true));
    for (event, code, retryable) in [
        ("data: {\"error\":{\"code\":429,\"message\":\"busy\"}}", "model_rate_limited", true),
        ("data: {\"error\":\"out of memory\"}", "model_error", true),
        ("data: {\"object\":\"error\",\"code\":400,\"message\":\"no\"}", "model_error", false),
        (
            "event: error\ndata: {\"message\":\"no\",\"code\":\"server_error\"}",
            "model_unavailable",
            true,
        ),
        ("event: error\ndata: {\"error\":{\"code\":\"insufficient_quota\"}}", "model_quota", false),
        (
            "data: {\"error\":{\"code\":400,\"message\":\"the maximum context length is 4096\"}}",
            "model_context_length",
            false,
        ),
    ] {
        let event = format!("{event}\n\n");
        assert_eq!(failure(&[A, event.as_bytes()], false).await, (code, retryable), "{event}");
    }
    for reason in ["error", "abort", "insufficient_system_resource"] {
        let said = failure(&[A, &body(&[finished(reason)])], false).await;
        assert!(matches!(said, ("model_error" | "model_cut", true)), "{reason}: {said:?}");
    }
}

#[test]
fn a_completion_that_comes_whole_is_read_as_if_it_were_streamed() {
    let read = |body: &Value| {
        let said = completion().whole(body.to_string().as_bytes());
        said.map(Vec::from).map_err(|it| (it.code, it.retryable))
    };
    let message = json!({ "role": "assistant", "reasoning_content": "嗯", "content": "三",
        "tool_calls": [
            { "id": "", "function": { "name": "time", "arguments": "{}" } },
            { "id": "", "function": { "name": "time", "arguments": "{\"zone\":8}" } },
        ] });
    let whole = json!({ "object": "chat.completion",
        "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] });
    let said = vec![
        Said::Reasoning("嗯".to_owned()),
        text("三"),
        Said::Composing,
        call("", "time", "{}"),
        call("", "time", "{\"zone\":8}"),
        Said::Finished("tool_calls"),
    ];
    assert_eq!(read(&whole), Ok(said));
    let unfinished = json!({ "choices": [{ "message": { "content": "三" } }] });
    assert_eq!(read(&unfinished), Err(("model_cut", true)));
    let error = json!({ "error": { "message": "busy", "code": 429 } });
    assert_eq!(read(&error), Err(("model_rate_limited", true)));
    for none in [json!({}), json!([]), json!({ "choices": [] }), json!({ "status": "ok" })] {
        assert_eq!(read(&none), Err(("model_error", false)), "{none}");
    }
    assert_eq!(completion().whole(b"<html>").unwrap_err().code, "model_error");
}
