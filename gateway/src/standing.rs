//! How a session stands. Pure: the log and the queue tell, and what is kept of
//! the session for lists only where these two know nothing of it any more.

use proto::{Ending, SessionRecord, SessionState, Status, TurnId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::dialect::ending_name;
use crate::turn::turn_of;

/// How a session stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Standing {
    /// `not_found`, `queued`, `running`, `interrupted` or `idle`.
    pub(crate) status: &'static str,
    /// The turn that runs, waits, or was the last to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) turn_id: Option<String>,
    /// How the last turn ended, unless one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ending: Option<&'static str>,
}

impl Standing {
    /// How a session stands by its last entry and its unfinished jobs.
    pub(crate) fn of(
        state: Option<&SessionState>,
        pending: &[TurnId],
        record: Option<&SessionRecord>,
    ) -> Self {
        let current = state.and_then(|it| Some((it, turn_of(it)?)));
        let ending = current.and_then(|it| told(it.0.ending()));
        let named = |status, turn: TurnId| Self { status, turn_id: Some(turn.to_string()), ending };
        if let Some((_, turn)) = current.filter(|it| it.0.status() == Status::Running) {
            return named("running", turn);
        }
        let waits = |it: &&TurnId| current.is_none_or(|(_, ended)| ended != **it);
        if let Some(turn) = pending.iter().find(waits) {
            return named("queued", *turn);
        }
        match (current, record) {
            (Some((state, turn)), _) if state.status() == Status::Interrupted => {
                named("interrupted", turn)
            }
            (Some((_, turn)), _) => named("idle", turn),
            (None, Some(record)) => Self::kept(record),
            (None, None) => Self { status: "not_found", turn_id: None, ending: None },
        }
    }

    /// Whether calls may wait although the last turn did not say so: it was to go
    /// on with them, and did not come to it.
    pub(crate) fn may_wait(&self) -> bool {
        self.status == "idle" && matches!(self.ending, Some("failed" | "cancelled"))
    }

    /// The same where calls still wait.
    pub(crate) fn waiting(self) -> Self {
        Self { status: if self.may_wait() { "interrupted" } else { self.status }, ..self }
    }

    /// How a session stands of which the log has nothing any more: whatever ran,
    /// runs no longer.
    fn kept(record: &SessionRecord) -> Self {
        let waits = record.status() == Status::Interrupted;
        Self {
            status: if waits { "interrupted" } else { "idle" },
            turn_id: Some(record.turn_id.clone()).filter(|it| !it.is_empty()),
            ending: told(record.ending()),
        }
    }
}

fn told(ending: Ending) -> Option<&'static str> {
    Some(ending).filter(|it| *it != Ending::Unspecified).map(ending_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(n: u8) -> TurnId {
        format!("00000000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
    }

    fn check(
        state: Option<&SessionState>,
        pending: &[u8],
        record: Option<&SessionRecord>,
        (status, named, ending): (&'static str, Option<u8>, Option<&'static str>),
    ) {
        let pending: Vec<_> = pending.iter().map(|it| turn(*it)).collect();
        let turn_id = named.map(|it| turn(it).to_string());
        let expected = Standing { status, turn_id, ending };
        assert_eq!(Standing::of(state, &pending, record), expected, "{state:?} {pending:?}");
    }

    #[test]
    fn a_sessions_state_follows_from_its_last_entry_and_its_jobs() {
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
            (None, &[][..], ("not_found", None, None)),
            (None, &[2], ("queued", Some(2), None)),
            (Some(&running), &[1, 2], ("running", Some(1), None)),
            (Some(&idle), &[], ("idle", Some(1), Some("completed"))),
            (Some(&idle), &[1], ("idle", Some(1), Some("completed"))),
            (Some(&idle), &[1, 2], ("queued", Some(2), Some("completed"))),
            (Some(&waiting), &[], ("interrupted", Some(1), Some("interrupted"))),
        ] {
            check(state, pending, None, expected);
        }
    }

    #[test]
    fn calls_that_wait_on_after_a_failed_turn_leave_the_session_interrupted() {
        for (status, ending, stands) in [
            ("idle", Some("failed"), "interrupted"),
            ("idle", Some("cancelled"), "interrupted"),
            ("idle", Some("completed"), "idle"),
            ("running", Some("failed"), "running"),
            ("queued", Some("failed"), "queued"),
        ] {
            let standing = Standing { status, turn_id: None, ending }.waiting();
            assert_eq!((standing.status, standing.ending), (stands, ending));
        }
    }

    #[test]
    fn a_session_that_left_the_log_stands_as_its_record_says_but_runs_no_more() {
        let record = |status: Status, ending: Ending| SessionRecord {
            turn_id: turn(3).to_string(),
            status: status.into(),
            ending: ending.into(),
            ..SessionRecord::default()
        };
        let failed = record(Status::Idle, Ending::Failed);
        let waits = record(Status::Interrupted, Ending::Interrupted);
        let ran = record(Status::Running, Ending::Unspecified);
        for (record, pending, expected) in [
            (&failed, &[][..], ("idle", Some(3), Some("failed"))),
            (&waits, &[], ("interrupted", Some(3), Some("interrupted"))),
            (&ran, &[], ("idle", Some(3), None)),
            (&ran, &[4], ("queued", Some(4), None)),
            (&SessionRecord::default(), &[], ("idle", None, None)),
        ] {
            check(None, pending, Some(record), expected);
        }
    }
}
