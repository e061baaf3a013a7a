//! One `chat.completion.chunk`, or a whole `chat.completion`, as endpoints
//! really send them: fields may be missing, null or unknown.

use proto::Usage;
use serde::Deserialize;

use crate::calls::{Fragment, Function};

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

#[derive(Debug, Default, Deserialize)]
pub(super) struct Used {
    #[serde(default, deserialize_with = "nullable")]
    prompt_tokens: u32,
    #[serde(default, deserialize_with = "nullable")]
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
    reasoning_tokens: Option<u32>,
}

impl Used {
    /// As the contract says it.
    pub(super) fn usage(self, model: &str) -> Usage {
        let input = self.prompt_tokens_details.unwrap_or_default();
        let output = self.completion_tokens_details.unwrap_or_default();
        Usage {
            input_tokens: self.prompt_tokens,
            output_tokens: self.completion_tokens,
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
