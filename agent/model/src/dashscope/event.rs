//! One event's data, or a whole result, as the service and what stands in for
//! it really send them: fields may be missing, null or unknown.

use proto::Usage;
use serde::Deserialize;
use serde_json::Value;

use crate::calls::Fragment;

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

#[derive(Debug, Default, Deserialize)]
pub(super) struct Used {
    #[serde(default, deserialize_with = "nullable")]
    input_tokens: u32,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) output_tokens: u32,
    prompt_tokens_details: Option<Details>,
    output_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
    reasoning_tokens: Option<u32>,
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

impl Used {
    /// As the contract says it.
    pub(super) fn usage(self, model: &str) -> Usage {
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.output_tokens_details.unwrap_or_default();
        Usage {
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            reasoning_tokens: output.reasoning_tokens.unwrap_or(0),
            cached_tokens: input.cached_tokens.unwrap_or(0),
            model: model.to_owned(),
            ..Usage::default()
        }
    }
}

fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
