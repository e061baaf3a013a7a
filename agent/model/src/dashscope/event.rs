//! One event's data, or a whole result, as the service and what stands in for
//! it really send them: fields may be missing, null or unknown.

use serde::Deserialize;
use serde_json::Value;

use crate::calls::Fragment;
use crate::used::{Used, nullable};

/// A result.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Event {
    #[serde(default, deserialize_with = "nullable")]
    output: Output,
    pub(super) usage: Option<Used>,
}

#[derive(Debug, Default, Deserialize)]
struct Output {
    #[serde(default, deserialize_with = "nullable")]
    choices: Vec<Choice>,
    /// In place of choices, from models that know no `result_format`.
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Choice {
    #[serde(default, deserialize_with = "nullable")]
    index: u32,
    #[serde(default, deserialize_with = "nullable")]
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Message {
    /// Text, or a list of parts.
    content: Option<Value>,
    reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    tool_calls: Vec<Fragment>,
}

/// What one event carries.
#[derive(Debug, Clone, Default)]
pub(super) struct Piece {
    pub(super) reasoning: String,
    pub(super) text: String,
    pub(super) calls: Vec<Fragment>,
}

impl Event {
    /// What it carries, and why the answer ended, if it did.
    pub(super) fn said(self) -> (Piece, Option<String>) {
        let output = self.output;
        let choice = output.choices.into_iter().find(|it| it.index == 0);
        let Some(choice) = choice else {
            let text = output.text.unwrap_or_default();
            return (Piece { text, ..Piece::default() }, finish(output.finish_reason));
        };
        let message = choice.message;
        let piece = Piece {
            reasoning: message.reasoning_content.unwrap_or_default(),
            text: message.content.map(text).unwrap_or_default(),
            calls: message.tool_calls,
        };
        (piece, finish(choice.finish_reason.or(output.finish_reason)))
    }
}

/// Until the end the reason is absent, empty or the word `null`.
fn finish(reason: Option<String>) -> Option<String> {
    reason.filter(|it| !it.is_empty() && it != "null")
}

fn text(content: Value) -> String {
    match content {
        Value::String(text) => text,
        Value::Array(parts) => parts.iter().filter_map(|it| it["text"].as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}
