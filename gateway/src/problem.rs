//! How the edge says no: RFC 9457 problem documents.
//!
//! Details say what was wrong and what is allowed; what only operators may
//! know goes to the log.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use proto::{InvalidId, Problem, TurnId, Violation};
use serde::Serialize;

use crate::access;
use crate::limits::Exhausted;
use crate::socket::handshake;

/// Seconds after which to try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The kinds of refusal; each is one problem type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    Unauthenticated,
    CredentialEnded,
    Forbidden,
    CrossSite,
    NotFound,
    UnknownTurn,
    UnknownModel,
    MethodNotAllowed,
    NotAcceptable,
    UpgradeRequired,
    BodyTimeout,
    TurnInProgress,
    TurnEnded,
    TurnExpired,
    NothingPending,
    AlreadyDecided,
    ReviewClosed,
    CallAltered,
    DecisionExpired,
    TooLarge,
    UriTooLong,
    HeadTooLarge,
    UnsupportedMediaType,
    Misdirected,
    KeyReused,
    QueueFull,
    TooManyRequests,
    TooManyStreams,
    TooManyTurns,
    TooManySessions,
    MemoriesFull,
    Internal,
    Unavailable,
    Draining,
    NoRoom,
    Busy,
}

impl Code {
    /// The last part of the type's URN, its title and its HTTP status.
    #[expect(clippy::too_many_lines, reason = "one table, a row for each code")]
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => ("invalid_request", "Invalid request", S::BAD_REQUEST),
            Self::Unauthenticated => ("unauthenticated", "Not authenticated", S::UNAUTHORIZED),
            Self::CredentialEnded => ("auth_expired", "The credential has ended", S::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "Not allowed", S::FORBIDDEN),
            Self::CrossSite => ("cross_site", "Cross-site request refused", S::FORBIDDEN),
            Self::NotFound => ("not_found", "No such resource", S::NOT_FOUND),
            Self::UnknownModel => ("model_not_found", "No such model", S::NOT_FOUND),
            Self::UnknownTurn => ("unknown_turn", "No such turn", S::NOT_FOUND),
            Self::MethodNotAllowed => {
                ("method_not_allowed", "Method not allowed", S::METHOD_NOT_ALLOWED)
            }
            Self::NotAcceptable => ("not_acceptable", "Not acceptable", S::NOT_ACCEPTABLE),
            Self::UpgradeRequired => ("upgrade_required", "Upgrade required", S::UPGRADE_REQUIRED),
            Self::BodyTimeout => ("body_timeout", "Body took too long", S::REQUEST_TIMEOUT),
            Self::TurnInProgress => ("turn_in_progress", "A turn is in progress", S::CONFLICT),
            Self::TurnEnded => ("turn_ended", "The turn has ended", S::CONFLICT),
            Self::TurnExpired => ("turn_expired", "The turn is no longer kept", S::GONE),
            Self::NothingPending => ("nothing_pending", "Nothing waits for this", S::NOT_FOUND),
            Self::AlreadyDecided => ("already_decided", "Already decided", S::CONFLICT),
            Self::ReviewClosed => ("review_closed", "The conversation went on", S::CONFLICT),
            Self::CallAltered => ("call_altered", "Another call waits", S::CONFLICT),
            Self::DecisionExpired => ("decision_expired", "Too late to decide", S::GONE),
            Self::TooLarge => ("too_large", "Too large", S::PAYLOAD_TOO_LARGE),
            Self::UriTooLong => ("uri_too_long", "URI too long", S::URI_TOO_LONG),
            Self::HeadTooLarge => {
                ("head_too_large", "Request head too large", S::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", "Unsupported media type", S::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Misdirected => ("misdirected", "Misdirected request", S::MISDIRECTED_REQUEST),
            Self::KeyReused => (
                "idempotency_key_reused",
                "Idempotency key was used for another request",
                S::UNPROCESSABLE_ENTITY,
            ),
            Self::QueueFull => ("queue_full", "Queue is full", S::TOO_MANY_REQUESTS),
            Self::TooManyRequests => {
                ("too_many_requests", "Too many requests", S::TOO_MANY_REQUESTS)
            }
            Self::TooManyStreams => {
                ("too_many_streams", "Too many open streams", S::TOO_MANY_REQUESTS)
            }
            Self::TooManyTurns => {
                ("too_many_turns", "Too many unfinished turns", S::TOO_MANY_REQUESTS)
            }
            Self::TooManySessions => ("too_many_sessions", "Too many sessions", S::CONFLICT),
            Self::MemoriesFull => ("memories_full", "Too many memories", S::CONFLICT),
            Self::Internal => ("internal", "Internal error", S::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("unavailable", "Unavailable", S::SERVICE_UNAVAILABLE),
            Self::Draining => ("draining", "Server stops", S::SERVICE_UNAVAILABLE),
            Self::NoRoom => ("no_room", "No room left", S::INSUFFICIENT_STORAGE),
            Self::Busy => ("busy", "No room for one more", S::SERVICE_UNAVAILABLE),
        }
    }
}

/// A request that is not served, and why. Lies in the extensions of the answer
/// that tells it, for those who tell it in other words.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Box<Document>);

#[derive(Debug, Clone, Serialize)]
struct Document {
    #[serde(flatten)]
    problem: Problem,
    /// How the turn that was meant has ended.
    #[serde(rename = "turnStatus", skip_serializing_if = "Option::is_none")]
    ended: Option<&'static str>,
    /// The name of the request, as the log has it.
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    /// The limit that was reached.
    #[serde(skip)]
    exhausted: Option<Exhausted>,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let (name, title, status) = code.parts();
        Self(Box::new(Document {
            problem: Problem {
                r#type: format!("urn:weir:problem:{name}"),
                title: title.to_owned(),
                status: status.as_u16().into(),
                detail: detail.into(),
                violations: Vec::new(),
                turn_id: String::new(),
            },
            ended: None,
            request: None,
            exhausted: None,
        }))
    }

    /// A field of the request that is wrong.
    pub(crate) fn field(field: impl Into<String>, description: impl std::fmt::Display) -> Self {
        let mut field = field.into();
        if field.is_empty() {
            // A field whose name is empty has a name all the same.
            "\"\"".clone_into(&mut field);
        }
        let description = format!("{description}");
        let mut refusal = Self::new(Code::InvalidRequest, format!("{field} {description}"));
        refusal.0.problem.violations.push(Violation { field, description });
        refusal
    }

    /// Fields of the request that are wrong; there is at least one.
    pub(crate) fn fields(wrong: Vec<(String, String)>) -> Self {
        let texts: Vec<_> = wrong.iter().map(|(field, why)| format!("{field} {why}")).collect();
        let mut refusal = Self::new(Code::InvalidRequest, texts.join("; "));
        let named = wrong.into_iter();
        refusal.0.problem.violations =
            named.map(|(field, description)| Violation { field, description }).collect();
        refusal
    }

    /// Names the turn that is in the way, or that was meant.
    pub(crate) fn about(mut self, turn: TurnId) -> Self {
        self.0.problem.turn_id = turn.to_string();
        self
    }

    /// Says how the turn ended.
    pub(crate) fn ended(mut self, status: &'static str) -> Self {
        self.0.ended = Some(status);
        self
    }

    /// Says which limit was reached, and when to come back.
    pub(crate) fn exhausted(mut self, exhausted: Exhausted) -> Self {
        self.0.exhausted = Some(exhausted);
        self
    }

    /// The broker's silence leaves open whether a submit was stored.
    pub(crate) fn in_doubt(self, turn: TurnId, keyed: bool) -> Self {
        if self.status() != StatusCode::SERVICE_UNAVAILABLE {
            return self;
        }
        let detail = if keyed {
            "outcome unknown: the question may have been accepted; retry with the same Idempotency-Key"
        } else {
            "outcome unknown: the question may have been accepted; look for its turn before asking \
             again, and send an Idempotency-Key to make retries safe"
        };
        Self::new(Code::Unavailable, detail).about(turn)
    }

    /// What was wrong, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.0.problem.detail
    }

    /// The turn that it is about.
    pub(crate) fn turn(&self) -> Option<&str> {
        Some(self.0.problem.turn_id.as_str()).filter(|it| !it.is_empty())
    }

    /// The document, as JSON.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("texts and numbers are always JSON")
    }

    pub(crate) fn status(&self) -> StatusCode {
        u16::try_from(self.0.problem.status)
            .ok()
            .and_then(|it| StatusCode::from_u16(it).ok())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<(&'static str, InvalidId)> for Refusal {
    fn from((field, why): (&'static str, InvalidId)) -> Self {
        Self::field(field, why)
    }
}

impl From<broker::Error> for Refusal {
    fn from(error: broker::Error) -> Self {
        use broker::Error as E;
        let (code, detail) = match &error {
            E::Busy => (Code::TurnInProgress, "the session has an unfinished turn"),
            E::Full(_) => (Code::QueueFull, "the session has as many waiting turns as it may have"),
            E::TooLarge { .. } => {
                (Code::TooLarge, "question, history and metadata together are too large")
            }
            E::NoRoom(_) => (Code::NoRoom, "the store has no room left; nothing was stored"),
            E::Unavailable(_) => (Code::Unavailable, "the broker does not answer; try again"),
            E::Conflict | E::Unsuitable(_) | E::Corrupt(_) | _ => {
                tracing::error!(%error, "the broker failed");
                (Code::Internal, "the broker could not do this; its log says why")
            }
        };
        if matches!(error, E::Unavailable(_) | E::NoRoom(_)) {
            tracing::warn!(%error, "the broker could not do this now");
        }
        Self::new(code, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        self.0.request = access::request_id();
        let (status, exhausted) = (self.status(), self.0.exhausted);
        let mut response = (status, Json(&self.0)).into_response();
        response.extensions_mut().insert(self);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UPGRADE_REQUIRED {
            headers.insert(header::UPGRADE, handshake::WEBSOCKET);
            headers.insert(header::SEC_WEBSOCKET_VERSION, handshake::VERSION);
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::INSUFFICIENT_STORAGE
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        if let Some(exhausted) = exhausted {
            limit(headers, &exhausted);
        }
        response
    }
}

/// The headers that tell of a limit.
fn limit(headers: &mut HeaderMap, exhausted: &Exhausted) {
    headers.insert(header::RETRY_AFTER, exhausted.retry_after().into());
    for (name, value) in
        [("ratelimit-policy", exhausted.policy()), ("ratelimit", exhausted.limit())]
    {
        let value = HeaderValue::try_from(value).expect("a name and numbers are a header value");
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_document_that_names_the_field() {
        let refusal = Refusal::field("userId", "must not be empty");
        assert_eq!(
            serde_json::to_string(&refusal.0).unwrap(),
            r#"{"type":"urn:weir:problem:invalid_request","title":"Invalid request","status":400,"detail":"userId must not be empty","violations":[{"field":"userId","description":"must not be empty"}]}"#
        );
    }

    #[test]
    fn a_field_whose_name_is_empty_is_named_all_the_same() {
        let told = String::from_utf8(Refusal::field("", "is not known").to_json()).unwrap();
        assert!(told.contains(r#""violations":[{"field":"\"\"","description":"#), "{told}");
    }

    #[test]
    fn an_ended_turn_is_told_with_its_ending() {
        let turn: TurnId = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let refusal = Refusal::new(Code::TurnEnded, "it ended").about(turn).ended("completed");
        let json = serde_json::to_string(&refusal.0).unwrap();
        assert!(
            json.ends_with(
                r#""turnId":"00000000-0000-7000-8000-000000000001","turnStatus":"completed"}"#
            ),
            "{json}"
        );
    }
}
