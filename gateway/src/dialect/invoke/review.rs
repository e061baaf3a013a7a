//! Calls that wait for a human, as `LangGraph`'s `HumanInterrupt` tells them.

use proto::PendingCall;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::message::arguments;

/// All calls that wait. The first one stands in the fields that clients know who
/// have only ever met one at a time; what they show is the description, which
/// tells of all.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentReview)]
pub(crate) struct Review {
    interrupt_type: &'static str,
    action_request: Request,
    config: Allowed,
    description: String,
    calls: Vec<Waiting>,
}

/// One call that waits.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentWaiting)]
struct Waiting {
    action_request: Request,
    config: Allowed,
    description: String,
    call_id: String,
    arguments_hash: String,
}

/// What is to be called.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentRequest)]
struct Request {
    action: String,
    args: Value,
    id: String,
}

/// What may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AgentAllowed)]
#[expect(clippy::struct_excessive_bools, reason = "these are the fields that LangGraph has")]
struct Allowed {
    allow_accept: bool,
    allow_edit: bool,
    allow_respond: bool,
    allow_ignore: bool,
}

impl Allowed {
    /// Whether the answer is about one call alone: only then can it bring other
    /// arguments, or a result. Nothing can be ignored: a call is made or rejected.
    fn about(one: bool) -> Self {
        Self { allow_accept: true, allow_edit: one, allow_respond: one, allow_ignore: false }
    }
}

impl Review {
    /// `None` when nothing waits.
    pub(crate) fn of(calls: &[PendingCall]) -> Option<Self> {
        let waiting: Vec<_> = calls.iter().map(Waiting::of).collect();
        let first = waiting.first()?;
        let descriptions: Vec<_> = waiting.iter().map(|it| it.description.as_str()).collect();
        Some(Self {
            interrupt_type: "tool_review",
            action_request: first.action_request.clone(),
            config: Allowed::about(waiting.len() == 1),
            description: descriptions.join("\n"),
            calls: waiting,
        })
    }
}

impl Waiting {
    fn of(call: &PendingCall) -> Self {
        let PendingCall { call_id, name, arguments: text, arguments_hash, summary, .. } =
            call.clone();
        let description = if summary.is_empty() { format!("{name} {text}") } else { summary };
        Self {
            action_request: Request { action: name, args: arguments(&text), id: call_id.clone() },
            config: Allowed::about(true),
            description,
            call_id,
            arguments_hash,
        }
    }
}
