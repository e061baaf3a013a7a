//! Erasing a session: `DELETE /v1/sessions/{session}?userId=`.
//!
//! 204 when it is erased: its log, its jobs, its records, its idempotency keys.
//! Also while a turn runs or waits; it has no end of its own then, and counts as
//! cancelled where a dialect must name one. 404 when there is nothing to erase, because the session never was or is erased
//! already: a repeated request may get it, and means the same. 503 when the
//! outcome is not known yet: repeat the request.
//!
//! Those who read are told: a session's stream says `deleted` and stays open; a
//! turn's native stream says `deleted` and ends; `/chat` and `/stream` say `end`
//! with status `cancelled`; who waits for JSON gets status `cancelled` with the
//! error `session_deleted`. Nothing that was said is told once it is erased. The
//! id may be used again and starts empty; positions from before resume behind
//! the tombstone.

use axum::extract::State;
use broker::Erased;
use http::StatusCode;
use serde::Deserialize;
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::edge::Shared;
use crate::extract::{InSession, Query};
use crate::problem::{Code, Refusal};

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
}

/// `DELETE /v1/sessions/{session}`
pub(crate) async fn delete(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
) -> Result<StatusCode, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let (answer, answered) = oneshot::channel();
    let broker = edge.broker.clone();
    // By itself: what was begun is finished although the client may leave.
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
        Ok(Erased::Done(_)) => Ok(StatusCode::NO_CONTENT),
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
