//! A session's state: `GET /v1/sessions/{session}`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use proto::Timestamp;
use proto::{PendingCall, Review};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::{Caller, Owned};
use crate::decisions::open;
use crate::document::{parameters, refusals, words};
use crate::edge::{Edge, Shared};
use crate::extract::{InSession, Query};
use crate::mark::position;
use crate::problem::Refusal;
use crate::record::{self, Described};
use crate::standing::Standing;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
}

/// What a session says of itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    session_id: String,
    #[serde(flatten)]
    standing: Standing,
    /// Turns that wait or run.
    unfinished: usize,
    /// The session's last entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(flatten)]
    described: Described,
    #[serde(flatten)]
    #[schema(value_type = Waiting)]
    review: Option<Waiting>,
}

/// Calls that wait for a human; there is at least one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    #[schema(value_type = Option<Vec<words::PendingCall>>)]
    pending: Vec<PendingCall>,
    /// The turn that a decision names.
    #[schema(required = false)]
    interrupted_turn_id: String,
    /// From then on a decision is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
}

/// Looks at a session
///
/// One that never was, or is erased, has status `not_found`.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}",
    tag = "sessions",
    params(parameters::Session, parameters::User),
    responses((status = 200, description = "How it stands", body = Shown), refusals::Common),
)]
pub(crate) async fn get(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let shown = edge.within(show(&edge, &session)).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)))
}

/// Looks at a session.
pub(crate) async fn show(edge: &Edge, session: &Owned) -> Result<Shown, Refusal> {
    // In this order: a job that is gone has left its end in the log.
    let pending = edge.broker.queue.pending(session).await?;
    let last = edge.broker.log.last(session).await?;
    let erased = last.as_ref().is_some_and(|it| it.entry.is_tombstone());
    // What is kept of an erased session is about to go.
    let kept = if erased { None } else { record::of(edge, session).await? };
    let kept = kept.map(|it| it.0).or_else(|| pending.first().map(|it| record::of_job(&it.job)));
    let review = open(edge, session).await?;
    let turns: Vec<_> = pending.into_iter().map(|it| it.turn).collect();
    let state = last.as_ref().filter(|_| !erased).and_then(|it| it.entry.state.as_ref());
    let standing = Standing::of(state, &turns, kept.as_ref());
    Ok(Shown {
        session_id: session.id.to_string(),
        unfinished: turns.len(),
        standing: if review.is_some() { standing.waiting() } else { standing },
        position: last.map(|it| position(edge.broker.log.epoch(), it.sequence).to_string()),
        described: kept.map(Described::from).unwrap_or_default(),
        review: review.as_ref().map(waiting),
    })
}

fn waiting(review: &Review) -> Waiting {
    Waiting {
        pending: review.pending(),
        interrupted_turn_id: review.turn_ids.last().cloned().unwrap_or_default(),
        expires: review.expires,
    }
}
