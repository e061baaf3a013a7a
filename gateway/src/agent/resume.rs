//! Deciding: `POST /agent/resume` and `/agent/resume/stream` `{user_id,
//! session_id, response_type: accept|edit|reject|response, args?}`.
//!
//! One answer decides all calls that wait in the session, as they wait now.
//! `edit` brings `args: {"args": {…}}` or the arguments themselves, `response`
//! brings `args: "…"` or `{"args": "…"}`, and `reject` may bring a reason in the
//! same way. Refuses an edit, and a response, of several calls at once, and a
//! decision while another turn of the session is unfinished.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use proto::{Decision, PendingCall, Resume, Review};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{frames, session_id, whole};
use crate::caller::Caller;
use crate::decisions::{check, present};
use crate::dialect::invoke::Answer;
use crate::document::refusals;
use crate::document::words::{Event, Problem};
use crate::edge::{Edge, Shared};
use crate::extract::Json;
use crate::problem::{Code, Refusal};
use crate::question::{Admission, Question};

/// The body of both routes. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResumeAgent)]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "s1")]
    session_id: String,
    /// `accept`, `edit`, `reject` or `response`.
    #[schema(pattern = "^(accept|edit|reject|response)$", example = "accept")]
    response_type: String,
    /// What the answer brings.
    #[schema(required = false)]
    #[serde(default)]
    args: Value,
}

/// How the calls are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Accept,
    Edit,
    Reject,
    Response,
}

impl Kind {
    fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "accept" => Ok(Self::Accept),
            "edit" => Ok(Self::Edit),
            "reject" => Ok(Self::Reject),
            "response" => Ok(Self::Response),
            _ => Err(Refusal::field("response_type", "must be accept, edit, reject or response")),
        }
    }
}

/// What is decided of each call.
#[derive(Debug, Default)]
struct Said {
    kind: &'static str,
    arguments: String,
    message: String,
}

/// Decides for an agent, and waits
#[utoipa::path(
    post,
    path = "/agent/resume",
    tag = "compatible",
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "response_type": "accept"})),
    responses(
        (status = 200, description = "The turn", body = Answer),
        (status = 404, description = "Nothing waits for this", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "Decided already, or a turn is in progress", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "Too late to decide", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn resume(
    State(edge): Shared,
    caller: Caller,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    whole(&edge, &question(&edge, &caller, body).await?).await
}

/// Decides for an agent, and reads
#[utoipa::path(
    post,
    path = "/agent/resume/stream",
    tag = "compatible",
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "response_type": "accept"})),
    responses(
        (status = 200, description = "The turn", body = Event,
         content_type = "text/event-stream"),
        (status = 404, description = "Nothing waits for this", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "Decided already, or a turn is in progress", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "Too late to decide", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn resume_stream(
    State(edge): Shared,
    caller: Caller,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    frames(&edge, &question(&edge, &caller, body).await?).await
}

async fn question(edge: &Edge, caller: &Caller, body: Body) -> Result<Question, Refusal> {
    let id = session_id(&body.session_id)?;
    let session = caller.session(body.user_id.as_deref(), "user_id", id)?;
    let kind = Kind::parse(&body.response_type)?;
    let review = edge.within(async { Ok(present(edge, &session).await?) }).await?;
    let resume = decide(&review.unwrap_or_default(), kind, body.args)?;
    let how = (None, Admission::Reject);
    let question = Question::decisions(session, resume, how, BTreeMap::new())?;
    edge.within(check(edge, &question)).await?;
    Ok(question)
}

/// Decides all calls that wait in one way.
fn decide(review: &Review, kind: Kind, args: Value) -> Result<Resume, Refusal> {
    let pending = review.pending();
    if pending.is_empty() {
        let detail = "no call of this session waits for a decision";
        return Err(Refusal::new(Code::NothingPending, detail));
    }
    if matches!(kind, Kind::Edit | Kind::Response) && pending.len() > 1 {
        let why = format!(
            "must be accept or reject while {} calls wait: to decide each of them by itself, use \
             POST /v1/sessions/{{session}}/decisions",
            pending.len()
        );
        return Err(Refusal::field("response_type", why));
    }
    let said = say(kind, &pending[0].name, args)?;
    let resume = Resume {
        turn_id: review.turn_ids.last().cloned().unwrap_or_default(),
        decisions: pending.into_iter().map(|it| said.of(it)).collect(),
    };
    let wrong = resume.check();
    if wrong.is_empty() { Ok(resume) } else { Err(Refusal::fields(wrong)) }
}

impl Said {
    fn of(&self, call: PendingCall) -> Decision {
        Decision {
            call_id: call.call_id,
            arguments_hash: call.arguments_hash,
            r#type: self.kind.to_owned(),
            arguments: self.arguments.clone(),
            message: self.message.clone(),
        }
    }
}

fn say(kind: Kind, name: &str, args: Value) -> Result<Said, Refusal> {
    Ok(match kind {
        Kind::Accept => Said { kind: "accept", ..Said::default() },
        Kind::Edit => Said { kind: "edit", arguments: edited(name, args)?, ..Said::default() },
        Kind::Reject => {
            Said { kind: "reject", message: text(args)?.unwrap_or_default(), ..Said::default() }
        }
        Kind::Response => {
            let message = text(args)?.filter(|it| !it.is_empty());
            let Some(message) = message else {
                return Err(Refusal::field("args", "must hold the text that is the response"));
            };
            Said { kind: "respond", message, ..Said::default() }
        }
    })
}

/// The new arguments, by themselves or under `args`, which may stand in the whole
/// `action_request` of the call that waits. A tool whose one argument is an object
/// called `args` is edited by `{"args": {"args": …}}`.
fn edited(name: &str, args: Value) -> Result<String, Refusal> {
    let object = match args {
        Value::Object(mut object) if is_request(name, &object) => {
            object.remove("args").and_then(into_object).unwrap_or_default()
        }
        Value::Object(mut object) => match object.remove("args") {
            Some(Value::Object(inner)) if object.is_empty() => inner,
            Some(other) => {
                object.insert("args".to_owned(), other);
                object
            }
            None => object,
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(Refusal::field("args", "must be an object with the new arguments"));
        }
    };
    Ok(Value::Object(object).to_string())
}

/// Whether this is the call that waits, as it was told, with its arguments.
fn is_request(name: &str, object: &Map<String, Value>) -> bool {
    object.keys().all(|it| matches!(it.as_str(), "action" | "args" | "id"))
        && object.get("action").is_some_and(|it| it == name)
        && object.get("args").is_some_and(Value::is_object)
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    if let Value::Object(object) = value { Some(object) } else { None }
}

/// A text, by itself or under `args`; none where nothing is said.
fn text(args: Value) -> Result<Option<String>, Refusal> {
    let said = match args {
        Value::Object(mut object) => object.remove("args").unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            args
        }
    };
    match said {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Refusal::field("args", "must be a text, or an object with a text under args"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn review(calls: usize) -> Review {
        let call = |n| PendingCall {
            call_id: format!("c{n}"),
            name: "send".into(),
            arguments_hash: format!("{n:064x}"),
            ..PendingCall::default()
        };
        Review {
            turn_ids: ["1", "2"]
                .map(|it| format!("00000000-0000-7000-8000-00000000000{it}"))
                .into(),
            calls: (0..calls).map(call).collect(),
            ..Review::default()
        }
    }

    #[test]
    fn one_answer_decides_every_call_as_it_waits() {
        let resume = decide(&review(2), Kind::Accept, json!({"ignored": 1})).unwrap();
        assert!(resume.turn_id.ends_with('2'), "the turn that was interrupted last");
        let decided: Vec<_> = resume.decisions.iter().map(|it| &*it.call_id).collect();
        assert_eq!(decided, ["c0", "c1"]);
        assert_eq!(resume.decisions[1].arguments_hash, format!("{:064x}", 1));
        assert!(resume.decisions.iter().all(|it| it.r#type == "accept"));
    }

    #[test]
    fn what_an_answer_brings_may_stand_under_args_or_alone() {
        for (kind, args, arguments, message) in [
            (Kind::Accept, json!(null), "", ""),
            (Kind::Edit, json!({"args": {"a": 1}}), r#"{"a":1}"#, ""),
            (Kind::Edit, json!({"a": 1}), r#"{"a":1}"#, ""),
            (Kind::Edit, json!({"args": "x"}), r#"{"args":"x"}"#, ""),
            (Kind::Edit, json!({"args": {"args": {}}}), r#"{"args":{}}"#, ""),
            (Kind::Edit, json!({"args": {}, "b": 2}), r#"{"args":{},"b":2}"#, ""),
            (Kind::Edit, json!({}), "{}", ""),
            (Kind::Edit, json!({"action": "send", "args": {"a": 1}}), r#"{"a":1}"#, ""),
            (Kind::Edit, json!({"action": "send", "args": {"a": 1}, "id": "c0"}), r#"{"a":1}"#, ""),
            (Kind::Edit, json!({"action": "send", "args": 1}), r#"{"action":"send","args":1}"#, ""),
            (Kind::Edit, json!({"action": "x", "args": {}}), r#"{"action":"x","args":{}}"#, ""),
            (Kind::Response, json!("no"), "", "no"),
            (Kind::Response, json!({"args": "no"}), "", "no"),
            (Kind::Reject, json!(null), "", ""),
            (Kind::Reject, json!({}), "", ""),
            (Kind::Reject, json!({"args": "too dear"}), "", "too dear"),
            (Kind::Reject, json!("too dear"), "", "too dear"),
        ] {
            let resume = decide(&review(1), kind, args.clone()).unwrap();
            let decision = &resume.decisions[0];
            assert_eq!((&*decision.arguments, &*decision.message), (arguments, message), "{args}");
        }
    }

    #[test]
    fn what_cannot_be_decided_so_is_refused() {
        let long = "x".repeat(proto::review::MAX_DECISION_BYTES + 1);
        for (calls, kind, args, says) in [
            (0, Kind::Accept, json!(null), "no call of this session waits"),
            (2, Kind::Edit, json!({"a": 1}), "/decisions"),
            (2, Kind::Response, json!("x"), "/decisions"),
            (1, Kind::Edit, json!(null), "args must be an object"),
            (1, Kind::Edit, json!([1]), "args must be an object"),
            (1, Kind::Response, json!(null), "args must hold the text"),
            (1, Kind::Response, json!(""), "args must hold the text"),
            (1, Kind::Response, json!({"args": 7}), "args must be a text"),
            (1, Kind::Reject, json!([]), "args must be a text"),
            (1, Kind::Response, json!(long), "must be at most"),
            (65, Kind::Accept, json!(null), "must be 1 to 64 decisions"),
        ] {
            let refusal = decide(&review(calls), kind, args).unwrap_err();
            assert!(refusal.detail().contains(says), "{says}: {refusal:?}");
        }
    }
}
