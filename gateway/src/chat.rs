//! The two chat contracts of the systems that Weir replaces.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::Method;
use proto::Session;
use serde::Deserialize;

use crate::dialect::chat::Chat;
use crate::dialect::stream::Stream;
use crate::edge::{Edge, Shared};
use crate::extract::{Json, Query};
use crate::problem::{Code, Refusal};
use crate::question::{Question, Said};
use crate::stream;

/// The one session of a user of `GET /stream`.
const STREAM_SESSION: &str = "stream";

/// The body of `POST /chat`. Unknown fields are ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    user_id: String,
    messages: Vec<Said>,
    session_id: Option<String>,
}

/// `POST /chat`
pub(crate) async fn chat(
    State(edge): Shared,
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
    let session = Session::parse(&body.user_id, id)?;
    let question = match body.messages.pop() {
        Some(last) if last.role == "user" => last.content,
        Some(_) | None => {
            return Err(Refusal::field("messages", "must end with one of role user"));
        }
    };
    let question = Question::compatible(session, question, body.messages)?;
    let dialect = Chat::new(question.session.id.clone(), question.turn);
    answer(&edge, question, dialect).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    username: String,
    query: String,
}

/// `GET /stream`
pub(crate) async fn stream(
    State(edge): Shared,
    method: Method,
    Query(params): Query<Params>,
) -> Result<Response, Refusal> {
    if method != Method::GET {
        return Err(Refusal::new(Code::MethodNotAllowed, "asking needs GET"));
    }
    let user = params
        .username
        .parse()
        .map_err(|why| Refusal::field("username", why))?;
    let id = STREAM_SESSION
        .parse()
        .map_err(|why| Refusal::field("sessionId", why))?;
    let question = Question::compatible(Session { user, id }, params.query, Vec::new())?;
    let dialect = Stream::new(question.session.id.clone(), question.turn);
    answer(&edge, question, dialect).await
}

async fn answer(
    edge: &Arc<Edge>,
    question: Question,
    dialect: impl crate::dialect::Dialect,
) -> Result<Response, Refusal> {
    let opened = stream::ask(edge, &question, None).await?;
    Ok(stream::of_turn(
        edge,
        opened,
        (question.turn, None),
        dialect,
    ))
}
