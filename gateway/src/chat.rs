//! The two chat contracts of the systems that Weir replaces.

use std::str::FromStr as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use proto::SessionId;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::caller::{Caller, Owned};
use crate::dialect::Dialect;
use crate::dialect::chat::Chat;
use crate::dialect::stream::{ENDED, Stream};
use crate::document::words::{Event, Problem};
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{Json, Query};
use crate::problem::{Code, Refusal};
use crate::question::{Question, Said};
use crate::stream;

/// The one session of a user of `GET /stream`.
const STREAM_SESSION: &str = "stream";

/// The body of `POST /chat`. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Chat)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    /// The last one is the question; the ones before it count in a new session.
    #[schema(min_items = 1, max_items = 201)]
    messages: Vec<Sent>,
    /// One is made when there is none.
    #[schema(max_length = 128, example = "s1")]
    session_id: Option<String>,
}

/// One message of a chat.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ChatSaid)]
struct Sent {
    /// `system`, `user`, `assistant` or `tool`; what `system` says are instructions.
    #[schema(pattern = "^(system|user|assistant|tool)$", example = "user")]
    role: String,
    content: String,
}

/// Asks in a chat
///
/// Answers with events `session`, `message` and, last, `end`. docs/compatible.md
/// has the contract.
#[utoipa::path(
    post,
    path = "/chat",
    tag = "compatible",
    request_body(content = Body, example = json!({
        "userId": "u1", "sessionId": "s1",
        "messages": [{"role": "user", "content": "What is Weir?"}],
    })),
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
pub(crate) async fn chat(
    State(edge): Shared,
    caller: Caller,
    Json(mut body): Json<Body>,
) -> Result<Response, Refusal> {
    let made;
    let id = match body.session_id.as_deref() {
        Some(id) if !id.is_empty() => id,
        Some(_) | None => {
            made = uuid::Uuid::now_v7().to_string();
            &made
        }
    };
    let id = id.parse().map_err(|why| Refusal::field("sessionId", why))?;
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let question = match body.messages.pop() {
        Some(last) if last.role == "user" => last.content,
        Some(_) | None => {
            return Err(Refusal::field("messages", "must end with one of role user"));
        }
    };
    let (messages, system) = history(body.messages)?;
    let question = Question::compatible(session, question, messages)?;
    let question = question.instructed("messages", system)?;
    let dialect = Chat::new(question.session.id.clone(), question.turn);
    answer(&edge, question, dialect).await
}

/// What was said before, and the instructions.
fn history(sent: Vec<Sent>) -> Result<(Vec<Said>, String), Refusal> {
    let (mut said, mut system) = (Vec::new(), Vec::new());
    for (at, Sent { role, content }) in sent.into_iter().enumerate() {
        match role.as_str() {
            "system" => system.push(content),
            "user" | "assistant" | "tool" => said.push(Said { role, content }),
            _ => {
                let why = "must be system, user, assistant or tool";
                return Err(Refusal::field(format!("messages[{at}].role"), why));
            }
        }
    }
    Ok((said, system.join("\n\n")))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    username: Option<String>,
    query: String,
}

/// Asks for a stream
///
/// Every event has all text so far; the last one is `end`. All questions of a user
/// are one session.
#[utoipa::path(
    get,
    path = "/stream",
    tag = "compatible",
    params(parameters::Stream, parameters::LastTurn),
    responses(
        (status = 200, description = "The turn", body = Event,
         content_type = "text/event-stream"),
        (status = 204, description = "The turn has been told to its end: do not come back"),
        (status = 409, description = "The user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        (status = 413, description = "The question is too large", body = Problem,
         content_type = "application/problem+json"),
        (status = 507, description = "The store has no room left", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn stream(
    State(edge): Shared,
    caller: Caller,
    method: Method,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    if method != Method::GET {
        return Err(Refusal::new(Code::MethodNotAllowed, "asking needs GET"));
    }
    let id = SessionId::from_str(STREAM_SESSION).expect("a plain word is an id");
    let session = caller.session(params.username.as_deref(), "username", id)?;
    if let Some(last) = headers.get("last-event-id").filter(|it| !it.is_empty()) {
        return again(&edge, session, last.to_str().unwrap_or_default()).await;
    }
    let ids = headers.get(header::ACCEPT) == Some(&HeaderValue::from_static("text/event-stream"));
    let question = Question::compatible(session, params.query, Vec::new())?;
    let dialect = Stream::new(question.session.id.clone(), question.turn, ids);
    answer(&edge, question, dialect).await
}

/// A browser's event source has come back by itself: it gets the turn it had,
/// or, when it had all of it, is told to stop.
async fn again(edge: &Arc<Edge>, session: Owned, last: &str) -> Result<Response, Refusal> {
    if last.ends_with(ENDED) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let (turn, has) = last.split_once('.').unwrap_or((last, "0"));
    let turn = turn.parse().map_err(|why| Refusal::field("Last-Event-ID", why))?;
    let has = has.parse().map_err(|why| Refusal::field("Last-Event-ID", why))?;
    let Some(opened) = stream::again(edge, &session, turn).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let dialect = Stream::new(session.id.clone(), turn, true).after(has);
    Ok(stream::of_turn(edge, opened, (turn, None), dialect))
}

async fn answer(
    edge: &Arc<Edge>,
    question: Question,
    dialect: impl Dialect,
) -> Result<Response, Refusal> {
    let opened = stream::ask(edge, &question, None).await?;
    let whole = (question.turn, None);
    Ok(stream::of_turn(edge, opened, whole, dialect))
}
