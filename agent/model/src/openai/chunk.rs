//! One `chat.completion.chunk`, or a whole `chat.completion`, as endpoints
//! really send them: fields may be missing, null or unknown.

use serde::Deserialize;

use crate::calls::{Fragment, Function};
use crate::used::{Used, nullable};

/// One event's data.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Used>,
    pub(super) error: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) index: u32,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) delta: Delta,
    /// What a completion has that is not streamed.
    pub(super) message: Option<Delta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    pub(super) content: Option<String>,
    pub(super) reasoning_content: Option<String>,
    /// The same by another name.
    pub(super) reasoning: Option<String>,
    /// What the model says instead of an answer that it will not give.
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) tool_calls: Vec<Fragment>,
    /// What older servers send for a single call.
    pub(super) function_call: Option<Function>,
}
