//! How OpenAI's clients hear a no: an object `error`, from whose status they
//! make an exception of their own kinds.

use http::StatusCode;
use proto::{Failed, code};
use serde::Serialize;
use serde_json::{Value, json};

use crate::problem::Refusal;

/// What is under `error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: String,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &str, message: &str) -> Self {
        Self {
            message: message.to_owned(),
            r#type: kind(status),
            param: None,
            code: code.to_owned(),
        }
    }

    /// How a failed turn is told, with its status where there still is one.
    pub(crate) fn of(failed: &Failed) -> (StatusCode, Self) {
        let (status, known) = status(&failed.code);
        let code = known.unwrap_or(&failed.code);
        (status, Self::new(status, code, &failed.message))
    }
}

/// A refusal in these words.
pub(crate) fn shape(refusal: &Refusal) -> Value {
    let problem: Value = serde_json::from_slice(&refusal.to_json()).unwrap_or_default();
    let name = problem["type"].as_str().and_then(|it| it.rsplit(':').next()).unwrap_or_default();
    let mut fault = Fault::new(refusal.status(), name, refusal.detail());
    let field = problem["violations"][0]["field"].as_str();
    fault.param = field.map(str::to_owned);
    match name {
        "model_not_found" => fault.param = Some("model".to_owned()),
        "unauthenticated" => "invalid_api_key".clone_into(&mut fault.code),
        _ => {}
    }
    let mut told = json!({ "error": fault });
    if let Some(turn) = problem["turnId"].as_str().filter(|it| !it.is_empty()) {
        told["error"]["turn_id"] = turn.into();
    }
    told
}

/// What OpenAI calls such an error.
fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

/// The status of a turn that failed with a code, and how OpenAI calls that
/// where its clients know a word for it.
fn status(failed: &str) -> (StatusCode, Option<&'static str>) {
    use StatusCode as S;
    match failed {
        code::MODEL_CONTEXT_LENGTH => (S::BAD_REQUEST, Some("context_length_exceeded")),
        code::INVALID_REQUEST => (S::BAD_REQUEST, None),
        code::MODEL_UNKNOWN => (S::NOT_FOUND, Some("model_not_found")),
        code::DECISION_REFUSED | code::DECISION_EXPIRED | code::TURN_OVER => (S::CONFLICT, None),
        code::MODEL_RATE_LIMITED => (S::TOO_MANY_REQUESTS, Some("rate_limit_exceeded")),
        code::MODEL_QUOTA => (S::TOO_MANY_REQUESTS, Some("insufficient_quota")),
        code::AGENT_BUSY => (S::TOO_MANY_REQUESTS, None),
        code::STORE_UNAVAILABLE
        | code::MODEL_UNAVAILABLE
        | code::MODEL_CUT
        | code::KNOWLEDGE_UNAVAILABLE
        | code::AGENT_UNAVAILABLE
        | code::ATTEMPTS_EXHAUSTED
        | code::LOST => (S::SERVICE_UNAVAILABLE, None),
        code::FIRST_TOKEN_TIMEOUT
        | code::TOKEN_TIMEOUT
        | code::TURN_TIMEOUT
        | code::AGENT_SILENT => (S::GATEWAY_TIMEOUT, None),
        // The operator's to mend, or nobody's.
        _ => (S::INTERNAL_SERVER_ERROR, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    #[test]
    fn a_refusal_is_told_as_openais_clients_expect() {
        for (refusal, expected) in [
            (
                Refusal::field("messages[0].content", "must be a string"),
                json!({"message": "messages[0].content must be a string",
                       "type": "invalid_request_error", "param": "messages[0].content",
                       "code": "invalid_request"}),
            ),
            (
                Refusal::new(Code::Unauthenticated, "no key"),
                json!({"message": "no key", "type": "authentication_error", "param": null,
                       "code": "invalid_api_key"}),
            ),
            (
                Refusal::new(Code::UnknownModel, "no such model"),
                json!({"message": "no such model", "type": "invalid_request_error",
                       "param": "model", "code": "model_not_found"}),
            ),
            (
                Refusal::new(Code::QueueFull, "full"),
                json!({"message": "full", "type": "rate_limit_error", "param": null,
                       "code": "queue_full"}),
            ),
            (
                Refusal::new(Code::Draining, "later")
                    .about("00000000-0000-7000-8000-000000000001".parse().unwrap()),
                json!({"message": "later", "type": "server_error", "param": null,
                       "code": "draining", "turn_id": "00000000-0000-7000-8000-000000000001"}),
            ),
        ] {
            assert_eq!(shape(&refusal), json!({ "error": expected }));
        }
    }

    #[test]
    fn every_code_of_a_failure_has_a_status_that_fits() {
        for code in code::ALL {
            let failed = Failed { code: (*code).to_owned(), ..Failed::default() };
            let (status, fault) = Fault::of(&failed);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            assert!(!fault.code.is_empty());
        }
        for (code, expected) in [
            ("model_rate_limited", (429, "rate_limit_exceeded", "rate_limit_error")),
            ("model_context_length", (400, "context_length_exceeded", "invalid_request_error")),
            ("model_unknown", (404, "model_not_found", "invalid_request_error")),
            ("model_auth", (500, "model_auth", "server_error")),
            ("token_timeout", (504, "token_timeout", "server_error")),
            ("agent_unavailable", (503, "agent_unavailable", "server_error")),
            ("one_of_later", (500, "one_of_later", "server_error")),
        ] {
            let failed = Failed { code: code.to_owned(), ..Failed::default() };
            let (status, fault) = Fault::of(&failed);
            assert_eq!((status.as_u16(), &*fault.code, fault.r#type), expected);
        }
    }
}
