//! The messages of the contract as the document describes them. What is sent is
//! made from `proto/weir/v1`; these are its shapes in JSON.

#![expect(dead_code, reason = "only described")]

use utoipa::ToSchema;

/// A refusal (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// What kind of refusal: `urn:weir:problem:<code>`.
    #[schema(example = "urn:weir:problem:invalid_request")]
    r#type: String,
    #[schema(example = "Invalid request")]
    title: String,
    #[schema(example = 400)]
    status: u16,
    /// What was wrong, and what is allowed.
    #[schema(example = "userId must name the user who asks")]
    detail: String,
    /// The fields that are wrong.
    #[schema(required = false)]
    violations: Vec<Violation>,
    /// The turn that is in the way, or that was meant.
    turn_id: Option<String>,
    /// How that turn ended.
    turn_status: Option<String>,
    /// The name of the request, as the log has it.
    request_id: Option<String>,
}

/// A refusal in the words of `/agent/*`.
#[derive(ToSchema)]
#[schema(as = AgentError)]
pub(crate) struct AgentError {
    success: bool,
    status: String,
    message: String,
    detail: String,
}

/// One event of a stream, as the specification of server-sent events has it.
#[derive(ToSchema)]
pub(crate) struct Event {
    /// Where the reader goes on from when it is cut: `Last-Event-ID`.
    #[schema(required = false)]
    id: String,
    /// The kind.
    #[serde(rename = "event")]
    #[schema(required = false)]
    kind: String,
    /// JSON on one line; OpenAI's streams end with `[DONE]`.
    #[schema(required = false)]
    data: String,
    /// Milliseconds after which a reader that was cut comes back.
    #[schema(required = false)]
    retry: u32,
}

/// A field that is wrong.
#[derive(ToSchema)]
pub(crate) struct Violation {
    field: String,
    description: String,
}

/// The model asks for a tool.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolCall {
    call_id: Option<String>,
    name: Option<String>,
    /// JSON text, exactly as it is given to the tool.
    arguments: Option<String>,
}

/// A place that an answer rests on. What is nothing is left out.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Citation {
    number: Option<u32>,
    source: Option<String>,
    heading: Option<String>,
    first_line: Option<u32>,
    last_line: Option<u32>,
    quote: Option<String>,
}

/// What a turn used. What is nothing is left out.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    reasoning_tokens: Option<u32>,
    cached_tokens: Option<u32>,
    /// The model that answered, as `provider/name`.
    model: Option<String>,
    /// Messages of the conversation that the model was not shown.
    omitted_messages: Option<u32>,
    /// How many of those a summary stood for.
    summarized_messages: Option<u32>,
}

/// The turn ended because a human must decide.
#[derive(ToSchema)]
pub(crate) struct Interrupted {
    #[schema(required = false)]
    calls: Vec<PendingCall>,
    /// From then on a decision is refused; absent when it never is.
    #[schema(format = DateTime)]
    expires: Option<String>,
}

/// A tool call that waits for a human.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PendingCall {
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    /// Binds a decision to exactly this call with exactly these arguments.
    arguments_hash: Option<String>,
    /// What will be done, in a sentence for people.
    summary: Option<String>,
    /// `review`, or `outcome_unknown` when the call was begun and may have run.
    reason: Option<String>,
}

/// The turn ended without an answer.
#[derive(ToSchema)]
pub(crate) struct Failed {
    /// A stable word for programs.
    code: Option<String>,
    /// A sentence for people.
    message: Option<String>,
    /// Asking the same again may work.
    retryable: Option<bool>,
}

/// What a human decided about one call.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Decision {
    call_id: String,
    /// That of the pending call.
    arguments_hash: String,
    r#type: DecisionType,
    /// For `edit`: the arguments to call with, as JSON text.
    arguments: Option<String>,
    /// For `reject`: why not. For `respond`: what stands for the result.
    message: Option<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DecisionType {
    Accept,
    Edit,
    Reject,
    Respond,
}
