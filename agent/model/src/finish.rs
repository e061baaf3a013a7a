//! How an answer stops, in whatever words its protocol says so. Pure.

use std::collections::VecDeque;

use proto::{Usage, code};

use crate::calls::Calls;
use crate::{Failure, Said};

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    Stop,
    Calls,
    Length,
    Filter,
}

impl Finish {
    /// Says the end of an answer: its calls, what it used, why it stopped.
    pub(crate) fn tell(
        self,
        calls: &mut Calls,
        usage: Option<Usage>,
        said: &mut VecDeque<Said>,
    ) -> Result<(), Failure> {
        let reason = match self {
            Self::Stop if calls.is_empty() => "stop",
            Self::Calls if calls.is_empty() => {
                return Err(Failure::passing(
                    code::MODEL_ERROR,
                    "the model asked for tools and named none",
                ));
            }
            Self::Stop | Self::Calls => {
                said.extend(calls.whole()?.into_iter().map(Said::ToolCall));
                "tool_calls"
            }
            // The last call may be torn, and nothing says whether it is.
            Self::Length => "length",
            Self::Filter => "content_filter",
        };
        said.extend(usage.map(Said::Usage));
        said.push_back(Said::Finished(reason));
        Ok(())
    }
}

/// The failure of an event that belongs to no answer.
pub(crate) fn strange(error: &serde_json::Error) -> Failure {
    tracing::warn!(at = error.column(), "the model's endpoint sent something that is no answer");
    Failure::passing(code::MODEL_ERROR, "the model's endpoint sent something that is no answer")
}

/// The failure of a success that is no answer.
pub(crate) fn unstreamed() -> Failure {
    Failure::lasting(code::MODEL_ERROR, "the model's endpoint does not stream its answers")
}
