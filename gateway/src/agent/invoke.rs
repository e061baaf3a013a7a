//! Asking: `POST /agent/invoke` and `/agent/invoke/stream`
//! `{user_id, session_id, query, system_message?}`.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use proto::{Job, Message};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{frames, session_id, whole};
use crate::caller::Caller;
use crate::dialect::invoke::Answer;
use crate::document::words::{Event, Problem};
use crate::document::{parameters, refusals};
use crate::edge::Shared;
use crate::extract::Json;
use crate::problem::Refusal;
use crate::question::{INPUT_BYTES, Question, SYSTEM_BYTES, check_length, check_text, key};

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
    params(parameters::Repeatable),
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "query": "What is Weir?"})),
    responses(
        (status = 200, description = "The turn", body = Answer),
        (status = 409, description = "The user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another question",
         body = Problem, content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn invoke(
    State(edge): Shared,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    whole(&edge, &question(&caller, key(&headers)?, body)?).await
}

/// Asks an agent, and reads
#[utoipa::path(
    post,
    path = "/agent/invoke/stream",
    tag = "compatible",
    params(parameters::Repeatable),
    request_body(content = Body, example = json!({"user_id": "u1", "session_id": "s1", "query": "What is Weir?"})),
    responses(
        (status = 200, description = "The turn", body = Event,
         content_type = "text/event-stream"),
        (status = 409, description = "The user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another question",
         body = Problem, content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn invoke_stream(
    State(edge): Shared,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<Body>,
) -> Result<Response, Refusal> {
    frames(&edge, &question(&caller, key(&headers)?, body)?).await
}

fn question(caller: &Caller, key: Option<&str>, body: Body) -> Result<Question, Refusal> {
    let id = session_id(&body.session_id)?;
    let session = caller.session(body.user_id.as_deref(), "user_id", id)?;
    let (query, system) = (body.query, body.system_message.unwrap_or_default());
    check_text("query", &query, INPUT_BYTES)?;
    check_length("system_message", &system, SYSTEM_BYTES)?;
    let asked = (query.clone(), system.clone());
    let said = Message { role: "user".to_owned(), content: query, ..Message::default() };
    let job = Job { messages: vec![said], system, ..Job::default() };
    Ok(Question::read(session, job, key, &asked))
}
