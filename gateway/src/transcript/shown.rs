//! A turn as clients are told it.

use proto::Timestamp;
use proto::{Citation, Ending, Job, Message, ToolCall, TranscriptTurn};
use serde::Serialize;
use utoipa::ToSchema;

use crate::dialect::ending_name;
use crate::dialect::messages::Messages;
use crate::document::words;

/// A turn.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Turn)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    pub(super) turn_id: String,
    /// When it began, or was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) at: Option<Timestamp>,
    pub(super) status: &'static str,
    /// The earlier turn in whose place this one was asked; told while the
    /// transcript does not have this one.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub(super) replaces: String,
    messages: Vec<Said>,
    /// The places that its tools found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<words::Citation>>)]
    sources: Vec<Citation>,
    /// Only its beginning is here: it has said more than is read at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    partial: bool,
}

/// A message of a turn.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TurnMessage)]
#[serde(rename_all = "camelCase")]
struct Said {
    role: String,
    content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<words::ToolCall>>)]
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    tool_call_id: String,
}

impl From<Message> for Said {
    fn from(message: Message) -> Self {
        let Message { role, content, tool_calls, tool_call_id } = message;
        Self { role, content, tool_calls, tool_call_id }
    }
}

/// How a turn stands.
pub(super) fn status(runs: bool, ending: Ending) -> &'static str {
    if runs { "running" } else { ending_name(ending) }
}

impl Shown {
    /// One that the transcript keeps.
    pub(super) fn kept(turn: TranscriptTurn) -> Self {
        let untold = turn.interrupted && turn.ending() == Ending::Unspecified;
        let ending = if untold { Ending::Interrupted } else { turn.ending() };
        Self {
            turn_id: turn.turn_id,
            at: turn.at,
            status: status(false, ending),
            replaces: String::new(),
            messages: turn.messages.into_iter().map(Said::from).collect(),
            sources: turn.sources,
            partial: false,
        }
    }

    /// One that only the log tells.
    pub(super) fn told(turn: &str, status: &'static str, said: Messages, whole: bool) -> Self {
        Self {
            turn_id: turn.to_owned(),
            at: None,
            status,
            replaces: said.replaces().to_owned(),
            messages: said.into_messages().into_iter().map(Said::from).collect(),
            sources: Vec::new(),
            partial: !whole,
        }
    }

    /// One that waits.
    pub(super) fn queued(turn: String, job: Job) -> Self {
        Self {
            turn_id: turn,
            at: job.submitted,
            status: "queued",
            replaces: job.replaces,
            messages: job.messages.into_iter().map(Said::from).collect(),
            sources: Vec::new(),
            partial: false,
        }
    }

    /// Nothing that it said was kept.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
