//! Messages as `LangChain` writes them.

use proto::ToolCall;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::dialect::messages::Messages;

/// One message.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentMessage)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Message {
    /// Of the user.
    Human { content: String },
    /// Of the agent.
    Ai { content: String, tool_calls: Vec<Call> },
    /// Of a tool.
    Tool { content: String, name: String, tool_call_id: String },
    /// Of nobody in the conversation.
    System { content: String },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentCall)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Value,
    pub(crate) id: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Call {
    pub(crate) fn of(call: &ToolCall) -> Self {
        Self {
            name: call.name.clone(),
            args: arguments(&call.arguments),
            id: call.call_id.clone(),
            kind: "tool_call",
        }
    }
}

/// Arguments as JSON; as the text that they are where a model wrote none.
pub(crate) fn arguments(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

impl Message {
    /// All messages of a turn. A decided call was asked for in the turn before:
    /// only its result names it then.
    pub(crate) fn all(said: Messages) -> Vec<Self> {
        let names = said.names();
        let name = |id: &str| names.get(id).cloned().unwrap_or_default();
        let messages = said.into_messages();
        let each = messages.iter().map(|it| match it.role.as_str() {
            "user" => Self::Human { content: it.content.clone() },
            "tool" => Self::Tool {
                content: it.content.clone(),
                name: name(&it.tool_call_id),
                tool_call_id: it.tool_call_id.clone(),
            },
            "system" => Self::System { content: it.content.clone() },
            _assistant => Self::Ai {
                content: it.content.clone(),
                tool_calls: it.tool_calls.iter().map(Call::of).collect(),
            },
        });
        each.collect()
    }

    /// What the agent answers with.
    pub(crate) fn answer(content: String) -> Self {
        Self::Ai { content, tool_calls: Vec::new() }
    }

    /// Whether it is the agent's, and asks for nothing.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(self, Self::Ai { tool_calls, .. } if tool_calls.is_empty())
    }
}
