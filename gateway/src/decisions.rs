//! Deciding: `POST /v1/sessions/{session}/decisions`, and which calls wait for
//! it.
//!
//! Refuses at once what the record of pending calls refuses. The agent decides
//! with the same record when the turn runs: of two that come through here at the
//! same time, the later one ends as `failed`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use broker::{Bucket, Error, Key};
use http::HeaderMap;
use prost::Message as _;
use proto::review::Refused;
use proto::{Decision, FORMAT, Resume, Review, Session, Transcript};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::caller::{Caller, Owned};
use crate::dialect::answer::Answer;
use crate::document::words::{self, Event, Problem};
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{InSession, Json};
use crate::problem::{Code, Refusal};
use crate::question::{Admission, OnDisconnect, Question, key};
use crate::submit::known;
use crate::turns::{Receipt, Wanted};

/// The body of `POST /v1/sessions/{session}/decisions`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Decide)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    user_id: Option<String>,
    turn_id: String,
    #[schema(value_type = Vec<words::Decision>, min_items = 1, max_items = 64)]
    decisions: Vec<Decision>,
    #[serde(default)]
    admission: Admission,
    #[serde(default)]
    pub(crate) on_disconnect: OnDisconnect,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// Decides about pending tool calls
///
/// Starts the turn that resumes the interrupted one, and answers as asking does.
#[utoipa::path(
    post,
    path = "/v1/sessions/{session}/decisions",
    tag = "sessions",
    params(parameters::Session, parameters::Asking),
    request_body(content = Body, example = json!({
        "userId": "u1", "turnId": "0198c0de-0000-7000-8000-000000000001",
        "decisions": [{
            "callId": "call_1", "type": "accept",
            "argumentsHash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }],
    })),
    responses(
        (status = 200, description = "The resuming turn", content(
            (Answer = "application/json"),
            (Event = "text/event-stream"),
        )),
        (status = 202, description = "The decisions are accepted", body = Receipt),
        (status = 404, description = "Nothing waits for this", body = Problem,
         content_type = "application/problem+json"),
        (status = 406, description = "Neither form is acceptable", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "Decided already, another call waits, or a turn is in progress",
         body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "Too late to decide", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another request",
         body = Problem, content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn decide(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    headers: HeaderMap,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&headers)?;
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let leaves = body.on_disconnect == OnDisconnect::Cancel;
    let question = question(session, body, key(&headers)?)?;
    edge.within(check(&edge, &question)).await?;
    wanted.answer(&edge, &question, leaves).await
}

/// Decisions whose form is right, in a question's place.
pub(crate) fn question(session: Owned, body: Body, key: Option<&str>) -> Result<Question, Refusal> {
    let resume = Resume { turn_id: body.turn_id, decisions: body.decisions };
    let wrong = resume.check();
    if !wrong.is_empty() {
        return Err(Refusal::fields(wrong));
    }
    Question::decisions(session, resume, (key, body.admission), body.metadata)
}

/// Whether the decisions may count. Those of a turn that is known already were
/// judged before, and get the answer that they got.
pub(crate) async fn check(edge: &Edge, question: &Question) -> Result<(), Refusal> {
    let Some(resume) = &question.job.resume else { return Ok(()) };
    let present = present(edge, &question.session).await?.unwrap_or_default();
    let Err(refused) = present.judge(question.turn, resume, process::clock::now()) else {
        return Ok(());
    };
    if question.keyed && known(edge, question).await?.is_some() {
        return Ok(());
    }
    Err(refused.into())
}

/// The calls of a session that wait, or waited last.
pub(crate) async fn present(edge: &Edge, session: &Session) -> Result<Option<Review>, Error> {
    let records = &edge.broker.records;
    let key = Key::session(session);
    let Some(found) = records.get(Bucket::Reviews, &key).await? else { return Ok(None) };
    let corrupt = |what: &str| Error::Corrupt(format!("pending calls: {what}"));
    let review = Review::decode(found.value).map_err(|error| corrupt(&error.to_string()))?;
    if review.version > FORMAT {
        return Err(corrupt("of a newer format"));
    }
    // One that an erased session left behind is nobody's.
    let found = records.get(Bucket::Transcripts, &key).await?;
    let transcript = found.map(|it| Transcript::decode(it.value)).transpose();
    let transcript = transcript.map_err(|error| corrupt(&error.to_string()))?.unwrap_or_default();
    let current = transcript.generation == review.generation && !transcript.erasing;
    Ok(current.then_some(review))
}

/// The same, if somebody can still decide about them.
pub(crate) async fn open(edge: &Edge, session: &Session) -> Result<Option<Review>, Error> {
    let review = present(edge, session).await?;
    Ok(review.filter(|it| it.is_open(process::clock::now())))
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Unknown | Refused::NoSuchCall(_) => Code::NothingPending,
            Refused::Closed => Code::ReviewClosed,
            Refused::Expired => Code::DecisionExpired,
            Refused::Decided(_) => Code::AlreadyDecided,
            Refused::Altered(_) => Code::CallAltered,
            Refused::Twice(call) => {
                return Self::field("decisions", format_args!("must decide `{call}` once"));
            }
        };
        Self::new(code, refused.to_string())
    }
}
