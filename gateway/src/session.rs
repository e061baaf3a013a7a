//! A session's state: `GET /v1/sessions/{session}`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use pbjson_types::Timestamp;
use proto::{Ending, PendingCall, Review, SessionState, Status, TurnId};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::decisions::present;
use crate::dialect::ending_name;
use crate::edge::Shared;
use crate::extract::{InSession, Query};
use crate::mark::position;
use crate::problem::Refusal;
use crate::turn::turn_of;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    session_id: String,
    #[serde(flatten)]
    standing: Standing,
    /// Turns that wait or run.
    unfinished: usize,
    /// The session's last entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(flatten)]
    review: Option<Waiting>,
}

/// Calls that wait for a human; there is at least one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    pending: Vec<PendingCall>,
    /// The turn that a decision names.
    interrupted_turn_id: String,
    /// From then on a decision is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    /// `not_found`, `queued`, `running`, `interrupted` or `idle`.
    status: &'static str,
    /// The turn that runs, waits, or was the last to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<String>,
    /// How the last turn ended, unless one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<&'static str>,
}

/// `GET /v1/sessions/{session}`
pub(crate) async fn get(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let read = async {
        // In this order: a job that is gone has left its end in the log.
        let pending = edge.broker.queue.pending(&session).await?;
        let last = edge.broker.log.last(&session).await?;
        Ok((pending, last, present(&edge, &session).await?))
    };
    let (pending, last, review) = edge.within(read).await?;
    let turns: Vec<_> = pending.into_iter().map(|it| it.turn).collect();
    let kept = last.as_ref().filter(|it| !it.entry.is_tombstone());
    let state = kept.and_then(|it| it.entry.state.as_ref());
    let shown = Shown {
        session_id: session.id.to_string(),
        unfinished: turns.len(),
        standing: judge(state, &turns),
        position: last.map(|it| position(edge.broker.log.epoch(), it.sequence).to_string()),
        review: review.as_ref().and_then(waiting),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)))
}

fn waiting(review: &Review) -> Option<Waiting> {
    let open = review.is_open(process::clock::now());
    open.then(|| Waiting {
        pending: review.pending(),
        interrupted_turn_id: review.turn_ids.last().cloned().unwrap_or_default(),
        expires: review.expires,
    })
}

fn judge(state: Option<&SessionState>, pending: &[TurnId]) -> Standing {
    let current = state.and_then(|it| Some((it, turn_of(it)?)));
    let ending = current.map(|it| it.0.ending());
    let ending = ending.filter(|it| *it != Ending::Unspecified);
    let named = |status, turn: TurnId| Standing {
        status,
        turn_id: Some(turn.to_string()),
        ending: ending.map(ending_name),
    };
    if let Some((_, turn)) = current.filter(|it| it.0.status() == Status::Running) {
        return named("running", turn);
    }
    let waits = |it: &&TurnId| current.is_none_or(|(_, ended)| ended != **it);
    if let Some(turn) = pending.iter().find(waits) {
        return named("queued", *turn);
    }
    match current {
        Some((state, turn)) if state.status() == Status::Interrupted => named("interrupted", turn),
        Some((_, turn)) => named("idle", turn),
        None => Standing { status: "not_found", turn_id: None, ending: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_state_follows_from_its_last_entry_and_its_jobs() {
        let turn = |n: u8| -> TurnId {
            format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
        };
        let state = |status: Status, ending: Ending| SessionState {
            status: status.into(),
            ending: ending.into(),
            turn_id: turn(1).to_string(),
            ..SessionState::default()
        };
        let running = state(Status::Running, Ending::Unspecified);
        let idle = state(Status::Idle, Ending::Completed);
        let waiting = state(Status::Interrupted, Ending::Interrupted);
        for (state, pending, expected) in [
            (None, vec![], ("not_found", None, None)),
            (None, vec![2], ("queued", Some(2), None)),
            (Some(&running), vec![1, 2], ("running", Some(1), None)),
            (Some(&idle), vec![], ("idle", Some(1), Some("completed"))),
            (Some(&idle), vec![1], ("idle", Some(1), Some("completed"))),
            (Some(&idle), vec![1, 2], ("queued", Some(2), Some("completed"))),
            (Some(&waiting), vec![], ("interrupted", Some(1), Some("interrupted"))),
        ] {
            let pending: Vec<_> = pending.into_iter().map(turn).collect();
            let expected = Standing {
                status: expected.0,
                turn_id: expected.1.map(|it| turn(it).to_string()),
                ending: expected.2,
            };
            assert_eq!(judge(state, &pending), expected);
        }
    }
}
