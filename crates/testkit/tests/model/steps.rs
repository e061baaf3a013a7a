//! Scripts of several steps, with tools in between.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::model::{BodyKind, Ending, FakeModel, Heard, Script, ToolCall, ToolStyle};
use testkit::sse::Sse;

use super::{post, said};

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "search".into(), arguments: r#"{"q":"weather"}"#.into() }
}

fn user(script: &Script) -> Value {
    json!({"role": "user", "content": script.question()})
}

/// The assistant's message that asks for these, and their results.
fn round(calls: &[(&str, &str)]) -> Vec<Value> {
    let asked = calls.iter().map(|(id, _)| {
        json!({"id": id, "type": "function", "function": {"name": "search", "arguments": "{}"}})
    });
    let asked: Vec<Value> = asked.collect();
    let asked = json!({"role": "assistant", "content": "", "tool_calls": asked});
    let results = calls
        .iter()
        .map(|(id, result)| json!({"role": "tool", "tool_call_id": id, "content": result}));
    std::iter::once(asked).chain(results).collect()
}

/// What is said to these messages: the message, and why it ended.
async fn answer(model: &FakeModel, messages: &[Value]) -> Result<(Value, String)> {
    let body = json!({"model": "script", "messages": messages});
    let answer: Value = post(model, &body).await?.error_for_status()?.json().await?;
    let choice = &answer["choices"][0];
    let finish = choice["finish_reason"].as_str().unwrap_or_default().to_owned();
    Ok((choice["message"].clone(), finish))
}

fn three_steps() -> Script {
    let second = Script {
        tool_calls: vec![call("b"), call("c")],
        text: Some("two".into()),
        ..Script::default()
    };
    let third = Script { text: Some("three".into()), ..Script::default() };
    Script { tool_calls: vec![call("a")], then: vec![second, third], ..Script::default() }
}

#[tokio::test]
async fn the_step_is_told_by_the_tool_calls_behind_the_last_user_message() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = three_steps();
    let system = json!({"role": "system", "content": "You are {careful}."});
    // An older turn with tools of its own does not count.
    let mut messages = vec![system, user(&Script::default())];
    messages.extend(round(&[("old", "x"), ("older", "y")]));
    messages.extend([json!({"role": "assistant", "content": "done"}), user(&script)]);
    let (first, finish) = answer(&model, &messages).await?;
    assert_eq!((first["tool_calls"][0]["id"].as_str(), finish.as_str()), (Some("a"), "tool_calls"));
    messages.extend(round(&[("a", "1")]));
    let (second, _) = answer(&model, &messages).await?;
    assert_eq!(second["content"], "two");
    assert_eq!(second["tool_calls"].as_array().map(Vec::len), Some(2));
    messages.extend(round(&[("b", "2"), ("c", "3")]));
    let (third, finish) = answer(&model, &messages).await?;
    assert_eq!(
        (third, finish.as_str()),
        (json!({"role": "assistant", "content": "three"}), "stop")
    );
    Ok(())
}

#[tokio::test]
async fn past_the_last_step_its_text_comes_without_its_tools() -> Result<()> {
    let model = FakeModel::start().await?;
    let mut script = three_steps();
    script.then.pop();
    let mut messages = vec![user(&script)];
    messages.extend(round(&[("a", "1")]));
    messages.extend(round(&[("b", "2"), ("c", "3")]));
    let (past, finish) = answer(&model, &messages).await?;
    assert_eq!((past, finish.as_str()), (json!({"role": "assistant", "content": "two"}), "stop"));
    Ok(())
}

#[tokio::test]
async fn what_a_model_heard_is_what_it_says() -> Result<()> {
    let model = FakeModel::start().await?;
    let echo = Script { echo_tools: true, ..Script::default() };
    let script = Script {
        tool_calls: vec![call("a"), call("b")],
        echo_tools: true,
        then: vec![echo],
        ..Script::default()
    };
    let mut messages = vec![user(&script)];
    assert_eq!(answer(&model, &messages).await?.0["content"], "");
    messages.extend(round(&[("a", "sunny, \"18°\""), ("b", "杭州")]));
    let said = answer(&model, &messages).await?.0["content"].clone();
    let heard: Vec<Heard> = serde_json::from_str(said.as_str().unwrap_or_default())?;
    let result = |id: &str, it: &str| Heard { tool_call_id: id.into(), content: it.into() };
    assert_eq!(heard, [result("a", "sunny, \"18°\""), result("b", "杭州")]);
    Ok(())
}

#[tokio::test]
async fn a_later_step_has_faults_of_its_own() -> Result<()> {
    let model = FakeModel::start().await?;
    let faulty = Script {
        status: Some(503),
        times: Some(1),
        retry_after: Some(3),
        body: BodyKind::Event,
        error_code: Some("overloaded".into()),
        tokens: Some(2),
        cut_after: Some(1),
        ..Script::default()
    };
    let script = Script { tool_calls: vec![call("a")], then: vec![faulty], ..Script::default() };
    let mut messages = vec![user(&script)];
    // As often as one likes: only calls of the same step count.
    for _ in 0..2 {
        answer(&model, &messages).await?;
    }
    messages.extend(round(&[("a", "1")]));
    let body = json!({"model": "script", "stream": true, "messages": messages});
    let refused = post(&model, &body).await?;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"3".parse()?)
    );
    let text = refused.text().await?;
    assert!(text.starts_with("data: ") && text.contains("\"overloaded\""), "{text}");
    let mut sse = Sse::open(post(&model, &body).await?).await?;
    let frames = sse.read_until(|it| super::field(&it.json(), "content") == "t0 ").await?;
    assert_eq!(said(&frames, "content"), "t0 ");
    assert!(sse.read_all().await.is_err());
    assert_eq!(model.calls().last().map(|it| it.ending), Some(Ending::Cut));
    Ok(())
}

#[tokio::test]
async fn an_error_in_the_stream_says_what_it_is_told_to() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script {
        tokens: Some(2),
        error_after: Some(1),
        error_status: Some(429),
        error_message: Some("slowly".into()),
        ..Script::default()
    };
    let frames = super::stream(&model, &script).await?.read_all().await?;
    let error = frames.last().map(|it| it.json()["error"].clone()).unwrap_or_default();
    assert_eq!(error["code"], 429);
    assert_eq!((&error["type"], &error["message"]), (&json!("rate_limit_error"), &json!("slowly")));
    Ok(())
}

#[tokio::test]
async fn calls_are_cut_as_the_style_says() -> Result<()> {
    let model = FakeModel::start().await?;
    let told = |style| Script {
        tool_calls: vec![call("a"), call("b")],
        tool_style: style,
        ..Script::default()
    };
    for (style, deltas) in
        [(ToolStyle::Whole, 1), (ToolStyle::Unnumbered, 2), (ToolStyle::Blank, 8)]
    {
        let frames = super::stream(&model, &told(style)).await?.read_all().await?;
        let calls: Vec<Value> = frames
            .iter()
            .filter_map(|it| it.json()["choices"][0]["delta"].get("tool_calls").cloned())
            .collect();
        assert_eq!(calls.len(), deltas, "{style:?}");
        let last = &calls[calls.len() - 1][0];
        assert_eq!(last.get("index").is_none(), style == ToolStyle::Unnumbered, "{last}");
        let blank = last["id"] == "" && last["function"]["name"].is_null();
        assert_eq!(blank, style == ToolStyle::Blank, "{last}");
    }
    Ok(())
}

#[tokio::test]
async fn what_no_endpoint_takes_is_refused() -> Result<()> {
    let model = FakeModel::start().await?;
    let nested = Script { then: vec![three_steps()], ..Script::default() };
    let status = Script { error_status: Some(429), ..Script::default() };
    let mut unanswered = vec![user(&Script::default())];
    unanswered.extend(round(&[("a", "1"), ("b", "2")]));
    unanswered.pop();
    for messages in [vec![user(&nested)], vec![user(&status)], unanswered] {
        let body = json!({"model": "script", "messages": messages});
        assert_eq!(post(&model, &body).await?.status(), 400, "{body}");
    }
    Ok(())
}
