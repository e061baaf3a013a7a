//! Which models there are, and what a configuration is refused for.

use std::collections::BTreeMap;

use model::{Models, Protocol, Provider};
use serde_json::json;

fn with(standard: &str, providers: &[(&str, Provider)]) -> Result<Models, String> {
    let providers = providers.iter().map(|(name, it)| ((*name).to_owned(), it.clone()));
    let models = Models::new(standard, Vec::new(), providers.collect::<BTreeMap<_, _>>());
    models.map_err(|it| it.to_string())
}

fn keyed() -> Provider {
    Provider { key: Some("sk-very-secret".into()), ..Provider::default() }
}

#[test]
fn what_is_missing_is_named_with_what_to_set() {
    let none = Provider::default;
    for (standard, providers, words) in [
        ("openai/x", vec![], "set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server"),
        ("openai/x", vec![("openai", none())], "set OPENAI_API_KEY"),
        ("dashscope/x", vec![("openai", keyed())], "set DASHSCOPE_API_KEY"),
        (
            "mine/x",
            vec![("mine", none())],
            "`mine` has no key: its configuration needs key_env or key_file",
        ),
        (
            "mine/x",
            vec![("openai", keyed())],
            "unknown model `mine/x`; allowed are `openai/<name>`",
        ),
        ("x", vec![], "unknown model `x`; allowed are `openai/<name>`"),
        ("openai/", vec![("openai", keyed())], "unknown model `openai/`"),
        ("openai/a b", vec![("openai", keyed())], "unknown model"),
    ] {
        let refused = with(standard, &providers).unwrap_err();
        assert!(refused.contains(words), "{standard}: {refused}");
        assert!(!refused.contains('\n'), "{refused}");
    }
}

#[test]
fn a_provider_cannot_set_what_a_request_is_made_of() {
    for field in ["model", "messages", "stream", "stream_options", "tools"] {
        let extra = json!({ field: null }).as_object().unwrap().clone();
        let refused = with("openai/x", &[("openai", Provider { extra, ..keyed() })]).unwrap_err();
        assert!(refused.contains("`openai` may not set `"), "{refused}");
        assert!(refused.contains(field), "{refused}");
        let limit = Provider { max_output_field: field.to_owned(), ..keyed() };
        assert!(with("openai/x", &[("openai", limit)]).unwrap_err().contains(field));
    }
}

#[test]
fn no_refusal_tells_a_secret() {
    for (key, url) in [
        ("sk-very\nsecret", None),
        ("sk-very-secret", Some("ftp://me:secret@127.0.0.1")),
        ("sk-very-secret", Some("http://me:sec/ret@127.0.0.1:x/v1?key=secret")),
    ] {
        let provider = Provider {
            key: Some(key.into()),
            base_url: url.map(str::to_owned),
            ..Provider::default()
        };
        let shown = format!("{provider:?}");
        let refused = with("openai/x", &[("openai", provider)]).unwrap_err();
        for told in [shown, refused] {
            assert!(!told.contains("secret") && !told.contains("ret@"), "{told}");
        }
    }
}

#[test]
fn a_model_is_named_placed_and_listed() {
    let local = Provider {
        base_url: Some("http://me:secret@127.0.0.1:9/v1/?key=secret".to_owned()),
        models: vec!["llama".to_owned(), "qwen".to_owned()],
        ..Provider::default()
    };
    let native = Provider { protocol: Protocol::DashScope, ..keyed() };
    let providers = [("openai", keyed()), ("local", local), ("dashscope", native)];
    let models = with("openai/gpt-4o-mini", &providers).unwrap();
    for (name, at) in [
        ("", Some("https://api.openai.com/v1")),
        ("openai/anything", Some("https://api.openai.com/v1")),
        ("local/llama", Some("http://127.0.0.1:9/v1")),
        ("dashscope/qwen-plus", Some("https://dashscope.aliyuncs.com")),
        ("elsewhere/x", None),
        ("openai/", None),
        ("x", None),
    ] {
        assert_eq!(models.place(name).as_deref(), at, "{name}");
    }
    assert_eq!(models.named("").unwrap().name(), "openai/gpt-4o-mini");
    assert_eq!(models.named("local/qwen").unwrap().name(), "local/qwen");
    assert_eq!(models.named("openai/org/model").unwrap().name(), "openai/org/model");
    for none in
        ["local/other", "openai/", "openai", "elsewhere/x", &format!("openai/{}", "x".repeat(129))]
    {
        assert!(models.named(none).is_none(), "{none}");
    }
    let names =
        ["openai/gpt-4o-mini", "dashscope/<name>", "local/llama", "local/qwen", "openai/<name>"];
    assert_eq!(models.names(), names);
    let allowed = "`dashscope/<name>`, `local/llama`, `local/qwen` and `openai/<name>`";
    assert_eq!(models.allowed(), allowed);
    assert!(!format!("{models:?}").contains("secret"), "{models:?}");
}
