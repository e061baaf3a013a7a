//! The parts that chunks and whole completions have in common.

use proto::{Interrupted, PendingCall, SessionId, TurnId, Usage};
use serde::Serialize;
use uuid::Uuid;

/// What every chunk of an answer begins with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Head {
    id: String,
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    model: String,
    #[serde(skip)]
    session: SessionId,
    #[serde(skip)]
    turn: TurnId,
}

/// What the contract has no place for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About<'a> {
    session_id: String,
    turn_id: String,
    /// How the turn ended.
    status: &'static str,
    /// The calls that wait for a human.
    #[serde(skip_serializing_if = "<[PendingCall]>::is_empty")]
    pending: &'a [PendingCall],
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<&'a proto::Timestamp>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<&'a [Call<'a>]>,
}

#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    /// In chunks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    id: &'a str,
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// What an answer used, in OpenAI's words.
#[derive(Debug, Serialize)]
pub(super) struct Used {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u32,
}

impl Head {
    /// `created` counts for turns whose id tells no time.
    pub(crate) fn new(session: &SessionId, turn: TurnId, model: &str, created: u64) -> Self {
        Self {
            id: format!("chatcmpl-{turn}"),
            object: "chat.completion",
            created: made(turn).unwrap_or(created),
            model: model.to_owned(),
            session: session.clone(),
            turn,
        }
    }

    /// The same for the pieces of a stream.
    pub(super) fn of_chunks(self) -> Self {
        Self { object: "chat.completion.chunk", ..self }
    }

    pub(crate) fn about<'a>(
        &self,
        status: &'static str,
        interrupt: Option<&'a Interrupted>,
    ) -> About<'a> {
        About {
            session_id: self.session.to_string(),
            turn_id: self.turn.to_string(),
            status,
            pending: interrupt.map_or(&[], |it| &it.calls),
            expires: interrupt.and_then(|it| it.expires.as_ref()),
        }
    }
}

/// When a turn was named, as far as its id tells.
fn made(turn: TurnId) -> Option<u64> {
    let id = Uuid::try_parse(&turn.to_string()).ok()?;
    let (seconds, _) = id.get_timestamp()?.to_unix();
    Some(seconds)
}

pub(super) fn calls(pending: &[PendingCall]) -> Vec<Call<'_>> {
    let calls = pending.iter().enumerate().map(|(at, it)| Call {
        index: Some(at),
        id: &it.call_id,
        r#type: "function",
        function: Function { name: &it.name, arguments: &it.arguments },
    });
    calls.collect()
}

/// Why an answer stopped, in the words that clients know.
pub(super) fn finish_reason(said: &str) -> &'static str {
    match said {
        "length" => "length",
        "content_filter" => "content_filter",
        _ => "stop",
    }
}

impl Used {
    pub(super) fn of(usage: &Usage) -> Self {
        let (input, output) = (u64::from(usage.input_tokens), u64::from(usage.output_tokens));
        Self {
            prompt_tokens: input,
            completion_tokens: output,
            total_tokens: input + output,
            prompt_tokens_details: PromptDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
        }
    }
}
