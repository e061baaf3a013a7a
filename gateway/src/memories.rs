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
use pbjson_types::Timestamp;
use proto::{Memory, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::caller::Caller;
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

#[derive(Debug, Serialize)]
struct Page {
    memories: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    text: String,
    at: Option<Timestamp>,
    source: String,
}

impl From<Memory> for Shown {
    fn from(memory: Memory) -> Self {
        let Memory { id, text, at, source, .. } = memory;
        Self { id, text, at, source }
    }
}

/// `GET /v1/memories`
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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    user_id: Option<String>,
    text: String,
}

/// `POST /v1/memories`
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

/// `DELETE /v1/memories/{id}`
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
#[derive(Debug, Deserialize)]
pub(crate) struct Longterm {
    user_id: String,
    memory_info: String,
}

/// What that route answers, also when it refuses.
#[derive(Debug, Serialize)]
struct Written {
    success: bool,
    user_id: String,
    message: String,
}

/// `POST /agent/write/longterm`
pub(crate) async fn write(
    State(edge): Shared,
    caller: Caller,
    body: Result<extract::Json<Longterm>, Refusal>,
) -> Response {
    let body = match body {
        Ok(extract::Json(body)) => body,
        Err(refusal) => return refused(String::new(), refusal),
    };
    let added = async {
        let user = caller.user(Some(&body.user_id), "user_id")?;
        kept(&edge, &user, &body.memory_info, "memory_info").await
    };
    match added.await {
        Ok(_) => {
            let message = "the memory is kept".to_owned();
            let written = Written { success: true, user_id: body.user_id, message };
            (unstored(), Json(written)).into_response()
        }
        Err(refusal) => refused(body.user_id, refusal),
    }
}

fn refused(user_id: String, refusal: Refusal) -> Response {
    let message = refusal.detail().to_owned();
    let (problem, _document) = refusal.into_response().into_parts();
    let written = Written { success: false, user_id, message };
    let mut response = (problem.status, unstored(), Json(written)).into_response();
    if let Some(after) = problem.headers.get(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    response
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
