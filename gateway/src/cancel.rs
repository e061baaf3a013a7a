//! Stopping a turn: an entry in the session's own log, conditional like every
//! other. Ends no turn; that is the workers' part.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::{Outcome, Stored};
use http::StatusCode;
use proto::{CancelRequested, Ending, Entry, Session, SessionState, Status, TurnId, event};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::dialect::ending_name;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{self, InSession};
use crate::problem::{Code, Refusal};
use crate::turn::{self, turn_of};

/// How often another writer may be first before we give up.
const TRIES: usize = 32;

/// How a turn stands that was asked to stop.
pub(crate) const CANCELLING: &str = "cancelling";

/// What a request to cancel comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Ask for it in the log.
    Append(TurnId),
    /// Somebody has asked for it already.
    AlreadyAsked(TurnId),
    /// Too late.
    Ended(TurnId, Ending),
    /// Neither running, waiting nor the last to end.
    Unknown,
}

/// Judges a request by the session's last state and its unfinished jobs, read
/// in this order. Without a turn, the one that runs or will run next is meant.
pub(crate) fn decide(
    state: Option<&SessionState>,
    pending: &[TurnId],
    asked: Option<TurnId>,
) -> Decision {
    let current = state.and_then(|it| Some((it, turn_of(it)?)));
    let ended = current.filter(|it| it.0.status() != Status::Running);
    let running = current.filter(|it| it.0.status() == Status::Running);
    let waiting = |it: &&TurnId| ended.is_none_or(|(_, ended)| ended != **it);
    let target = asked
        .or(running.map(|it| it.1))
        .or_else(|| pending.iter().find(waiting).copied())
        .or(ended.map(|it| it.1));
    let Some(target) = target else {
        return Decision::Unknown;
    };
    if let Some((state, _)) = ended.filter(|it| it.1 == target) {
        return Decision::Ended(target, state.ending());
    }
    let runs = running.is_some_and(|it| it.1 == target);
    if !runs && !pending.contains(&target) {
        return Decision::Unknown;
    }
    let text = target.to_string();
    if state.is_some_and(|it| it.cancels.contains(&text)) {
        return Decision::AlreadyAsked(target);
    }
    Decision::Append(target)
}

/// The entry that only adds a turn to the cancels. Those of turns that neither
/// run nor wait any more are dropped, so that the list is never longer than
/// the queue is deep.
pub(crate) fn entry(last: Option<&Stored>, pending: &[TurnId], turn: TurnId) -> Entry {
    let mut state = last.and_then(|it| it.entry.state.clone());
    if let Some(state) = &mut state {
        let running = turn_of(state).filter(|_| state.status() == Status::Running);
        let unfinished = |it: &TurnId| pending.contains(it) || running == Some(*it);
        state.cancels.retain(|it| it.parse().is_ok_and(|it| unfinished(&it)));
    }
    let last = last.map(|it| it.sequence.0).zip(state.as_ref());
    let event = event::Kind::CancelRequested(CancelRequested {}).into();
    Entry::after(last, &turn.to_string(), 0, vec![event])
}

/// Asks to stop what runs, or is to run next, before a turn that waits.
pub(crate) async fn before(edge: &Edge, session: &Session, turn: TurnId) -> Result<(), Refusal> {
    let log = edge.broker.log.as_ref();
    for _ in 0..TRIES {
        let last = log.last(session).await?;
        let pending = edge.broker.queue.pending(session).await?;
        let pending: Vec<_> = pending.into_iter().map(|it| it.turn).collect();
        let state = last.as_ref().and_then(|it| it.entry.state.as_ref());
        let Some(target) = in_front(state, &pending, turn) else {
            return Ok(());
        };
        let entry = entry(last.as_ref(), &pending, target);
        match broker::append(log, session, &entry).await? {
            Outcome::Stored(_) => return Ok(()),
            Outcome::Refused => {}
        }
    }
    Err(too_fast())
}

/// The turn to be stopped for another one. While that has its job, no later
/// turn runs: one that runs is before it.
fn in_front(state: Option<&SessionState>, pending: &[TurnId], turn: TurnId) -> Option<TurnId> {
    let place = pending.iter().position(|it| *it == turn)?;
    match decide(state, &pending[..place], None) {
        Decision::Append(target) if target != turn => Some(target),
        Decision::Append(_)
        | Decision::AlreadyAsked(_)
        | Decision::Ended(..)
        | Decision::Unknown => None,
    }
}

/// Whether the log alone tells what a request comes to: the turn that runs is
/// meant, and there are no cancels to be pruned. Each question saved is one less
/// in which a fast turn says more and the append is refused.
fn needs_no_jobs(state: Option<&SessionState>, asked: Option<TurnId>) -> bool {
    let Some(state) = state.filter(|it| it.status() == Status::Running) else {
        return false;
    };
    state.cancels.is_empty() && (asked.is_none() || asked == turn_of(state))
}

fn too_fast() -> Refusal {
    Refusal::new(Code::Unavailable, "the session's log goes on too fast; try again")
}

/// Asks to stop a turn, until the log has taken it or it is of no use.
pub(crate) async fn request(
    edge: &Edge,
    session: &Session,
    asked: Option<TurnId>,
) -> Result<Decision, Refusal> {
    let log = edge.broker.log.as_ref();
    for _ in 0..TRIES {
        // A job that waits after the log was read has not started, as long as
        // the append finds the log unchanged.
        let last = log.last(session).await?;
        let state = last.as_ref().and_then(|it| it.entry.state.as_ref());
        let pending = if needs_no_jobs(state, asked) {
            Vec::new()
        } else {
            let pending = edge.broker.queue.pending(session).await?;
            pending.into_iter().map(|it| it.turn).collect()
        };
        match (decide(state, &pending, asked), asked) {
            (Decision::Append(turn), _) => {
                let entry = entry(last.as_ref(), &pending, turn);
                match broker::append(log, session, &entry).await? {
                    Outcome::Stored(_) => return Ok(Decision::Append(turn)),
                    Outcome::Refused => {}
                }
            }
            (Decision::Unknown, Some(turn)) => match turn::find(log, session, turn).await? {
                Some(turn::Found { ending: None, .. }) => {}
                Some(turn::Found { ending: Some(ending), .. }) => {
                    return Ok(Decision::Ended(turn, ending));
                }
                None => return Ok(Decision::Unknown),
            },
            (
                decided @ (Decision::AlreadyAsked(_) | Decision::Ended(..) | Decision::Unknown),
                _,
            ) => {
                return Ok(decided);
            }
        }
    }
    Err(too_fast())
}

/// A request to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Cancel)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    user_id: Option<String>,
    turn_id: Option<String>,
}

/// The turn will be stopped.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cancelling)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    turn_id: String,
    /// `cancelling`
    status: &'static str,
}

/// Stops a turn
///
/// Without `turnId` the one that runs or will run next. What was said stays.
#[utoipa::path(
    post,
    path = "/v1/sessions/{session}/cancel",
    tag = "sessions",
    params(parameters::Session),
    request_body(content = Body, example = json!({"userId": "u1"})),
    responses(
        (status = 202, description = "The turn will be stopped", body = Asked),
        (status = 404, description = "No such turn", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "The turn has ended", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn cancel(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    extract::Json(body): extract::Json<Body>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let asked = match body.turn_id.as_deref().map(str::parse).transpose() {
        Ok(asked) => asked,
        Err(why) => return Err(Refusal::field("turnId", why)),
    };
    let decision = edge.within(request(&edge, &session, asked)).await?;
    answer(decision, asked)
}

fn answer(decision: Decision, asked: Option<TurnId>) -> Result<(StatusCode, Json<Asked>), Refusal> {
    let turn = decision.cancelling(asked)?;
    let asked = Asked { turn_id: turn.to_string(), status: CANCELLING };
    Ok((StatusCode::ACCEPTED, Json(asked)))
}

impl Decision {
    /// The turn that will be stopped, or why none will.
    pub(crate) fn cancelling(self, asked: Option<TurnId>) -> Result<TurnId, Refusal> {
        match self {
            Self::Append(turn) | Self::AlreadyAsked(turn) => Ok(turn),
            Self::Ended(turn, ending) => {
                let status = ending_name(ending);
                let detail = format!("the turn has ended as {status}");
                Err(Refusal::new(Code::TurnEnded, detail).about(turn).ended(status))
            }
            Self::Unknown => {
                let refusal = Refusal::new(Code::UnknownTurn, "the session has no such turn");
                Err(asked.map_or(refusal.clone(), |it| refusal.about(it)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Sequence;

    fn turn(n: u8) -> TurnId {
        format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    fn state(status: Status, n: u8, ending: Ending, cancels: &[u8]) -> SessionState {
        SessionState {
            status: status.into(),
            turn_id: turn(n).to_string(),
            ending: ending.into(),
            cancels: cancels.iter().map(|it| turn(*it).to_string()).collect(),
            ..SessionState::default()
        }
    }

    #[test]
    fn a_cancel_is_decided_by_the_last_state_and_the_unfinished_jobs() {
        use Decision::{AlreadyAsked, Append, Ended, Unknown};
        let none = Ending::Unspecified;
        let running = |cancels| state(Status::Running, 1, none, cancels);
        let done = state(Status::Idle, 1, Ending::Completed, &[]);
        let waits = state(Status::Interrupted, 1, Ending::Interrupted, &[]);
        let cases = [
            (None, vec![], None, Unknown),
            (None, vec![], Some(1), Unknown),
            (None, vec![1], None, Append(turn(1))),
            (None, vec![1], Some(1), Append(turn(1))),
            (Some(running(&[])), vec![1, 2], None, Append(turn(1))),
            (Some(running(&[])), vec![1, 2], Some(2), Append(turn(2))),
            (Some(running(&[])), vec![], Some(1), Append(turn(1))),
            (Some(running(&[1])), vec![1], None, AlreadyAsked(turn(1))),
            (Some(running(&[2])), vec![1, 2], Some(2), AlreadyAsked(turn(2))),
            (Some(running(&[])), vec![1], Some(3), Unknown),
            (Some(done.clone()), vec![], None, Ended(turn(1), Ending::Completed)),
            (Some(done.clone()), vec![1], Some(1), Ended(turn(1), Ending::Completed)),
            (Some(done.clone()), vec![1, 2], None, Append(turn(2))),
            (Some(done), vec![], Some(2), Unknown),
            (Some(waits), vec![], Some(1), Ended(turn(1), Ending::Interrupted)),
        ];
        for (state, pending, asked, expected) in cases {
            let pending: Vec<_> = pending.into_iter().map(turn).collect();
            let decided = decide(state.as_ref(), &pending, asked.map(turn));
            assert_eq!(decided, expected, "{state:?} {pending:?} {asked:?}");
        }
    }

    #[test]
    fn an_interrupting_turn_stops_only_what_is_before_it() {
        let running = |cancels| state(Status::Running, 1, Ending::Unspecified, cancels);
        let done = state(Status::Idle, 1, Ending::Completed, &[]);
        for (state, pending, expected) in [
            (None, vec![2], None),
            (None, vec![1, 2], Some(1)),
            (Some(running(&[])), vec![1, 2], Some(1)),
            (Some(running(&[])), vec![2], Some(1)),
            (Some(running(&[1])), vec![1, 2], None),
            (Some(running(&[])), vec![1], None),
            (Some(done.clone()), vec![1, 2, 3], None),
            (Some(done.clone()), vec![1, 3, 2], Some(3)),
            (Some(done), vec![3], None),
            (Some(state(Status::Running, 2, Ending::Unspecified, &[])), vec![2, 3], None),
        ] {
            let pending: Vec<_> = pending.into_iter().map(turn).collect();
            let found = in_front(state.as_ref(), &pending, turn(2));
            assert_eq!(found, expected.map(turn), "{state:?} {pending:?}");
        }
    }

    #[test]
    fn where_the_log_alone_decides_the_jobs_change_nothing() {
        let none = Ending::Unspecified;
        for cancels in [&[][..], &[1], &[2]] {
            let running = state(Status::Running, 1, none, cancels);
            for asked in [None, Some(1), Some(2)] {
                let asked = asked.map(turn);
                let alone = decide(Some(&running), &[], asked);
                let with_jobs = decide(Some(&running), &[turn(1), turn(2)], asked);
                if needs_no_jobs(Some(&running), asked) {
                    assert_eq!(alone, with_jobs, "{cancels:?} {asked:?}");
                }
            }
        }
        let running = state(Status::Running, 1, none, &[]);
        assert!(
            needs_no_jobs(Some(&running), Some(turn(1))) && needs_no_jobs(Some(&running), None)
        );
        assert!(!needs_no_jobs(Some(&running), Some(turn(2))) && !needs_no_jobs(None, None));
    }

    #[test]
    fn the_entry_changes_nothing_but_the_cancels() {
        let mut before = state(Status::Running, 1, Ending::Unspecified, &[3, 2]);
        before.attempt = 4;
        before.last_index = 9;
        let last = Stored {
            sequence: Sequence(7),
            entry: Entry { state: Some(before.clone()), ..Entry::default() },
        };
        let entry = entry(Some(&last), &[turn(1), turn(2)], turn(1));
        assert_eq!((entry.follows, entry.attempt), (7, 0));
        assert_eq!(entry.turn_id, turn(1).to_string());
        before.cancels = vec![turn(2).to_string(), turn(1).to_string()];
        before.began = 7;
        assert_eq!(entry.state, Some(before));
    }

    #[test]
    fn a_cancel_before_any_entry_leaves_the_session_idle() {
        let entry = entry(None, &[turn(1)], turn(1));
        let state = entry.state.unwrap();
        assert_eq!((entry.follows, state.status()), (0, Status::Idle));
        assert_eq!(state.cancels, [turn(1).to_string()]);
    }
}
