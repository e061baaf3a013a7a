//! Why a gateway did not do what it was asked: what it said of it, or that
//! nobody said anything.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::access;

/// How long a gateway may ask to be left alone.
const LATEST: Duration = Duration::from_secs(10);
/// What stands before the code in a problem's `type`.
const TYPE: &str = "urn:weir:problem:";

/// Why a request came to nothing. Names no credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The gateway refused.
    #[error(transparent)]
    Refused(Box<Problem>),
    /// Nobody listens there.
    #[error("no gateway answers at {base} ({why})")]
    Absent {
        /// Where.
        base: String,
        /// What the network says.
        why: String,
    },
    /// The connection was cut, or what came through it is no answer.
    #[error("the gateway at {base} did not answer ({why})")]
    Lost {
        /// Where.
        base: String,
        /// What the network says.
        why: String,
    },
    /// What came is nothing that a gateway says.
    #[error("what answers at {0} is not Weir")]
    Stranger(String),
    /// What was given cannot stand in a request's path.
    #[error("{0:?} cannot stand in a request's path")]
    Path(String),
}

impl Error {
    /// What became of a request that was sent to `base`.
    pub(super) fn of(base: String, error: &reqwest::Error) -> Self {
        if error.is_connect() {
            return Self::Absent { base, why: access::cause(error) };
        }
        let why = if error.is_timeout() { "in time".to_owned() } else { access::cause(error) };
        Self::Lost { base, why }
    }

    /// Whether the same request may do better a little later, wherever a gateway
    /// has been before.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(problem) => is_passing(problem.status),
            Self::Absent { .. } | Self::Lost { .. } => true,
            Self::Stranger(_) | Self::Path(_) => false,
        }
    }

    /// How long the gateway asks to wait before the same is sent again; `None`
    /// where it does not, or for longer than anybody waits.
    pub(super) fn later(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.later(),
            Self::Absent { .. } | Self::Lost { .. } | Self::Stranger(_) | Self::Path(_) => None,
        }
    }

    /// Whether nobody listens.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// Statuses of a gateway that will serve again.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::BAD_GATEWAY
}

/// A refusal, as its problem document tells it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .place.as_ref().map_or_else(|| self.words(), |it| stranger(it, *.status)))]
pub(crate) struct Problem {
    /// Who refused, if that is no gateway.
    pub(crate) place: Option<String>,
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// What programs go by, such as `not_found`; empty from what is no gateway.
    pub(crate) code: String,
    /// What people read.
    pub(crate) detail: String,
    /// The turn that is in the way or was meant.
    pub(crate) turn: Option<String>,
    /// How that turn ended.
    pub(crate) turn_status: Option<String>,
    /// When to try again.
    pub(crate) retry_after: Option<Duration>,
}

impl Problem {
    /// The refusal behind an error, if it is one.
    pub(crate) fn of(error: &anyhow::Error) -> Option<&Self> {
        match error.downcast_ref::<Error>()? {
            Error::Refused(problem) => Some(problem),
            Error::Absent { .. } | Error::Lost { .. } | Error::Stranger(_) | Error::Path(_) => None,
        }
    }

    /// Reads a refusal that came from `place`.
    pub(super) async fn read(response: Response, place: String) -> Self {
        let status = response.status();
        let after = response.headers().get("retry-after").and_then(|it| it.to_str().ok());
        let after = after.and_then(|it| it.parse().ok()).map(Duration::from_secs);
        // What stands before a gateway may refuse in its stead, in the same form.
        let kind = response.headers().get("content-type").and_then(|it| it.to_str().ok());
        let is_problem = kind.is_some_and(|it| it.starts_with("application/problem+json"));
        let document: Value = response.json().await.unwrap_or_default();
        let told = Self::told(status, &document);
        let place = (!is_problem && told.code.is_empty()).then_some(place);
        Self { retry_after: after, place, ..told }
    }

    /// How long it asks to wait, where it may go well then.
    fn later(&self) -> Option<Duration> {
        let busy =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        self.retry_after.filter(|it| busy && *it <= LATEST)
    }

    /// What a gateway said, and what to do about it.
    fn words(&self) -> String {
        let advice = "; show a key that counts: --api-key-file FILE, or WEIR_API_KEY";
        let advice = if self.status == StatusCode::UNAUTHORIZED { advice } else { "" };
        format!("{}: {}{advice}", self.status, self.detail)
    }

    fn told(status: StatusCode, document: &Value) -> Self {
        let text = |name: &str| document[name].as_str().map(str::to_owned);
        let code = document["type"].as_str().and_then(|it| it.strip_prefix(TYPE));
        Self {
            place: None,
            status,
            code: code.unwrap_or_default().to_owned(),
            detail: text("detail").or(text("title")).unwrap_or("no reason given".to_owned()),
            turn: text("turnId"),
            turn_status: text("turnStatus"),
            retry_after: None,
        }
    }
}

fn stranger(place: &str, status: StatusCode) -> String {
    format!("what answers at {place} is not Weir ({status})")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_tells_its_code_to_programs_and_its_detail_to_people() {
        let document = json!({"type": "urn:weir:problem:turn_ended", "title": "Too late",
            "detail": "it has ended", "turnId": "t", "turnStatus": "completed"});
        let problem = Problem::told(StatusCode::CONFLICT, &document);
        assert_eq!(problem.code, "turn_ended");
        assert_eq!(problem.turn.as_deref(), Some("t"));
        assert_eq!(problem.turn_status.as_deref(), Some("completed"));
        assert_eq!(problem.to_string(), "409 Conflict: it has ended");
        let error = anyhow::Error::from(Error::Refused(Box::new(problem.clone())));
        assert_eq!(Problem::of(&error.context("more")), Some(&problem));
        assert_eq!(Problem::of(&anyhow::anyhow!("other")), None);
    }

    #[test]
    fn what_is_no_gateway_is_believed_its_status_alone() {
        let problem = Problem::told(StatusCode::BAD_GATEWAY, &Value::Null);
        assert_eq!(problem.code, "");
        let problem = Problem { place: Some("http://a".to_owned()), ..problem };
        let told = "what answers at http://a is not Weir (502 Bad Gateway)";
        assert_eq!(problem.to_string(), told);
        assert!(Error::Refused(Box::new(problem)).is_passing());
        let problem = Problem::told(StatusCode::NOT_FOUND, &json!({"type": "about:blank"}));
        assert!(problem.code.is_empty() && !Error::Refused(Box::new(problem)).is_passing());
    }

    #[test]
    fn who_is_not_known_is_told_how_to_show_who_he_is() {
        let document = json!({"type": "urn:weir:problem:unauthenticated", "detail": "who?"});
        let told = Problem::told(StatusCode::UNAUTHORIZED, &document).to_string();
        assert!(told.contains("who?; show a key") && told.contains("WEIR_API_KEY"), "{told}");
    }

    #[test]
    fn a_gateway_is_left_alone_as_long_as_it_asks_and_not_for_ever() {
        let later = |status, seconds: Option<u64>| {
            let told = Problem::told(status, &Value::Null);
            let retry_after = seconds.map(Duration::from_secs);
            Error::Refused(Box::new(Problem { retry_after, ..told })).later()
        };
        let busy = StatusCode::TOO_MANY_REQUESTS;
        assert_eq!(later(busy, Some(10)), Some(LATEST));
        assert_eq!(later(StatusCode::SERVICE_UNAVAILABLE, Some(0)), Some(Duration::ZERO));
        for (status, seconds) in [
            (busy, None),
            (busy, Some(11)),
            (busy, Some(u64::MAX)),
            (StatusCode::CONFLICT, Some(1)),
        ] {
            assert_eq!(later(status, seconds), None, "{status} {seconds:?}");
        }
    }
}
