//! DashScope's own protocol.

use anyhow::Result;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use testkit::model::{BodyKind, Ending, FakeModel, Script, ToolCall};
use testkit::sse::{Frame, Sse};

async fn post(model: &FakeModel, body: &Value, stream: bool) -> Result<Response> {
    let url = format!("{}/services/aigc/text-generation/generation", model.dashscope_url());
    let request = Client::new().post(url).bearer_auth("key").json(body);
    let request = if stream { request.header("X-DashScope-SSE", "enable") } else { request };
    Ok(request.send().await?)
}

fn body(script: &Script, incremental: bool) -> Value {
    json!({
        "model": "script",
        "input": {"messages": [{"role": "user", "content": script.question()}]},
        "parameters": {"result_format": "message", "incremental_output": incremental},
    })
}

async fn stream(model: &FakeModel, script: &Script, incremental: bool) -> Result<Vec<Frame>> {
    let answer = post(model, &body(script, incremental), true).await?;
    Sse::open(answer).await?.read_all().await
}

fn choice(frame: &Frame) -> Value {
    frame.json()["output"]["choices"][0].clone()
}

fn thoughtful() -> Script {
    let arguments = r#"{"city":"杭州"}"#.to_owned();
    let call = ToolCall { id: "c1".into(), name: "weather".into(), arguments };
    Script {
        reasoning: Some("so, 好".into()),
        text: Some("let me see".into()),
        tool_calls: vec![call],
        ..Script::default()
    }
}

#[tokio::test]
async fn an_incremental_answer_says_only_what_is_new() -> Result<()> {
    let model = FakeModel::start().await?;
    let frames = stream(&model, &thoughtful(), true).await?;
    let first = &frames[0];
    assert_eq!((first.id.as_deref(), first.event.as_deref()), (Some("1"), Some("result")));
    assert!(format!("{first:?}").contains(":HTTP_STATUS/200\\n"), "{first:?}");
    let said = |name: &str| -> String {
        let texts = frames.iter().map(|it| choice(it)["message"][name].as_str().map(str::to_owned));
        texts.flatten().collect()
    };
    assert_eq!(
        (said("reasoning_content"), said("content")),
        ("so, 好".into(), "let me see".into())
    );
    let pieces = frames.iter().map(|it| choice(it)["message"]["tool_calls"][0].clone());
    let pieces: Vec<Value> = pieces.filter(|it| !it.is_null()).collect();
    assert_eq!(
        (&pieces[0]["id"], &pieces[0]["function"]["name"]),
        (&json!("c1"), &json!("weather"))
    );
    let arguments = pieces.iter().filter_map(|it| it["function"]["arguments"].as_str());
    assert_eq!(arguments.collect::<String>(), r#"{"city":"杭州"}"#);
    let (last, before) = (&frames[frames.len() - 1], &frames[frames.len() - 2]);
    assert_eq!(choice(before)["finish_reason"], "null");
    assert_eq!(choice(last)["finish_reason"], "tool_calls");
    let usage = &last.json()["usage"];
    assert_eq!(usage["output_tokens"], frames.len() - 1);
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 2);
    assert_eq!(model.calls()[0].ending, Ending::Finished);
    Ok(())
}

#[tokio::test]
async fn a_cumulative_answer_repeats_everything() -> Result<()> {
    let model = FakeModel::start().await?;
    let frames = stream(&model, &thoughtful(), false).await?;
    let mut so_far = String::new();
    for frame in &frames {
        let text = choice(frame)["message"]["content"].as_str().unwrap_or_default().to_owned();
        assert!(text.starts_with(&so_far), "{text:?} after {so_far:?}");
        so_far = text;
    }
    let last = choice(&frames[frames.len() - 1]);
    assert_eq!(last["message"]["content"], "let me see");
    assert_eq!(last["message"]["reasoning_content"], "so, 好");
    let call = &last["message"]["tool_calls"][0];
    assert_eq!(call["function"], json!({"name": "weather", "arguments": r#"{"city":"杭州"}"#}));
    let whole = post(&model, &body(&thoughtful(), false), false).await?;
    let whole: Value = whole.json().await?;
    assert_eq!(whole["output"]["choices"][0]["message"], last["message"]);
    Ok(())
}

#[tokio::test]
async fn an_error_is_an_object_or_an_event_with_the_vendors_code() -> Result<()> {
    let model = FakeModel::start().await?;
    let busy = Script { status: Some(429), ..Script::default() };
    let refused = post(&model, &body(&busy, true), true).await?;
    assert_eq!(refused.status(), 429);
    let error: Value = refused.json().await?;
    assert_eq!(
        (&error["code"], &error["request_id"]),
        (&json!("Throttling"), &json!("request-refused"))
    );
    let owing = Script {
        status: Some(400),
        body: BodyKind::Event,
        error_code: Some("Arrearage".into()),
        ..Script::default()
    };
    let refused = post(&model, &body(&owing, true), true).await?;
    assert_eq!(refused.headers()["content-type"], "application/json");
    let text = refused.text().await?;
    assert!(text.starts_with("id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"), "{text}");
    assert!(text.contains("\"Arrearage\""), "{text}");
    let broken = Script {
        tokens: Some(3),
        error_after: Some(2),
        error_status: Some(429),
        error_code: Some("Throttling.RateQuota".into()),
        error_message: Some("slowly".into()),
        ..Script::default()
    };
    let frames = stream(&model, &broken, true).await?;
    assert_eq!(frames.len(), 3);
    assert_eq!(frames[2].event.as_deref(), Some("error"));
    assert!(format!("{:?}", frames[2]).contains(":HTTP_STATUS/429\\n"), "{:?}", frames[2]);
    assert_eq!(frames[2].json()["code"], "Throttling.RateQuota");
    Ok(())
}

#[tokio::test]
async fn a_cut_falls_inside_a_character_of_what_is_new() -> Result<()> {
    let model = FakeModel::start().await?;
    let script = Script {
        text: Some("\"你好".into()),
        cut_after: Some(2),
        cut_bytes: Some(1),
        ..Script::default()
    };
    for incremental in [true, false] {
        let mut answer = post(&model, &body(&script, incremental), true).await?;
        let mut bytes = Vec::new();
        while let Ok(chunk) = answer.chunk().await {
            bytes.extend_from_slice(&chunk.ok_or_else(|| anyhow::anyhow!("it ended whole"))?);
        }
        let before = if incremental { "\"content\":\"" } else { "\"content\":\"\\\"你" };
        let end = [before.as_bytes(), &"好".as_bytes()[..1]].concat();
        assert!(bytes.ends_with(&end), "{}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}

#[tokio::test]
async fn what_the_vendor_refuses_is_refused() -> Result<()> {
    let model = FakeModel::start().await?;
    let good = body(&Script::default(), true);
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).expect("the body has that") = value;
        body
    };
    let assistant = json!([{"role": "assistant", "content": "x"}]);
    let thinking = json!({"result_format": "message", "enable_thinking": true});
    for (body, stream, status, code) in [
        (good.clone(), false, 400, "InvalidParameter"),
        (with("/parameters/result_format", json!("text")), true, 400, "InvalidParameter"),
        (with("/parameters", thinking), true, 400, "InvalidParameter"),
        (with("/input/messages", json!([])), true, 400, "InvalidParameter"),
        (with("/input/messages", assistant), true, 400, "InvalidParameter"),
        (with("/input", json!({})), true, 400, "InvalidParameter"),
        (with("/model", json!("gpt")), true, 404, "ModelNotFound"),
    ] {
        let answer = post(&model, &body, stream).await?;
        assert_eq!(answer.status(), status, "{body}");
        assert_eq!(answer.json::<Value>().await?["code"], code, "{body}");
    }
    let url = format!("{}/services/aigc/text-generation/generation", model.dashscope_url());
    let keyless = Client::new().post(url).json(&good).send().await?;
    assert_eq!(keyless.json::<Value>().await?["code"], "InvalidApiKey");
    assert!(model.calls().iter().all(|it| it.ending == Ending::Refused));
    Ok(())
}
