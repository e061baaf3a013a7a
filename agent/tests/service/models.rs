//! Which models there are, and how an OpenAI-compatible one can fail.

use agent::{Agent, Config, Knowledge};
use process::Lifecycle;
use proto::ask_event::Kind;
use testkit::model::{BodyKind, Script};

use crate::world::{World, openai, question, records, script};

#[tokio::test]
async fn what_an_endpoint_refuses_is_told_by_code_without_secrets_or_markup() {
    let world = World::new().await;
    for (status, body, code, retryable) in [
        (401, BodyKind::Json, "model_auth", false),
        (403, BodyKind::Html, "model_auth", false),
        (404, BodyKind::Json, "model_unknown", false),
        (429, BodyKind::Json, "model_rate_limited", true),
        (500, BodyKind::Html, "model_unavailable", true),
        (503, BodyKind::Json, "model_unavailable", true),
        (400, BodyKind::Json, "model_error", false),
        (302, BodyKind::Html, "model_error", false),
    ] {
        let answer =
            world.answer(script(&Script { status: Some(status), body, ..Script::default() })).await;
        assert_eq!(answer.failure(), (code, retryable), "HTTP {status}");
        let told = format!("{:?}", answer.events);
        assert!(!told.contains("sk-very-secret") && !told.contains('<'), "{told}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_failed_and_keeps_its_text() {
    let world = World::new().await;
    let text = Some("三四五六七".to_owned());
    let cut = |cut_after, cut_bytes| Script {
        text: text.clone(),
        cut_after,
        cut_bytes,
        ..Script::default()
    };
    let no_finish = Script { text: text.clone(), no_finish: true, ..Script::default() };
    let error = Script { text: text.clone(), error_after: Some(2), ..Script::default() };
    let big = Script { big_line: Some(2 * 1024 * 1024), ..Script::default() };
    for (asked, shown, code) in [
        (cut(Some(3), None), "三四五", "model_cut"),
        (cut(Some(2), Some(1)), "三四", "model_cut"),
        (no_finish, "三四五六七", "model_cut"),
        (error, "三四", "model_unavailable"),
        (big, "", "model_error"),
    ] {
        let answer = world.answer(script(&asked)).await;
        assert_eq!(answer.text(), shown, "{asked:?}");
        assert_eq!(answer.failure().0, code, "{asked:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_unavailable() {
    let nowhere = |config: &mut Config| {
        config.providers = openai(Some("k"), Some("http://127.0.0.1:1/v1"));
    };
    let world = World::with(nowhere, records().await).await;
    let answer = world.answer(question("hello")).await;
    assert_eq!(answer.failure(), ("model_unavailable", true));
}

#[tokio::test]
async fn a_request_may_name_another_model_and_the_key_goes_only_in_its_header() {
    let world = World::new().await;
    let mut asked = question("hello");
    asked.model = "openai/echo".to_owned();
    assert!(world.answer(asked).await.completed());
    let call = &world.model.calls()[0];
    assert_eq!(call.authorization.as_deref(), Some("Bearer sk-very-secret"));
    assert_eq!(call.body["model"], "echo");
    assert_eq!(call.body["stream_options"]["include_usage"], true);
    let mut asked = question("What is Weir?");
    asked.model = "extractive".to_owned();
    let answer = world.answer(asked).await;
    assert!(answer.kinds().any(|it| matches!(it, Kind::Citation(_))));
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_at_start_in_one_line() {
    let key = |key: &str| openai(Some(key), None);
    let local = |url: &str| openai(None, Some(url));
    let folder = tempfile::tempdir().unwrap();
    let none = || openai(None, None);
    for (model, openai, knowledge, words) in [
        (Some("gpt-4o"), none(), None, "allowed are `extractive` and `openai/<name>`"),
        (Some("openai/"), key("k"), None, "unknown model `openai/`"),
        (Some("openai/gpt-4o"), none(), None, "set OPENAI_API_KEY"),
        (None, key("a\nb"), None, "key holds characters"),
        (None, local("ftp://x"), None, "must be an http or https URL"),
        (None, none(), Some("missing"), "No such file"),
        (None, none(), Some(""), "holds no .md, .txt, .html or .pdf file"),
    ] {
        let config = Config {
            model: model.map(str::to_owned),
            providers: openai,
            knowledge: Knowledge {
                folders: knowledge.map(|it| folder.path().join(it)).into_iter().collect(),
            },
            ..Config::default()
        };
        let refused = Agent::new(config, records().await, Lifecycle::new()).await;
        let line = refused.unwrap_err().to_string();
        assert!(line.contains(words), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[tokio::test]
async fn the_model_is_the_first_that_has_a_key() {
    for (model, openai, said) in [
        (None, openai(None, None), "extractive ("),
        (None, openai(Some("k"), None), "openai/gpt-4o-mini at https://api.openai.com/v1"),
        (
            Some("openai/llama"),
            openai(None, Some("http://me:secret@127.0.0.1:9/v1/")),
            "openai/llama at http://127.0.0.1:9/v1",
        ),
    ] {
        let config =
            Config { model: model.map(str::to_owned), providers: openai, ..Config::default() };
        let agent = Agent::new(config, records().await, Lifecycle::new()).await;
        let name = agent.unwrap().model();
        assert!(name.starts_with(said), "{name}");
    }
}
