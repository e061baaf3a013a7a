//! What an answer used, as endpoints count it: OpenAI's names, and DashScope's
//! for the same.

use proto::Usage;
use serde::Deserialize;

/// Tokens; what is missing or null is 0.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Used {
    #[serde(default, alias = "input_tokens", deserialize_with = "nullable")]
    prompt_tokens: u32,
    #[serde(default, alias = "output_tokens", deserialize_with = "nullable")]
    pub(crate) completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
    #[serde(alias = "output_tokens_details")]
    completion_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
    reasoning_tokens: Option<u32>,
}

impl Used {
    /// As the contract says it.
    pub(crate) fn usage(self, model: &str) -> Usage {
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

/// A value, or its default where it is null.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
