//! What is sent, and successes that are no stream of events.

use model::{Provider, Said};
use serde_json::json;
use testkit::model::{FakeModel, Script};

use crate::asking::{answer, heard, models, provider, question, scripted};
use crate::server::Endpoint;

async fn end_of(kind: &str, body: &str) -> (String, Result<&'static str, model::Failure>) {
    let endpoint = Endpoint::respond("200 OK", &format!("content-type: {kind}\r\n"), body).await;
    heard(answer(&scripted(endpoint.url()), question("?")).await)
}

#[tokio::test]
async fn a_gateway_that_does_not_stream_is_read_all_the_same() {
    let whole = r#"{"choices":[{"message":{"content":"三四"},"finish_reason":"stop"}]}"#;
    assert_eq!(
        end_of("application/json; charset=utf-8", whole).await,
        ("三四".to_owned(), Ok("stop"))
    );
    let error = r#"{"error":{"message":"busy","code":429}}"#;
    let failure = end_of("application/json", error).await.1.unwrap_err();
    assert_eq!((failure.code, failure.retryable), ("model_rate_limited", true));
}

#[tokio::test]
async fn a_success_that_is_no_answer_is_refused() {
    for (kind, body) in [
        ("text/html", "<html>Please log in</html>"),
        ("application/json", "<html>Please log in</html>"),
        ("application/json", r#"{"status":"ok"}"#),
        ("text/plain", "data: {}\n\n"),
    ] {
        let failure = end_of(kind, body).await.1.unwrap_err();
        assert_eq!((failure.code, failure.retryable), ("model_error", false), "{kind} {body}");
    }
    let torn = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let endpoint = Endpoint::start(torn.as_bytes(), None).await;
    let (_, end) = heard(answer(&scripted(endpoint.url()), question("?")).await);
    assert_eq!(end.unwrap_err().code, "model_cut");
}

#[tokio::test]
async fn a_kind_that_is_missing_or_has_parameters_is_a_stream() {
    let body =
        "data: {\"choices\":[{\"delta\":{\"content\":\"三\"},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(
        end_of("Text/Event-Stream; charset=utf-8", body).await,
        ("三".to_owned(), Ok("stop"))
    );
    let endpoint = Endpoint::respond("200 OK", "", body).await;
    let said = heard(answer(&scripted(endpoint.url()), question("?")).await);
    assert_eq!(said, ("三".to_owned(), Ok("stop")));
}

#[tokio::test]
async fn a_request_has_what_the_configuration_adds_and_the_key_only_in_its_header() {
    let fake = FakeModel::start().await.unwrap();
    let extra = json!({ "enable_thinking": true, "temperature": 0.5 });
    let limited = Provider {
        max_output: Some(512),
        extra: extra.as_object().unwrap().clone(),
        ..provider(&fake.base_url())
    };
    let renamed = Provider {
        max_output: Some(512),
        max_output_field: "max_completion_tokens".to_owned(),
        ..provider(&fake.base_url())
    };
    for provider in [limited, renamed, provider(&fake.base_url())] {
        let model = models("openai/echo", provider).named("openai/echo").unwrap();
        assert_eq!(heard(answer(&model, question("hello")).await).1, Ok("stop"));
    }
    let calls = fake.calls();
    let [limited, renamed, plain] = [0, 1, 2].map(|at: usize| &calls[at].body);
    assert_eq!(limited["max_tokens"], 512);
    assert_eq!(limited["enable_thinking"], true);
    assert_eq!(limited["temperature"], 0.5);
    assert_eq!(limited["stream_options"]["include_usage"], true);
    assert_eq!((&renamed["max_completion_tokens"], renamed.get("max_tokens")), (&json!(512), None));
    let want = json!({
        "model": "echo",
        "messages": [{ "role": "user", "content": "hello" }],
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    assert_eq!(plain, &want);
    assert_eq!(calls[0].authorization.as_deref(), Some("Bearer sk-very-secret"));
}

#[tokio::test]
async fn a_server_of_ones_own_is_asked_without_a_key() {
    let fake = FakeModel::start().await.unwrap();
    let keyless = Provider { key: None, ..provider(&format!("{}/", fake.base_url())) };
    let model = models("openai/echo", keyless).named("").unwrap();
    assert_eq!(heard(answer(&model, question("hello")).await).1, Ok("stop"));
    assert_eq!(fake.calls()[0].authorization, None);
}

#[tokio::test]
async fn thoughts_text_and_usage_are_said_apart() {
    let fake = FakeModel::start().await.unwrap();
    let script = Script {
        reasoning: Some("嗯".to_owned()),
        text: Some("三四".to_owned()),
        ..Script::default()
    };
    let said = answer(&scripted(&fake.base_url()), question(&script.question())).await;
    let said: Vec<_> = said.into_iter().map(Result::unwrap).collect();
    assert_eq!(said[0], Said::Reasoning("嗯".to_owned()));
    assert_eq!(said[1..3], [Said::Text("三".to_owned()), Said::Text("四".to_owned())]);
    let [Said::Usage(usage), Said::Finished("stop")] = &said[3..] else {
        panic!("{said:?}");
    };
    assert_eq!(usage.model, "openai/script");
    assert!(usage.output_tokens > 0, "{usage:?}");
}
