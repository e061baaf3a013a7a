//! What users have remembered: `/v1/memories`, and `/agent/write/longterm` as
//! the system had it that Weir replaces.
//!
//! - `GET /v1/memories?userId=&limit=&cursor=` lists, the newest first: `{memories:
//!   [{id, text, at, source}], cursor?}`; `cursor` leads to the next page while
//!   there is one. With `query=` the best matches come first, by their words, and
//!   there are no pages.
//! - `POST /v1/memories {userId, text}`: 201 with the memory. A text that is
//!   remembered already is the memory it was: repeating a request is safe.
//! - `DELETE /v1/memories/{id}?userId=`: 204 when it is forgotten; 404 when the
//!   user has no such memory, also when another one has.
//!
//! Nobody reaches a memory without the id of its user.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use memory::{Author, Error, MAX_MEMORIES, MAX_QUERY_BYTES, MAX_TEXT_BYTES, Memories};
use proto::Timestamp;
use proto::{Memory, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{self, Query};
use crate::problem::{Code, Refusal};

/// Memories on a page, unless the client says otherwise, and at most.
const PAGE: usize = 20;
const MAX_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
    query: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// Some of a user's memories.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Memories)]
pub(crate) struct Page {
    memories: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What is remembered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Memory)]
pub(crate) struct Shown {
    id: String,
    text: String,
    #[schema(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// `user` or `agent`.
    source: String,
}

impl From<Memory> for Shown {
    fn from(memory: Memory) -> Self {
        let Memory { id, text, at, source, .. } = memory;
        Self { id, text, at, source }
    }
}

/// Lists or searches memories
#[utoipa::path(
    get,
    path = "/v1/memories",
    tag = "memories",
    params(parameters::User, parameters::Search, parameters::Page),
    responses(
        (status = 200, description = "The memories, the newest or the best match first",
         body = Page),
        refusals::Common,
    ),
)]
pub(crate) async fn list(
    State(edge): Shared,
    caller: Caller,
    Query(params): Query<Params>,
) -> Result<Response, Refusal> {
    let user = caller.user(params.user.as_deref(), "userId")?;
    let limit = params.limit.as_deref().map_or(Ok(PAGE), limit)?;
    let after = params.cursor.as_deref().map(Place::parse).transpose()?;
    let page = match params.query {
        Some(_) if after.is_some() => {
            return Err(Refusal::field("cursor", "must not be given with query"));
        }
        Some(query) => {
            let found = async { Ok(memories(&edge).search(&user, &query, limit).await?) };
            let found = edge.within(found).await?;
            Page { memories: found.into_iter().map(|it| it.0.into()).collect(), cursor: None }
        }
        None => {
            let all = edge.within(async { Ok(memories(&edge).list(&user).await?) }).await?;
            page(all, after.as_ref(), limit)
        }
    };
    Ok((unstored(), Json(page)).into_response())
}

/// The memories behind a place, and where the next page begins.
fn page(all: Vec<Memory>, after: Option<&Place>, limit: usize) -> Page {
    let mut rest = all.into_iter().filter(|it| after.is_none_or(|after| Place::of(it) < *after));
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let cursor = rest.next().and(shown.last()).map(|it| Place::of(it).to_string());
    Page { memories: shown.into_iter().map(Shown::from).collect(), cursor }
}

/// Where a memory stands in its user's list, also once it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: (i64, i32),
    id: String,
}

impl Place {
    fn of(memory: &Memory) -> Self {
        let at = memory.at.as_ref().map_or((0, 0), |it| (it.seconds, it.nanos));
        Self { at, id: memory.id.clone() }
    }

    fn parse(cursor: &str) -> Result<Self, Refusal> {
        let place = || {
            let mut parts = cursor.splitn(3, '.');
            let at = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let id = Uuid::try_parse(parts.next()?).ok()?.to_string();
            Some(Self { at, id })
        };
        place().ok_or_else(|| Refusal::field("cursor", "must be one that a page before it gave"))
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.at.0, self.at.1, self.id)
    }
}

/// What is to be remembered.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Remember)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 4096, example = "prefers short answers")]
    text: String,
}

/// Remembers something
///
/// A text that is remembered already is the memory it was.
#[utoipa::path(
    post,
    path = "/v1/memories",
    tag = "memories",
    request_body(content = Body, example = json!({"userId": "u1", "text": "prefers short answers"})),
    responses(
        (status = 201, description = "It is remembered", body = Shown),
        (status = 409, description = "The user has too many memories", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn add(
    State(edge): Shared,
    caller: Caller,
    extract::Json(body): extract::Json<Body>,
) -> Result<Response, Refusal> {
    let user = caller.user(body.user_id.as_deref(), "userId")?;
    let memory = kept(&edge, &user, &body.text, "text").await?;
    Ok((StatusCode::CREATED, unstored(), Json(Shown::from(memory))).into_response())
}

/// Remembers the text that a field brought.
async fn kept(
    edge: &Edge,
    user: &UserId,
    text: &str,
    field: &'static str,
) -> Result<Memory, Refusal> {
    let added = async {
        match memories(edge).add(user, text, Author::User).await {
            Err(Error::Length(bytes)) => Err(Refusal::field(
                field,
                format!("must have 1 to {MAX_TEXT_BYTES} bytes of text, not {bytes}"),
            )),
            added => Ok(added?),
        }
    };
    edge.within(added).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct Owner {
    #[serde(rename = "userId")]
    user: Option<String>,
}

/// The memory that the path names, whatever that is.
#[derive(Debug)]
pub(crate) struct Named(String);

impl FromRequestParts<Arc<Edge>> for Named {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, edge).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_not_text) => Err(unknown()),
        }
    }
}

/// Forgets a memory
#[utoipa::path(
    delete,
    path = "/v1/memories/{id}",
    tag = "memories",
    params(
        ("id" = String, Path, description = "The memory",
         example = "0198c0de-0000-7000-8000-000000000001"),
        parameters::User,
    ),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "The user has no such memory", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn forget(
    State(edge): Shared,
    caller: Caller,
    Named(id): Named,
    Query(owner): Query<Owner>,
) -> Result<StatusCode, Refusal> {
    let user = caller.user(owner.user.as_deref(), "userId")?;
    let forgotten = async { Ok(memories(&edge).forget(&user, &id).await?) };
    if edge.within(forgotten).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

fn unknown() -> Refusal {
    Refusal::new(Code::NotFound, "the user has no such memory, or it is forgotten already")
}

/// The body of `POST /agent/write/longterm`. Unknown fields are ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Longterm {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    #[schema(min_length = 1, max_length = 4096, example = "prefers short answers")]
    memory_info: String,
}

/// What that route answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LongtermWritten)]
struct Written {
    success: bool,
    user_id: String,
    memory_id: String,
    message: &'static str,
}

/// Remembers something for an agent
#[utoipa::path(
    post,
    path = "/agent/write/longterm",
    tag = "compatible",
    request_body(content = Longterm, example = json!({"user_id": "u1", "memory_info": "prefers short answers"})),
    responses(
        (status = 200, description = "It is remembered", body = Written),
        (status = 409, description = "The user has too many memories", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn write(
    State(edge): Shared,
    caller: Caller,
    extract::Json(body): extract::Json<Longterm>,
) -> Result<Response, Refusal> {
    let user = caller.user(body.user_id.as_deref(), "user_id")?;
    let memory = kept(&edge, &user, &body.memory_info, "memory_info").await?;
    let (user_id, message) = (user.to_string(), "the memory is kept");
    let written = Written { success: true, user_id, memory_id: memory.id, message };
    Ok((unstored(), Json(written)).into_response())
}

fn memories(edge: &Edge) -> Memories {
    Memories::new(Arc::clone(&edge.broker.records))
}

fn limit(text: &str) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|it| (1..=MAX_PAGE).contains(it));
    limit.ok_or_else(|| Refusal::field("limit", format!("must be 1 to {MAX_PAGE}")))
}

fn unstored() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Length(_) => Self::new(Code::InvalidRequest, error.to_string()),
            Error::Query(bytes) => Self::field(
                "query",
                format!("must have 1 to {MAX_QUERY_BYTES} bytes of text, not {bytes}"),
            ),
            Error::Full => Self::new(
                Code::MemoriesFull,
                format!("a user may have {MAX_MEMORIES} memories; forget some first"),
            ),
            Error::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "the memories failed");
                Self::new(Code::Internal, "the memories could not do this; the log says why")
            }
        }
    }
}
