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

use crate::caller::Caller;
use crate::edge::{Edge, Shared};
use crate::extract::{InSession, Json};
use crate::problem::{Code, Refusal};
use crate::question::{Admission, OnDisconnect, Question, key};
use crate::submit::known;
use crate::turns::Wanted;

/// The body of `POST /v1/sessions/{session}/decisions`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    user_id: Option<String>,
    turn_id: String,
    decisions: Vec<Decision>,
    #[serde(default)]
    admission: Admission,
    #[serde(default)]
    on_disconnect: OnDisconnect,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

/// `POST /v1/sessions/{session}/decisions`
pub(crate) async fn decide(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    headers: HeaderMap,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&headers)?;
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let resume = Resume { turn_id: body.turn_id, decisions: body.decisions };
    let wrong = resume.check();
    if !wrong.is_empty() {
        return Err(Refusal::fields(wrong));
    }
    let leaves = body.on_disconnect == OnDisconnect::Cancel;
    let how = (key(&headers)?, body.admission);
    let question = Question::decisions(session, resume, how, body.metadata)?;
    edge.within(check(&edge, &question)).await?;
    wanted.answer(&edge, &question, leaves).await
}

/// Whether the decisions may count. Those of a turn that is known already were
/// judged before, and get the answer that they got.
async fn check(edge: &Edge, question: &Question) -> Result<(), Refusal> {
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
