//! Asking: `POST /agent/invoke` and `/agent/invoke/stream`
//! `{user_id, session_id, query, system_message?}`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{frames, session_id, whole};
use crate::caller::Caller;
use crate::dialect::invoke::Answer;
use crate::document::refusals;
use crate::document::words::{Event, Problem};
use crate::edge::Shared;
use crate::extract::Json;
use crate::problem::Refusal;
use crate::question::Question;

/// The body of both routes. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Invoke)]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 128, example = "s1")]
    session_id: String,
    /// The question.
    #[schema(min_length = 1, example = "What is Weir?")]
    query: String,
    /// Instructions for this turn.
    system_message: Option<String>,
}

/// Asks an agent, and waits
#[utoipa::path(
    post,
    path = "/agent/invoke",
    tag = "compatible",
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "query": "What is Weir?"})),
    responses(
        (status = 200, description = "The turn", body = Answer),
        (status = 409, description = "The user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn invoke(
    State(edge): Shared,
    caller: Caller,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    whole(&edge, &question(&caller, body)?).await
}

/// Asks an agent, and reads
#[utoipa::path(
    post,
    path = "/agent/invoke/stream",
    tag = "compatible",
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "query": "What is Weir?"})),
    responses(
        (status = 200, description = "The turn", body = Event,
         content_type = "text/event-stream"),
        (status = 409, description = "The user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn invoke_stream(
    State(edge): Shared,
    caller: Caller,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    frames(&edge, &question(&caller, body)?).await
}

fn question(caller: &Caller, body: Body) -> Result<Question, Refusal> {
    let id = session_id(&body.session_id)?;
    let session = caller.session(body.user_id.as_deref(), "user_id", id)?;
    if body.query.trim().is_empty() {
        return Err(Refusal::field("query", "must not be empty"));
    }
    let question = Question::compatible(session, body.query, Vec::new())?;
    question.instructed("system_message", body.system_message.unwrap_or_default())
}
