//! The answers of OpenAI's routes as the document describes them: their shapes
//! are OpenAI's, and `weir` is what stands beside them.

#![expect(dead_code, reason = "only described")]

use utoipa::ToSchema;

/// A whole answer.
#[derive(ToSchema)]
#[schema(as = Completion)]
pub(crate) struct Completion {
    id: String,
    /// `chat.completion`
    object: String,
    /// In seconds since 1970.
    created: i64,
    model: String,
    #[schema(min_items = 1, max_items = 1)]
    choices: Vec<Choice>,
    usage: Used,
    weir: About,
}

/// The one answer.
#[derive(ToSchema)]
#[schema(as = CompletionChoice)]
pub(crate) struct Choice {
    index: u32,
    message: Answer,
    /// `stop`, `length` or `content_filter`; `tool_calls` when calls wait for a human.
    finish_reason: String,
}

/// What was said.
#[derive(ToSchema)]
#[schema(as = CompletionMessage)]
pub(crate) struct Answer {
    role: String,
    content: Option<String>,
    reasoning_content: Option<String>,
    #[schema(required = false)]
    tool_calls: Vec<Call>,
}

/// A call that waits for a human.
#[derive(ToSchema)]
#[schema(as = CompletionCall)]
pub(crate) struct Call {
    id: String,
    r#type: String,
    function: Function,
}

/// What is to be called.
#[derive(ToSchema)]
#[schema(as = CompletionFunction)]
pub(crate) struct Function {
    name: String,
    /// JSON text.
    arguments: String,
}

/// What was used.
#[derive(ToSchema)]
#[schema(as = CompletionUsage)]
pub(crate) struct Used {
    #[serde(rename = "prompt_tokens")]
    prompt: u64,
    #[serde(rename = "completion_tokens")]
    completion: u64,
    #[serde(rename = "total_tokens")]
    total: u64,
}

/// Where the answer stands, and how it ended.
#[derive(ToSchema)]
#[schema(as = CompletionOrigin)]
#[serde(rename_all = "camelCase")]
pub(crate) struct About {
    session_id: String,
    turn_id: String,
    /// How the turn ended.
    status: String,
}

/// A refusal, or a failure.
#[derive(ToSchema)]
#[schema(as = OpenAiError)]
pub(crate) struct Refusal {
    error: Fault,
}

/// What went wrong.
#[derive(ToSchema)]
#[schema(as = OpenAiFault)]
pub(crate) struct Fault {
    message: String,
    r#type: String,
    /// The field that is wrong.
    param: Option<String>,
    code: Option<String>,
}
