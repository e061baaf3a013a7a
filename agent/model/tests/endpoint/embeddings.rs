//! Embeddings over real connections.

use std::collections::BTreeMap;

use model::{Models, Protocol, Provider};
use testkit::model::FakeModel;

use crate::asking::{models, provider};
use crate::server::Endpoint;

/// More than an answer may have, piece by piece.
static SPACES: [u8; 64 * 1024] = [b' '; 64 * 1024];

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|at| format!("text {at}")).collect()
}

#[tokio::test]
async fn texts_become_vectors_in_their_order_ten_at_a_time() {
    let fake = FakeModel::start().await.unwrap();
    let only_chat = Provider { models: vec!["echo".to_owned()], ..provider(&fake.base_url()) };
    let models = models("openai/echo", only_chat);
    let embeddings = models.embeddings("openai/embed").unwrap();
    assert_eq!(embeddings.name(), "openai/embed");
    let texts = texts(23);
    let vectors = embeddings.embed(&texts).await.unwrap();
    assert_eq!(fake.calls().len(), 3);
    assert_eq!(vectors.len(), 23);
    let alone = embeddings.embed(&texts[17..18]).await.unwrap();
    assert_eq!(vectors[17], alone[0], "the order is that of the texts");
    assert_ne!(vectors[17], vectors[16]);
    assert_eq!(embeddings.embed(&[]).await, Ok(Vec::new()));
    assert_eq!(fake.calls().len(), 4, "nothing is asked for nothing");
    assert!(models.embeddings("elsewhere/embed").is_none());
    assert!(models.embeddings("embed").is_none());
}

#[tokio::test]
async fn a_refusal_of_embeddings_has_the_code_of_any_other() {
    let fake = FakeModel::start().await.unwrap();
    let models = models("openai/echo", provider(&fake.base_url()));
    for (name, code, retryable) in [
        ("openai/embed-status-401", "model_auth", false),
        ("openai/embed-status-429", "model_rate_limited", true),
        ("openai/embed-status-503", "model_unavailable", true),
        ("openai/echo", "model_unknown", false),
    ] {
        let failure = models.embeddings(name).unwrap().embed(&texts(1)).await.unwrap_err();
        assert_eq!((failure.code, failure.retryable), (code, retryable), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_texts_is_refused() {
    for body in [
        "<html>",
        "{}",
        r#"{"data":[{"index":0,"embedding":[1]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1e99]}]}"#,
        r#"{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[null]}]}"#,
        r#"{"error":{"message":"no"}}"#,
    ] {
        let endpoint =
            Endpoint::respond("200 OK", "content-type: application/json\r\n", body).await;
        let models = models("openai/x", provider(endpoint.url()));
        let failure = models.embeddings("openai/x").unwrap().embed(&texts(2)).await.unwrap_err();
        assert_eq!(failure.code, "model_error", "{body}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let endpoint = Endpoint::start(head, Some(&SPACES)).await;
    let models = models("openai/x", provider(endpoint.url()));
    let failure = models.embeddings("openai/x").unwrap().embed(&texts(1)).await.unwrap_err();
    assert_eq!((failure.code, failure.retryable), ("model_error", false));
    assert!(endpoint.seen().written < 64 << 20);
}

#[tokio::test]
async fn dash_scope_has_its_embeddings_beside_its_own_protocol() {
    let body = r#"{"data":[{"index":0,"embedding":[1]}]}"#;
    let endpoint = Endpoint::respond("200 OK", "", body).await;
    for base in [endpoint.url().to_owned(), format!("{}/api/v1/", endpoint.url())] {
        let provider = Provider { protocol: Protocol::DashScope, ..provider(&base) };
        let providers = BTreeMap::from([("dashscope".to_owned(), provider)]);
        let models = Models::new("dashscope/qwen-plus", Vec::new(), providers).unwrap();
        let embeddings = models.embeddings("dashscope/text-embedding-v4").unwrap();
        assert_eq!(embeddings.embed(&texts(1)).await, Ok(vec![vec![1.0]]));
    }
    for request in endpoint.seen().requests {
        assert!(request.starts_with("POST /compatible-mode/v1/embeddings "), "{request}");
        assert!(request.contains("authorization: Bearer sk-very-secret"), "{request}");
    }
}
