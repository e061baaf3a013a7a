//! What an endpoint says instead of an answer, as a failure that a client may
//! see: bounded, without markup and without the key.

use futures::StreamExt as _;
use proto::code;
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::Failure;

/// The most of an error's body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// The most of the provider's own words that are passed on, in bytes.
const MAX_WORDS: usize = 300;

/// How long the body of an error may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Reads an error response.
pub(super) async fn read(response: Response, key: Option<&SecretString>) -> Failure {
    let status = response.status();
    let mut body = Vec::new();
    let mut bytes = response.bytes_stream();
    let reading = async {
        while let Some(Ok(more)) = bytes.next().await {
            let room = MAX_BODY - body.len();
            body.extend_from_slice(&more[..more.len().min(room)]);
            if body.len() == MAX_BODY {
                break;
            }
        }
    };
    if tokio::time::timeout(PATIENCE, reading).await.is_err() {
        tracing::debug!(%status, "an error's body did not end in time");
    }
    let error: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = error.get("error").unwrap_or(&error);
    tracing::warn!(%status, code = word(error), "the model's endpoint refused");
    of_status(status, error, key)
}

/// What an error inside a stream means.
pub(super) fn in_stream(error: &Value, key: Option<&SecretString>) -> Failure {
    let status = error
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|it| u16::try_from(it).ok())
        .and_then(|it| StatusCode::from_u16(it).ok());
    match (status, word(error)) {
        (Some(status), _) => of_status(status, error, key),
        (None, "rate_limit_exceeded" | "rate_limit_error") => {
            of_status(StatusCode::TOO_MANY_REQUESTS, error, key)
        }
        (None, "server_error" | "overloaded_error" | "service_unavailable") => {
            of_status(StatusCode::SERVICE_UNAVAILABLE, error, key)
        }
        (None, _) => Failure::passing(code::MODEL_ERROR, said("the model failed", error, key)),
    }
}

fn of_status(status: StatusCode, error: &Value, key: Option<&SecretString>) -> Failure {
    let number = status.as_u16();
    match (number, word(error)) {
        (401 | 403, _) => Failure::lasting(
            code::MODEL_AUTH,
            format!("the model's endpoint refused the key (HTTP {number})"),
        ),
        (_, "insufficient_quota") | (402, _) => {
            Failure::lasting(code::MODEL_QUOTA, "the account's quota at the model is used up")
        }
        (429, _) => Failure::passing(
            code::MODEL_RATE_LIMITED,
            "the model's endpoint takes no more questions for now (HTTP 429)",
        ),
        (_, "context_length_exceeded") | (413, _) => Failure::lasting(
            code::MODEL_CONTEXT_LENGTH,
            said("the conversation is too long for the model", error, key),
        ),
        (408 | 500..=599, _) => Failure::passing(
            code::MODEL_UNAVAILABLE,
            said(&format!("the model's endpoint failed (HTTP {number})"), error, key),
        ),
        (404, _) => Failure::lasting(
            code::MODEL_UNKNOWN,
            said("the endpoint does not know the model (HTTP 404)", error, key),
        ),
        _ => Failure::lasting(
            code::MODEL_ERROR,
            said(&format!("the model's endpoint refused (HTTP {number})"), error, key),
        ),
    }
}

/// The provider's word for the error: its code, else its type.
fn word(error: &Value) -> &str {
    let field = |name| error.get(name).and_then(Value::as_str);
    field("code").or_else(|| field("type")).unwrap_or("")
}

/// Our sentence, with the provider's own when it is plain text without the key.
fn said(ours: &str, error: &Value, key: Option<&SecretString>) -> String {
    let theirs = error.get("message").and_then(Value::as_str);
    let theirs = theirs.or_else(|| error.as_str()).unwrap_or("");
    let plain: String = theirs.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let secret = key.is_some_and(|it| plain.contains(it.expose_secret()));
    let markup = plain.contains('<') && plain.contains('>');
    match plain.trim() {
        "" => ours.to_owned(),
        _ if secret || markup => ours.to_owned(),
        words => format!("{ours}: {}", &words[..words.floor_char_boundary(MAX_WORDS)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(status: u16, error: &Value, code: &str, retryable: bool) {
        let key = SecretString::from("sk-secret");
        let status = StatusCode::from_u16(status).unwrap();
        let failure = of_status(status, error, Some(&key));
        assert_eq!((failure.code, failure.retryable), (code, retryable));
        assert!(!failure.message.contains("sk-secret"), "{failure:?}");
        assert!(!failure.message.contains('<'), "{failure:?}");
        assert!(failure.message.len() < 400);
    }

    #[test]
    fn every_refusal_has_a_code_and_tells_no_secret() {
        let leak = json!({"message": "wrong key sk-secret"});
        check(401, &leak, "model_auth", false);
        check(400, &leak, "model_error", false);
        check(429, &Value::Null, "model_rate_limited", true);
        check(429, &json!({"code": "insufficient_quota"}), "model_quota", false);
        check(400, &json!({"code": "context_length_exceeded"}), "model_context_length", false);
        check(500, &json!({"message": "<b>boom</b>"}), "model_unavailable", true);
        check(503, &json!({"message": "x".repeat(9_000)}), "model_unavailable", true);
        check(404, &json!({"message": "no such model"}), "model_unknown", false);
        check(302, &Value::Null, "model_error", false);
    }
}
