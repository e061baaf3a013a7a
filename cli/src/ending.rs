//! How a client command ends: what its exit code says.
//!
//! | code | means |
//! | --- | --- |
//! | 0 | done; the turn is completed. Also when the reader of standard output closed it |
//! | 1 | failed, or refused |
//! | 2 | wrong usage |
//! | 3 | the turn is interrupted: calls wait for a decision |
//! | 130 | stopped: by Ctrl-C, or the turn was, or its session was erased |

use std::process::ExitCode;

use crate::{banner, output};

/// What `--help` says of it.
pub(crate) const CODES: &str = "Exit codes: 0 the turn is completed; 1 it failed, or was refused; \
    2 wrong usage; 3 it is interrupted: tool calls wait for a decision, see `weir decide`; 130 it \
    was stopped";

/// The same of commands that wait for no turn.
pub(crate) const PLAIN: &str = "Exit codes: 0 done; 1 failed, or was refused; 2 wrong usage";

/// Calls wait for a human.
const INTERRUPTED: u8 = 3;
/// Stopped before its end.
const STOPPED: u8 = 130;

/// A command line that cannot mean anything, although each flag of it is right.
#[derive(Debug, thiserror::Error)]
#[error("{0}; see --help")]
pub(crate) struct Misused(pub(crate) String);

/// What a turn's last event, or its status, comes to; `None` for what does not
/// end it.
pub(crate) fn of_turn(status: &str) -> Option<ExitCode> {
    match status {
        "completed" => Some(ExitCode::SUCCESS),
        "failed" => Some(ExitCode::FAILURE),
        "interrupted" => Some(ExitCode::from(INTERRUPTED)),
        "cancelled" | "deleted" => Some(stopped()),
        _other => None,
    }
}

/// Ended by Ctrl-C.
pub(crate) fn stopped() -> ExitCode {
    ExitCode::from(STOPPED)
}

/// Says what went wrong, unless that is nothing, and what it comes to.
pub(crate) fn of_error(error: &anyhow::Error) -> ExitCode {
    if let Some(output::Error::Closed) = error.downcast_ref() {
        return ExitCode::SUCCESS;
    }
    banner::error(error);
    ExitCode::from(if error.is::<Misused>() { 2 } else { 1 })
}
