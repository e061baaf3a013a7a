//! What an endpoint says instead of an answer, as a failure that a client may
//! see: bounded, without markup and without the key.

use std::time::Duration;

use futures::StreamExt as _;
use proto::code;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::Failure;

/// The most of an error's body that is read, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// The most of the provider's own words that are passed on, in bytes.
const MAX_WORDS: usize = 300;

/// The most of the provider's word for an error that is logged, in bytes.
const MAX_WORD: usize = 64;

/// How long the body of an error may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest wait that a provider may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What kind of failure an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The key is refused.
    Auth,
    /// The account is used up.
    Quota,
    /// Too many questions for now.
    RateLimited,
    /// The conversation does not fit.
    ContextLength,
    /// There is no such model.
    UnknownModel,
    /// The endpoint is down or overloaded.
    Unavailable,
    /// The question is refused as it is.
    Refused,
    /// Something else broke while answering.
    Broken,
}

/// What a provider's error object means by its own words, of which the first
/// argument is the code, else the type; `None` leaves it to the status.
pub(crate) type Meaning = fn(word: &str, error: &Value) -> Option<Kind>;

/// Reads an error response. The error object is the body's `error`, else the
/// body, which may also be the one event of a stream.
pub(crate) async fn read(
    response: Response,
    meaning: Meaning,
    key: Option<&SecretString>,
) -> Failure {
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let body = beginning(response).await;
    let error = object(&body);
    let error = error.get("error").unwrap_or(&error);
    tracing::warn!(%status, code = loggable(error, key), "the model's endpoint refused");
    let kind = meaning(word(error), error).unwrap_or_else(|| of_status(status));
    let failure = failure(kind, Some(status), error, key);
    Failure { retry_after: retry_after.filter(|_| failure.retryable), ..failure }
}

/// What an error object means that came in a success.
pub(crate) fn within(error: &Value, meaning: Meaning, key: Option<&SecretString>) -> Failure {
    tracing::warn!(code = loggable(error, key), "the model failed while it answered");
    let code = &error["code"];
    let number = code.as_u64().and_then(|it| u16::try_from(it).ok());
    let status = number
        .or_else(|| code.as_str()?.parse().ok())
        .and_then(|it| StatusCode::from_u16(it).ok())
        .filter(|it| it.is_client_error() || it.is_server_error());
    let by_status = || status.map_or(Kind::Broken, of_status);
    let kind = meaning(word(error), error).unwrap_or_else(by_status);
    failure(kind, status, error, key)
}

fn object(body: &[u8]) -> Value {
    let event = || {
        let lines = body.split(|it| *it == b'\n');
        let mut data = lines.filter_map(|it| it.strip_prefix(b"data:"));
        data.next_back().and_then(|it| serde_json::from_slice(it).ok())
    };
    serde_json::from_slice(body).ok().or_else(event).unwrap_or_default()
}

/// The beginning of a body, as far as it comes in time.
async fn beginning(response: Response) -> Vec<u8> {
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
        tracing::debug!("an error's body did not end in time");
    }
    body
}

/// How long to wait, in seconds or until a date; not longer than
/// [`MAX_RETRY_AFTER`].
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => {
            Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64()))
        }
        Ok(_) => return None,
        Err(_) => {
            let parser = jiff::fmt::rfc2822::DateTimeParser::new();
            let until = parser.parse_timestamp(text).ok()?.as_duration();
            let until = Duration::try_from(until).unwrap_or_default();
            until.saturating_sub(process::clock::now())
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

fn of_status(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 | 403 => Kind::Auth,
        402 => Kind::Quota,
        404 => Kind::UnknownModel,
        413 => Kind::ContextLength,
        429 => Kind::RateLimited,
        408 | 500..=599 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

fn failure(
    kind: Kind,
    status: Option<StatusCode>,
    error: &Value,
    key: Option<&SecretString>,
) -> Failure {
    let number = status.map(|it| format!(" (HTTP {})", it.as_u16())).unwrap_or_default();
    let ours = |words: &str| format!("{words}{number}");
    let with_theirs = |words: &str| said(ours(words), error, key);
    match kind {
        Kind::Auth => {
            Failure::lasting(code::MODEL_AUTH, ours("the model's endpoint refused the key"))
        }
        Kind::Quota => {
            Failure::lasting(code::MODEL_QUOTA, "the account's quota at the model is used up")
        }
        Kind::RateLimited => Failure::passing(
            code::MODEL_RATE_LIMITED,
            ours("the model's endpoint takes no more questions for now"),
        ),
        Kind::ContextLength => Failure::lasting(
            code::MODEL_CONTEXT_LENGTH,
            with_theirs("the conversation is too long for the model"),
        ),
        Kind::UnknownModel => Failure::lasting(
            code::MODEL_UNKNOWN,
            with_theirs("the endpoint does not know the model"),
        ),
        Kind::Unavailable => {
            Failure::passing(code::MODEL_UNAVAILABLE, with_theirs("the model's endpoint failed"))
        }
        Kind::Refused => {
            Failure::lasting(code::MODEL_ERROR, with_theirs("the model's endpoint refused"))
        }
        Kind::Broken => Failure::passing(code::MODEL_ERROR, with_theirs("the model failed")),
    }
}

/// The provider's word for the error: its code, else its type.
fn word(error: &Value) -> &str {
    let field = |name| error.get(name).and_then(Value::as_str);
    field("code").or_else(|| field("type")).unwrap_or("")
}

/// That word as it may be logged.
fn loggable<'a>(error: &'a Value, key: Option<&SecretString>) -> &'a str {
    let word = word(error);
    let secret = key.is_some_and(|it| word.contains(it.expose_secret()));
    if secret { "" } else { &word[..word.floor_char_boundary(MAX_WORD)] }
}

/// Our sentence, with the provider's own when it is plain text without the key.
fn said(ours: String, error: &Value, key: Option<&SecretString>) -> String {
    let theirs = error.get("message").and_then(Value::as_str);
    let theirs = bare(theirs.or_else(|| error.as_str()).unwrap_or(""));
    let plain: String = theirs.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let secret = key.is_some_and(|it| plain.contains(it.expose_secret()));
    let markup = plain.contains('<') && plain.contains('>');
    match plain.trim() {
        "" => ours,
        _ if secret || markup => ours,
        words => format!("{ours}: {}", &words[..words.floor_char_boundary(MAX_WORDS)]),
    }
}

/// A sentence without the status before it: DashScope's `<400> Range of …` would
/// pass for markup.
fn bare(message: &str) -> &str {
    let rest = message.strip_prefix('<').and_then(|it| it.split_once('>'));
    let rest = rest.filter(|(status, _)| status.bytes().all(|it| it.is_ascii_digit()));
    rest.map_or(message, |(_, words)| words.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meaning(word: &str, _: &Value) -> Option<Kind> {
        (word == "used_up").then_some(Kind::Quota)
    }

    fn check(status: u16, error: &Value, code: &str, retryable: bool) {
        let key = SecretString::from("sk-secret");
        let status = StatusCode::from_u16(status).unwrap();
        let kind = meaning(word(error), error).unwrap_or_else(|| of_status(status));
        let failure = failure(kind, Some(status), error, Some(&key));
        assert_eq!((failure.code, failure.retryable), (code, retryable));
        assert!(!failure.message.contains("sk-secret"), "{failure:?}");
        assert!(!failure.message.contains('<'), "{failure:?}");
        assert!(failure.message.len() < 400);
    }

    #[test]
    fn every_refusal_has_a_code_and_tells_no_secret() {
        let leak = json!({"message": "wrong key sk-secret", "code": "sk-secret"});
        check(401, &leak, "model_auth", false);
        check(400, &leak, "model_error", false);
        check(429, &Value::Null, "model_rate_limited", true);
        check(429, &json!({"code": "used_up"}), "model_quota", false);
        check(402, &Value::Null, "model_quota", false);
        check(413, &Value::Null, "model_context_length", false);
        check(500, &json!({"message": "<b>boom</b>"}), "model_unavailable", true);
        check(503, &json!({"message": "x".repeat(9_000)}), "model_unavailable", true);
        check(404, &json!({"message": "no such model"}), "model_unknown", false);
        check(302, &Value::Null, "model_error", false);
        let key = SecretString::from("sk-secret");
        assert_eq!(loggable(&leak, Some(&key)), "");
        assert_eq!(loggable(&json!({"type": "é".repeat(90)}), Some(&key)).len(), MAX_WORD);
    }

    #[test]
    fn an_error_may_be_the_one_event_of_a_stream() {
        let want = json!({"code": "Busy"});
        let event = b"id:1\nevent:error\n:HTTP_STATUS/429\ndata:{\"code\":\"Busy\"}\r\n\r\n";
        assert_eq!(object(event), want);
        assert_eq!(object(b"{\"code\":\"Busy\"}"), want);
        for none in [&b"<html>"[..], b"", b"data:", b"data:{\"code\"", b"\xff\xfe"] {
            assert_eq!(object(none), Value::Null);
        }
    }

    #[test]
    fn an_error_in_a_stream_is_known_by_its_word_or_its_number() {
        for (error, code, retryable) in [
            (json!({"code": 429, "message": "busy"}), "model_rate_limited", true),
            (json!({"code": "503"}), "model_unavailable", true),
            (json!({"code": "used_up"}), "model_quota", false),
            (json!({"code": 200}), "model_error", true),
            (json!("out of memory"), "model_error", true),
            (Value::Null, "model_error", true),
        ] {
            let failure = within(&error, meaning, None);
            assert_eq!((failure.code, failure.retryable), (code, retryable), "{error}");
        }
        assert!(within(&json!("out of memory"), meaning, None).message.ends_with("out of memory"));
    }

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date_and_never_longer_than_an_hour() {
        let now = process::clock::now();
        let date = |from_now: i64| {
            let at = jiff::Timestamp::from_duration(now.try_into().unwrap()).unwrap();
            let at = at + jiff::SignedDuration::from_secs(from_now);
            at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        };
        let seconds = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers).map(|it| it.as_secs())
        };
        assert_eq!(seconds("7"), Some(7));
        assert_eq!(seconds(" 0.5 "), Some(0));
        assert_eq!(seconds("86400"), Some(3600));
        assert_eq!(seconds("99999999999999999999999999"), Some(3600));
        for bad in ["-1", "NaN", "inf", "soon", "", "2026-11-21T00:00:00Z"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        let minute = seconds(&date(60)).unwrap();
        assert!((50..=60).contains(&minute), "{minute}");
        assert_eq!(seconds(&date(-60)), Some(0));
        assert_eq!(seconds(&date(86_400)), Some(3600));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
    }

    #[test]
    fn only_a_leading_status_is_taken_off() {
        for (message, want) in [
            ("<400> InternalError: Range", "InternalError: Range"),
            ("<b>400</b>", "<b>400</b>"),
            ("1 < 2", "1 < 2"),
        ] {
            assert_eq!(bare(message), want);
        }
    }
}
