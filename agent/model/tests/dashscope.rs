//! DashScope's own protocol over real connections: what is asked, and what is
//! made of what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use model::{Failure, Model, Models, Prompt, Protocol, Provider, Said, Tool};
use proto::{Message, ToolCall, Usage};
use serde_json::{Value, json};
use testkit::model::{BodyKind, Ending, FakeModel, Script, ToolStyle};

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn provider(url: &str) -> Provider {
    Provider {
        protocol: Protocol::DashScope,
        base_url: Some(url.to_owned()),
        key: Some("sk-very-secret".into()),
        ..Provider::default()
    }
}

fn model_of(provider: Provider) -> Arc<dyn Model> {
    let providers = BTreeMap::from([("dashscope".to_owned(), provider)]);
    let models = Models::new("dashscope/script", Vec::new(), providers);
    models.expect("the provider can be used").named("").expect("it has any model")
}

fn scripted(fake: &FakeModel) -> Arc<dyn Model> {
    model_of(provider(&fake.dashscope_url()))
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

fn question(script: &Script) -> Prompt {
    Prompt { messages: vec![message("user", &script.question())], ..Prompt::default() }
}

/// Everything that is said, to the end.
async fn answer(model: &Arc<dyn Model>, prompt: Prompt) -> Vec<Result<Said, Failure>> {
    let said = model.stream(prompt).collect();
    tokio::time::timeout(PATIENCE, said).await.expect("the answer ends")
}

/// What an answer that must be whole said.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    reasoning: String,
    text: String,
    calls: Vec<ToolCall>,
    usage: Usage,
    finish: &'static str,
}

fn heard(said: Vec<Result<Said, Failure>>) -> Heard {
    let mut heard = Heard::default();
    for it in said {
        assert_eq!(heard.finish, "", "nothing follows the end");
        match it.expect("the answer is whole") {
            Said::Reasoning(more) => heard.reasoning += &more,
            Said::Text(more) => heard.text += &more,
            Said::ToolCall(call) => heard.calls.push(call),
            Said::Usage(usage) => heard.usage = usage,
            Said::Finished(reason) => heard.finish = reason,
            Said::Composing => {}
            Said::Citation(it) => panic!("nobody cited {it:?}"),
        }
    }
    heard
}

async fn failure(fake: &FakeModel, script: &Script) -> Failure {
    let said = answer(&scripted(fake), question(script)).await;
    said.last().expect("something is said").clone().expect_err("the answer fails")
}

fn tool(id: &str, arguments: &str) -> testkit::model::ToolCall {
    testkit::model::ToolCall {
        id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn asked(id: &str, arguments: &str) -> ToolCall {
    ToolCall {
        call_id: id.to_owned(),
        name: "get_weather".to_owned(),
        arguments: arguments.to_owned(),
    }
}

#[tokio::test]
async fn an_answer_streams_with_its_reasoning_and_usage() {
    let fake = FakeModel::start().await.unwrap();
    let script = Script {
        reasoning: Some("so, 好".into()),
        text: Some("Hello 杭州".into()),
        ..Script::default()
    };
    let heard = heard(answer(&scripted(&fake), question(&script)).await);
    assert_eq!((heard.reasoning.as_str(), heard.text.as_str()), ("so, 好", "Hello 杭州"));
    assert_eq!(heard.finish, "stop");
    let usage = &heard.usage;
    assert_eq!((usage.output_tokens, usage.reasoning_tokens), (5, 2));
    assert_eq!(usage.model, "dashscope/script");
    let call = &fake.calls()[0];
    assert_eq!(call.authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert_eq!(call.ending, Ending::Finished);
}

#[tokio::test]
async fn a_request_holds_the_conversation_the_tools_and_the_configured_fields() {
    let fake = FakeModel::start().await.unwrap();
    let extra = json!({ "enable_thinking": true, "seed": 7 });
    let model = model_of(Provider {
        max_output: Some(99),
        extra: extra.as_object().cloned().unwrap(),
        ..provider(&fake.dashscope_url())
    });
    let weather = Tool {
        name: "get_weather".to_owned(),
        description: "The weather of a city.".to_owned(),
        parameters: json!({ "type": "object" }),
    };
    let mut prompt = question(&Script::default());
    prompt.system = "Be brief.".to_owned();
    prompt.tools = [weather].into();
    let asking = Message { tool_calls: vec![asked("c1", "{}")], ..message("assistant", "") };
    let result = Message { tool_call_id: "c1".to_owned(), ..message("tool", "rain") };
    prompt.messages.extend([asking, result]);
    answer(&model, prompt).await;
    let body = &fake.calls()[0].body;
    let parameters = json!({
        "result_format": "message", "incremental_output": true, "enable_thinking": true,
        "seed": 7, "max_tokens": 99,
        "tools": [{ "type": "function", "function": {
            "name": "get_weather", "description": "The weather of a city.",
            "parameters": { "type": "object" },
        } }],
    });
    assert_eq!((&body["model"], &body["parameters"]), (&json!("script"), &parameters));
    let messages = body["input"]["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().filter_map(|it| it["role"].as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(messages[2]["tool_calls"][0]["id"], "c1");
    assert_eq!(
        (&messages[3]["tool_call_id"], &messages[3]["content"]),
        (&json!("c1"), &json!("rain"))
    );
}

#[tokio::test]
async fn the_limit_may_have_another_name_and_the_rest_may_not_be_set() {
    let fake = FakeModel::start().await.unwrap();
    let model = model_of(Provider {
        max_output: Some(5),
        max_output_field: "max_output_tokens".to_owned(),
        ..provider(&fake.dashscope_url())
    });
    answer(&model, question(&Script::default())).await;
    let parameters = fake.calls()[0].body["parameters"].clone();
    assert_eq!((&parameters["max_output_tokens"], parameters.get("max_tokens")), (&json!(5), None));
    for field in ["incremental_output", "result_format", "tools"] {
        let extra = serde_json::Map::from_iter([(field.to_owned(), json!(false))]);
        let provider = Provider { extra, ..provider(&fake.dashscope_url()) };
        let providers = BTreeMap::from([("dashscope".to_owned(), provider)]);
        let refused = Models::new("dashscope/script", Vec::new(), providers).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }
}

#[tokio::test]
async fn tool_calls_come_whole_however_they_are_cut() {
    let fake = FakeModel::start().await.unwrap();
    let arguments = [r#"{"city":"杭州"}"#, r#"{"city":"Paris","days":3}"#];
    for style in [
        ToolStyle::Pieces,
        ToolStyle::Interleaved,
        ToolStyle::Blank,
        ToolStyle::Repeated,
        ToolStyle::Whole,
        ToolStyle::Unnumbered,
    ] {
        let script = Script {
            text: Some("let me see".into()),
            tool_calls: vec![tool("c1", arguments[0]), tool("c2", arguments[1])],
            tool_style: style,
            ..Script::default()
        };
        let heard = heard(answer(&scripted(&fake), question(&script)).await);
        let calls = [asked("c1", arguments[0]), asked("c2", arguments[1])];
        assert_eq!((heard.calls.as_slice(), heard.finish), (&calls[..], "tool_calls"), "{style:?}");
        assert_eq!(heard.text, "let me see");
    }
}

#[tokio::test]
async fn refusals_are_told_by_the_vendors_words() {
    let fake = FakeModel::start().await.unwrap();
    let too_long =
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 6000]";
    for (status, word, message, code, retryable) in [
        (401, "InvalidApiKey", "Invalid API-key sk-very-secret", "model_auth", false),
        (403, "AllocationQuota.FreeTierOnly", "", "model_quota", false),
        (400, "Arrearage", "Access denied", "model_quota", false),
        (429, "Throttling.RateQuota", "slowly", "model_rate_limited", true),
        (429, "Throttling.AllocationQuota", "Allocated quota exceeded", "model_rate_limited", true),
        (400, "InvalidParameter", too_long, "model_context_length", false),
        (400, "DataInspectionFailed", "Input data may be bad", "model_error", false),
        (404, "ModelNotFound", "Model can not be found.", "model_unknown", false),
        (500, "InternalError.Algo", "", "model_unavailable", true),
    ] {
        for body in [BodyKind::Json, BodyKind::Event] {
            let script = Script {
                status: Some(status),
                retry_after: Some(7),
                body,
                error_code: Some(word.to_owned()),
                error_message: Some(message.to_owned()),
                ..Script::default()
            };
            let failure = failure(&fake, &script).await;
            assert_eq!((failure.code, failure.retryable), (code, retryable), "{word} {body:?}");
            let wait = retryable.then_some(Duration::from_secs(7));
            assert_eq!(failure.retry_after, wait, "{word}");
            assert!(!failure.message.contains("sk-very-secret"), "{failure:?}");
        }
    }
    let html = Script { status: Some(502), body: BodyKind::Html, ..Script::default() };
    let failure = failure(&fake, &html).await;
    assert_eq!((failure.code, failure.message.contains('<')), ("model_unavailable", false));
}

#[tokio::test]
async fn an_error_after_some_text_fails_the_answer_by_its_word() {
    let fake = FakeModel::start().await.unwrap();
    let script = |word: &str| Script {
        tokens: Some(3),
        error_after: Some(2),
        error_status: Some(429),
        error_code: Some(word.to_owned()),
        ..Script::default()
    };
    let busy = failure(&fake, &script("Throttling.RateQuota")).await;
    assert_eq!((busy.code, busy.retryable), ("model_rate_limited", true));
    let said = answer(&scripted(&fake), question(&script("DataInspectionFailed"))).await;
    let heard = heard(said);
    assert_eq!((heard.text.as_str(), heard.finish), ("t0 t1 ", "content_filter"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    let fake = FakeModel::start().await.unwrap();
    let text = Some("你好".to_owned());
    for script in [
        Script { text: text.clone(), cut_after: Some(1), cut_bytes: Some(2), ..Script::default() },
        Script { text: text.clone(), no_finish: true, ..Script::default() },
    ] {
        let failure = failure(&fake, &script).await;
        assert_eq!((failure.code, failure.retryable), ("model_cut", true), "{script:?}");
    }
    let long = Script { big_line: Some(10 << 20), ..Script::default() };
    let failure = failure(&fake, &long).await;
    assert_eq!((failure.code, failure.retryable), ("model_error", false));
    let cut_short = Script { text, finish: Some("length".to_owned()), ..Script::default() };
    let heard = heard(answer(&scripted(&fake), question(&cut_short)).await);
    assert_eq!((heard.text.as_str(), heard.finish), ("你好", "length"));
}

#[tokio::test]
async fn a_listener_that_goes_away_ends_the_call() {
    let fake = FakeModel::start().await.unwrap();
    let script = Script { tokens: Some(3), stall_after: Some(1), ..Script::default() };
    let mut said = scripted(&fake).stream(question(&script));
    let first = tokio::time::timeout(PATIENCE, said.next()).await.unwrap();
    assert_eq!(first, Some(Ok(Said::Text("t0 ".to_owned()))));
    drop(said);
    fake.wait_for_hangup().await.unwrap();
}

#[tokio::test]
async fn a_model_that_ignores_what_was_asked_for_is_read_the_same() {
    let fake = FakeModel::start().await.unwrap();
    let arguments = r#"{"city":"杭州"}"#;
    for text in ["Hello 杭州, how are you?", "hi", "ha ha ha ha", ""] {
        let script = |cumulative| Script {
            reasoning: Some("so, 好".into()),
            text: Some(text.to_owned()),
            tool_calls: vec![tool("c1", arguments), tool("c2", "{}")],
            cumulative,
            ..Script::default()
        };
        let [one, other] = [false, true].map(|it| question(&script(it)));
        let one = heard(answer(&scripted(&fake), one).await);
        let other = heard(answer(&scripted(&fake), other).await);
        assert_eq!((one.text.as_str(), one.calls.len()), (text, 2));
        assert_eq!(one, Heard { usage: one.usage.clone(), ..other }, "{text:?}");
    }
    let short = Script { text: Some("Hi".into()), cumulative: true, ..Script::default() };
    let heard = heard(answer(&scripted(&fake), question(&short)).await);
    assert_eq!(heard.text, "Hi", "its end repeats it, and counts no new token");
}

#[tokio::test]
async fn a_whole_turn_with_tools_goes_through() {
    let fake = FakeModel::start().await.unwrap();
    let second = Script { echo_tools: true, ..Script::default() };
    let script =
        Script { tool_calls: vec![tool("c1", "{}")], then: vec![second], ..Script::default() };
    let mut prompt = question(&script);
    let first = heard(answer(&scripted(&fake), prompt.clone()).await);
    assert_eq!(first.finish, "tool_calls");
    let asking = Message { tool_calls: first.calls, ..message("assistant", &first.text) };
    let result = Message { tool_call_id: "c1".to_owned(), ..message("tool", "雨, \"rain\"") };
    prompt.messages.extend([asking, result]);
    let second = heard(answer(&scripted(&fake), prompt).await);
    let told: Value = serde_json::from_str(&second.text).unwrap();
    assert_eq!(told, json!([{ "tool_call_id": "c1", "content": "雨, \"rain\"" }]));
}
