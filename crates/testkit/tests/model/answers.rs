//! What is said, and the accidents on the way.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use testkit::model::{BodyKind, Ending, FakeModel, Script, ToolCall, echo};
use testkit::sse::Frame;

use super::{ask, field, post, said, stream};

#[tokio::test]
async fn a_script_streams_role_tokens_reason_usage_and_done() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script { tokens: Some(3), reasoning: Some("so, 好".into()), ..Script::default() };
    let frames = stream(&model, &script).await?.read_all().await?;
    assert_eq!(field(&frames[0].json(), "role"), "assistant");
    assert_eq!(said(&frames, "reasoning_content"), "so, 好");
    assert_eq!(said(&frames, "content"), "t0 t1 t2 ");
    let end: Vec<Value> = frames.iter().rev().take(3).map(Frame::json).collect();
    assert_eq!(frames.last().and_then(|it| it.data.as_deref()), Some("[DONE]"));
    assert_eq!(end[1]["usage"]["completion_tokens"], 5);
    assert_eq!(end[2]["choices"][0]["finish_reason"], "stop");
    let call = &model.calls()[0];
    assert_eq!(
        (call.ending, call.authorization.as_deref()),
        (Ending::Finished, Some("Bearer key"))
    );
    Ok(())
}

#[tokio::test]
async fn a_question_is_echoed_with_the_number_of_user_messages() -> Result<()> {
    let model = FakeModel::start().await?;
    let messages = json!([
        {"role": "user", "content": "one"}, {"role": "assistant", "content": "1"},
        {"role": "user", "content": "你好, two"},
    ]);
    let answer = post(&model, &json!({"model": "echo", "messages": messages})).await?;
    let answer: Value = answer.json().await?;
    assert_eq!(answer["choices"][0]["message"]["content"], echo("你好, two", 2));
    Ok(())
}

#[tokio::test]
async fn a_question_that_was_taught_is_answered_as_its_script_says() -> Result<()> {
    let model = FakeModel::start().await?;
    model.teach("{why}?", Script { text: Some("Because.".into()), ..Script::default() });
    let asked = async |question: &str| {
        let messages = json!([{"role": "user", "content": question}]);
        post(&model, &json!({"model": "script", "messages": messages})).await
    };
    for (question, answer) in [("{why}?", "Because."), ("Why?", "Why? (user message 1)")] {
        let answered: Value = asked(question).await?.json().await?;
        assert_eq!(answered["choices"][0]["message"]["content"], answer);
    }
    assert_eq!(asked("{why}? ").await?.status(), 400, "only what was taught, word for word");
    Ok(())
}

#[tokio::test]
async fn typos_and_unknown_models_are_refused() -> Result<()> {
    let model = FakeModel::start().await?;
    for (name, question) in [("script", r#"{"token": 1}"#), ("gpt", "hello")] {
        let messages = json!([{"role": "user", "content": question}]);
        let answer =
            post(&model, &json!({"model": name, "stream": true, "messages": messages})).await?;
        assert_eq!(answer.status(), 400);
    }
    assert!(model.calls().iter().all(|it| it.ending == Ending::Refused));
    Ok(())
}

#[tokio::test]
async fn a_status_is_given_as_often_as_the_script_says() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script {
        status: Some(429),
        retry_after: Some(7),
        body: BodyKind::Html,
        times: Some(1),
        tokens: Some(1),
        ..Script::default()
    };
    let refused = ask(&model, &script).await?;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"7".parse()?)
    );
    assert!(refused.text().await?.starts_with("<html>"));
    assert_eq!(said(&stream(&model, &script).await?.read_all().await?, "content"), "t0 ");
    Ok(())
}

#[tokio::test]
async fn a_cut_breaks_the_connection_inside_a_character() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script {
        text: Some("你好".into()),
        cut_after: Some(1),
        cut_bytes: Some(2),
        ..Script::default()
    };
    let mut answer = ask(&model, &script).await?;
    let mut bytes = Vec::new();
    let error = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => anyhow::bail!("the stream ended whole"),
            Err(error) => break error,
        }
    };
    assert!(error.is_body() || error.is_decode() || error.is_request(), "{error:?}");
    assert!(bytes.ends_with(&[b"\"".as_slice(), &"好".as_bytes()[..2]].concat()));
    assert_eq!(model.calls()[0].ending, Ending::Cut);
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script { tokens: Some(5), stall_after: Some(2), ..Script::default() };
    let mut sse = stream(&model, &script).await?;
    sse.read_until(|it| field(&it.json(), "content") == "t1 ").await?;
    assert_eq!(model.wait_for_calls(1).await?[0].ending, Ending::Open);
    sse.cut();
    assert_eq!(model.wait_for_hangup().await?.ending, Ending::HungUp);
    Ok(())
}

#[tokio::test]
async fn a_held_answer_goes_on_when_it_is_released() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script { tokens: Some(2), hold_after: Some(1), ..Script::default() };
    let mut sse = stream(&model, &script).await?;
    sse.read_until(|it| field(&it.json(), "content") == "t0 ").await?;
    model.release();
    assert_eq!(said(&sse.read_all().await?, "content"), "t1 ");
    Ok(())
}

#[tokio::test]
async fn tool_calls_come_in_fragments_and_only_once() -> Result<()> {
    let model = FakeModel::start().await?;
    let arguments = r#"{"query":"天气"}"#;
    let tool = ToolCall { id: "c1".into(), name: "search".into(), arguments: arguments.into() };
    let script = Script { tool_calls: vec![tool], text: Some("done".into()), ..Script::default() };
    let frames = stream(&model, &script).await?.read_all().await?;
    let deltas = frames.iter().map(|it| it.json()["choices"][0]["delta"]["tool_calls"][0].clone());
    let pieces: Vec<_> =
        deltas.filter_map(|it| Some(it["function"]["arguments"].as_str()?.to_owned())).collect();
    assert_eq!(pieces.concat(), arguments);
    assert!(pieces.len() > 2);
    let messages = json!([
        {"role": "user", "content": script.question()},
        {"role": "assistant", "content": null, "tool_calls": [{
            "id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"},
        }]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]);
    let answer: Value =
        post(&model, &json!({"model": "script", "messages": messages})).await?.json().await?;
    assert_eq!(answer["choices"][0]["message"], json!({"role": "assistant", "content": "done"}));
    Ok(())
}

#[tokio::test]
async fn a_stream_can_end_without_a_reason_or_never() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script { tokens: Some(1), no_finish: true, ..Script::default() };
    let frames = stream(&model, &script).await?.read_all().await?;
    assert_eq!(frames.len(), 2);
    let script = Script { big_line: Some(1 << 20), comments: true, ..Script::default() };
    let mut sse = stream(&model, &script).await?;
    let frames = sse.read_until(|it| it.raw.len() > 1 << 20).await?;
    assert_eq!(said(&frames, "content").len(), 1 << 20);
    for _ in 0..3 {
        assert_eq!(sse.next_raw().await?.and_then(|it| it.data), None);
    }
    Ok(())
}

#[tokio::test]
async fn stamped_tokens_keep_their_pace_and_carry_their_time() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script { tokens: Some(6), every_ms: 10, stamp: true, ..Script::default() };
    let before = process::clock::now();
    let frames = stream(&model, &script).await?.read_all().await?;
    let text = said(&frames, "content");
    let times: Vec<Duration> = text
        .split_whitespace()
        .map(|it| it.parse().map(Duration::from_micros))
        .collect::<Result<_, _>>()?;
    assert_eq!(times.len(), 6);
    // Token 5 is due 50 ms after the call, whenever token 0 got its turn.
    let due = model.calls()[0].at + Duration::from_millis(49);
    assert!(times[0] >= before && times[5] >= due, "{times:?}");
    Ok(())
}
