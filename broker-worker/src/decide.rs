//! What a worker does about a job and about an entry that is not its own.
//! Pure: no broker, no clock.

use broker::Front;
use proto::{SessionState, Status};

use crate::hear::Place;

/// A delivery as far as decisions go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Me<'a> {
    pub(crate) turn: &'a str,
    pub(crate) attempt: u32,
}

/// What to do about a delivered job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait until the jobs before it are done.
    Park,
    /// Leave it alone, without a word to the queue.
    Leave,
    /// The turn has ended: only acknowledge.
    Acknowledge,
    /// Start the turn.
    Begin,
    /// Go on where an earlier attempt stopped.
    TakeOver,
    /// End the turn as cancelled; it may have begun or not.
    Cancel { begun: bool },
    /// Give the turn up: too many attempts made no progress.
    Seal,
    /// First end another turn whose job is gone.
    EndLost,
}

/// Decides about a delivered job. `last` must have been read *before* `front`:
/// while a job is its session's first, no later turn has begun, so whatever
/// `last` says is about this turn or an earlier one, and an append right after
/// `last` is refused if that has changed meanwhile.
pub(crate) fn step(me: Me<'_>, last: Option<&SessionState>, front: Front, attempts: u32) -> Step {
    match front {
        Front::Gone => return Step::Leave,
        Front::Behind => return Step::Park,
        Front::Mine => {}
    }
    let Some(state) = last else {
        return Step::Begin;
    };
    let mine = state.turn_id == me.turn;
    let running = state.status() == Status::Running;
    match (mine, running) {
        (true, false) => Step::Acknowledge,
        (true, true) if state.attempt >= me.attempt => Step::Leave,
        (true, true) if state.is_cancelled(me.turn) => Step::Cancel { begun: true },
        (true, true) if state.fruitless >= attempts => Step::Seal,
        (true, true) => Step::TakeOver,
        (false, true) => Step::EndLost,
        (false, false) if state.is_cancelled(me.turn) => Step::Cancel { begun: false },
        (false, false) => Step::Begin,
    }
}

/// What the log's last entry means to an attempt that has acquired the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The session is still this attempt's.
    Mine,
    /// Still this attempt's, and somebody asked to stop.
    Cancelled,
    /// The turn goes on under another attempt, or the log says nothing of it any
    /// more: be silent.
    Fenced,
    /// The turn is over: be silent, and let no agent go on with it.
    Over,
}

/// Judges by the state after an entry that this attempt did not write. `place`
/// is the last one that this attempt knows to be stored: entries that only add
/// do not change it. Another one means that the log has lost what it had, or
/// that a second holder of the same attempt number writes; the queue may count
/// a delivery twice when it restarts.
pub(crate) fn standing(me: Me<'_>, place: Place, state: Option<&SessionState>) -> Standing {
    let Some(state) = state else {
        return Standing::Fenced;
    };
    let stored = Place { run: state.run, index: state.last_index };
    if state.turn_id == me.turn && state.status() != Status::Running {
        Standing::Over
    } else if state.turn_id != me.turn || state.attempt != me.attempt || stored != place {
        Standing::Fenced
    } else if state.is_cancelled(me.turn) {
        Standing::Cancelled
    } else {
        Standing::Mine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Ending;

    const ATTEMPTS: u32 = 3;

    fn state(status: Status, turn: &str, attempt: u32) -> SessionState {
        SessionState {
            status: status.into(),
            turn_id: turn.into(),
            attempt,
            last_index: 4,
            run: 7,
            ending: Ending::Unspecified.into(),
            ..SessionState::default()
        }
    }

    fn cancelled(state: SessionState, turn: &str) -> SessionState {
        SessionState { cancels: vec![turn.into()], ..state }
    }

    fn fruitless(state: SessionState, attempts: u32) -> SessionState {
        SessionState { fruitless: attempts, ..state }
    }

    #[test]
    fn a_job_that_is_not_first_waits_and_one_that_is_gone_is_left_alone() {
        let me = Me { turn: "a", attempt: 1 };
        for last in [None, Some(state(Status::Running, "a", 1)), Some(state(Status::Idle, "a", 1))]
        {
            assert_eq!(step(me, last.as_ref(), Front::Behind, ATTEMPTS), Step::Park);
            assert_eq!(step(me, last.as_ref(), Front::Gone, ATTEMPTS), Step::Leave);
        }
    }

    #[test]
    fn the_first_job_acts_by_the_last_entry() {
        let check = |last: Option<SessionState>, attempt: u32, expected: &Step| {
            let me = Me { turn: "a", attempt };
            assert_eq!(&step(me, last.as_ref(), Front::Mine, ATTEMPTS), expected, "{last:?}");
        };
        let (idle, waits, runs) = (Status::Idle, Status::Interrupted, Status::Running);
        check(None, 1, &Step::Begin);
        check(Some(state(idle, "z", 1)), 1, &Step::Begin);
        check(Some(state(waits, "z", 1)), 1, &Step::Begin);
        check(Some(state(idle, "a", 1)), 2, &Step::Acknowledge);
        check(Some(state(waits, "a", 1)), 2, &Step::Acknowledge);
        check(Some(state(runs, "a", 1)), 2, &Step::TakeOver);
        check(Some(state(runs, "a", 2)), 2, &Step::Leave);
        check(Some(state(runs, "a", 3)), 2, &Step::Leave);
        check(Some(state(runs, "z", 1)), 1, &Step::EndLost);
        check(Some(cancelled(state(idle, "z", 1), "a")), 1, &Step::Cancel { begun: false });
        check(Some(cancelled(state(runs, "a", 1), "a")), 2, &Step::Cancel { begun: true });
        check(Some(cancelled(state(runs, "a", 1), "b")), 2, &Step::TakeOver);
        check(Some(fruitless(state(runs, "a", 2), 2)), 3, &Step::TakeOver);
        check(Some(fruitless(state(runs, "a", 3), 3)), 4, &Step::Seal);
    }

    #[test]
    fn a_later_attempt_another_place_or_an_end_silences() {
        let me = Me { turn: "a", attempt: 2 };
        let check = |last: Option<SessionState>, expected: Standing| {
            assert_eq!(
                standing(me, Place { run: 7, index: 4 }, last.as_ref()),
                expected,
                "{last:?}"
            );
        };
        check(Some(state(Status::Running, "a", 2)), Standing::Mine);
        check(Some(cancelled(state(Status::Running, "a", 2), "b")), Standing::Mine);
        check(Some(cancelled(state(Status::Running, "a", 2), "a")), Standing::Cancelled);
        check(Some(state(Status::Running, "a", 3)), Standing::Fenced);
        check(Some(state(Status::Running, "b", 2)), Standing::Fenced);
        check(Some(state(Status::Idle, "b", 2)), Standing::Fenced);
        check(Some(state(Status::Idle, "a", 2)), Standing::Over);
        check(Some(state(Status::Interrupted, "a", 2)), Standing::Over);
        check(None, Standing::Fenced);
        let other = SessionState { run: 8, ..state(Status::Running, "a", 2) };
        check(Some(other), Standing::Fenced);
        for last_index in [3, 5] {
            let running = state(Status::Running, "a", 2);
            check(Some(SessionState { last_index, ..running }), Standing::Fenced);
        }
    }
}
