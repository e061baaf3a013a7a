//! The parameters that routes have in common, for the document.

#![expect(dead_code, reason = "only described")]

use utoipa::IntoParams;

/// Of a path: a session.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct Session {
    /// The session. 1 to 128 bytes without control characters
    #[param(min_length = 1, max_length = 128, example = "s1")]
    session: String,
}

/// Of a query: a user.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct User {
    /// Whose. With authentication on, the credential's user, who need not be named
    #[param(min_length = 1, max_length = 128, example = "u1")]
    #[param(rename = "userId")]
    user: Option<String>,
}

/// Of a query: a page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// As the page before gave it
    cursor: Option<String>,
    /// How many are wanted
    #[param(minimum = 1, maximum = 100, example = 20)]
    limit: Option<u32>,
}

/// Of a query: what memories are looked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// What to look for, by words; there are no pages then
    #[param(min_length = 1, max_length = 4096)]
    query: Option<String>,
}

/// Of a request's head: how a turn is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Asking {
    /// Makes a repetition safe: what was asked with it before is not asked again
    #[param(rename = "Idempotency-Key", value_type = String, required = false)]
    #[param(min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    key: Option<String>,
    /// `respond-async` for a receipt
    #[param(rename = "Prefer", value_type = String, required = false)]
    prefer: Option<String>,
}

/// Of a query: where a reader begins.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// `start`, `now` or a position; else the running turn from its beginning
    after: Option<String>,
}

/// Of a request's head: what a reader has.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct LastEvent {
    /// The `id` of the last event that came; wins over `after`
    #[param(rename = "Last-Event-ID", value_type = String, required = false)]
    last: Option<String>,
}

/// Of the query of `GET /stream`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Stream {
    /// Who asks
    #[param(min_length = 1, max_length = 128, example = "u1")]
    username: Option<String>,
    /// The question
    #[param(min_length = 1, example = "What is Weir?")]
    query: String,
}

/// Of the query of a WebSocket.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Socket {
    /// Who asks; a new user when nobody is known or named
    #[param(rename = "userId", min_length = 1, max_length = 128, example = "u1")]
    user: Option<String>,
    /// A new session when none is named
    #[param(rename = "sessionId", max_length = 128, example = "s1")]
    session: Option<String>,
}

/// Of the head of `GET /stream`: what a browser comes back for.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct LastTurn {
    /// The `id` of the last event that came: the turn goes on, and nothing is asked
    #[param(rename = "Last-Event-ID", value_type = String, required = false)]
    last: Option<String>,
}

/// Of the head of a question to an agent.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Repeatable {
    /// Makes a repetition safe: what was asked with it before is not asked again
    #[param(rename = "Idempotency-Key", value_type = String, required = false)]
    #[param(min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    key: Option<String>,
}

/// Of the head of a request for a chat completion.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct OpenAi {
    /// The session; without one the messages are the whole context
    #[param(rename = "X-Session-Id", value_type = String, required = false, max_length = 128)]
    session: Option<String>,
    /// Makes a repetition safe
    #[param(rename = "Idempotency-Key", value_type = String, required = false)]
    #[param(min_length = 1, max_length = 255, pattern = "^[ -~]+$")]
    key: Option<String>,
}

/// Of a path of the `/agent/*` family: a user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AgentUser {
    /// Whose
    #[param(min_length = 1, max_length = 128, example = "u1")]
    user_id: String,
}

/// Of a path of the `/agent/*` family: a session.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AgentSession {
    /// The session
    #[param(min_length = 1, max_length = 128, example = "s1")]
    session_id: String,
}
