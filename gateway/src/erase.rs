//! Erasing a session: `DELETE /v1/sessions/{session}?userId=`.
//!
//! 200 with what was removed when it is erased: its log, its jobs, its transcript,
//! its pending calls, its ledgers, its title, its idempotency keys. Long-term
//! memory belongs to the user, not to a session, and stays: it is forgotten by
//! `DELETE /v1/memories/{id}`. Also while a turn runs or waits; it has no end of
//! its own then, and counts as cancelled where a dialect must name one. 404 when
//! there is nothing to erase, because the session never was or is erased already:
//! a repeated request may get it, and means the same. 503 when the outcome is not
//! known yet: repeat the request.
//!
//! Those who read are told: a session's stream says `deleted` and stays open; a
//! turn's native stream says `deleted` and ends; `/chat` and `/stream` say `end`
//! with status `cancelled`; who waits for JSON gets status `cancelled` with the
//! error `session_deleted`. Nothing that was said is told once it is erased. The
//! id may be used again and starts empty; positions from before resume behind
//! the tombstone.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::Erased;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use crate::caller::{Caller, Owned};
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{InSession, Query};
use crate::problem::{Code, Refusal};

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
}

/// What an erasure has done, as far as it is known: what another one at the same
/// time has removed, or an earlier one that did not come to its end, is not in it.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Removed {
    /// Entries of the log.
    entries: u64,
    /// Questions that waited, and the one that was answered.
    jobs: u64,
    /// Turns of the transcript.
    turns: u64,
    /// All other records.
    records: u64,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erased)]
#[serde(rename_all = "camelCase")]
struct Answer {
    session_id: String,
    removed: Removed,
}

/// Erases a session
///
/// Its log, its jobs, its transcript, its pending calls, its title. 503 when the
/// outcome is not known: repeat the request.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{session}",
    tag = "sessions",
    params(parameters::Session, parameters::User),
    responses(
        (status = 200, description = "What was removed", body = Answer),
        (status = 404, description = "There is no such session, or it is erased already", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn delete(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let session_id = session.id.to_string();
    let removed = erase(&edge, session).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Answer { session_id, removed })))
}

/// Erases a session, to the end although the client may leave.
pub(crate) async fn erase(edge: &Arc<Edge>, session: Owned) -> Result<Removed, Refusal> {
    let (answer, answered) = oneshot::channel();
    let broker = edge.broker.clone();
    edge.life.spawn_as("erasures", async move {
        let erased = broker::erase(&broker, &session).await;
        if let Err(Err(error)) = answer.send(erased) {
            tracing::warn!(%error, "nobody waits any more for an erasure that failed");
        }
    });
    let erased = async {
        match answered.await {
            Ok(erased) => Ok(erased?),
            Err(_aborted) => Err(Refusal::new(Code::Draining, "this server stops")),
        }
    };
    match edge.within(erased).await {
        Ok(Erased::Done(removed)) => Ok(removed.into()),
        Ok(Erased::Nothing) => {
            Err(Refusal::new(Code::NotFound, "there is no such session, or it is erased already"))
        }
        Err(refusal) if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
            let detail = "outcome unknown: a part may be erased; repeat the request to finish it";
            Err(Refusal::new(Code::Unavailable, detail))
        }
        Err(refusal) => Err(refusal),
    }
}

impl From<broker::Removed> for Removed {
    fn from(removed: broker::Removed) -> Self {
        let broker::Removed { entries, jobs, turns, records } = removed;
        Self { entries, jobs, turns, records }
    }
}
