//! A user's sessions: `GET /agent/sessionids/{user_id}`,
//! `GET /agent/active/sessionid/{user_id}` and
//! `DELETE /agent/session/{user_id}/{session_id}`.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use super::{OfSession, OfUser, named_session, named_user};
use crate::caller::Caller;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::Shared;
use crate::erase::{self, Removed};
use crate::problem::Refusal;
use crate::sessions::{latest, of_user};

/// The most sessions that are named at once; those with the latest activity.
const MOST: usize = 10_000;

/// Sessions by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentSessions)]
struct Ids {
    session_ids: Vec<String>,
}

/// Lists an agent's sessions
///
/// The one with the latest activity first.
#[utoipa::path(
    get,
    path = "/agent/sessionids/{user_id}",
    tag = "compatible",
    params(parameters::AgentUser),
    responses((status = 200, description = "The sessions", body = Ids), refusals::Common),
)]
pub(crate) async fn ids(
    State(edge): Shared,
    caller: Caller,
    path: OfUser,
) -> Result<impl IntoResponse, Refusal> {
    let user = caller.user(Some(&named_user(path)?), "user_id")?;
    let all = edge.list(&user, async { Ok(of_user(&edge, &user).await?) }).await?;
    let session_ids = all.into_iter().take(MOST).map(|it| it.session.id.to_string()).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Ids { session_ids })))
}

/// The session with the latest activity; an empty text when there is none, as
/// clients know it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentActive)]
struct Active {
    active_session_id: String,
}

/// Names an agent's latest session
#[utoipa::path(
    get,
    path = "/agent/active/sessionid/{user_id}",
    tag = "compatible",
    params(parameters::AgentUser),
    responses((status = 200, description = "The session", body = Active), refusals::Common),
)]
pub(crate) async fn active(
    State(edge): Shared,
    caller: Caller,
    path: OfUser,
) -> Result<impl IntoResponse, Refusal> {
    let user = caller.user(Some(&named_user(path)?), "user_id")?;
    let latest = edge.list(&user, latest(&edge, &user)).await?;
    let active_session_id = latest.map(|it| it.to_string()).unwrap_or_default();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Active { active_session_id })))
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentDeleted)]
struct Deleted {
    success: bool,
    status: &'static str,
    message: &'static str,
    session_id: String,
    removed: Removed,
}

/// Erases an agent's session
#[utoipa::path(
    delete,
    path = "/agent/session/{user_id}/{session_id}",
    tag = "compatible",
    params(parameters::AgentUser, parameters::AgentSession),
    responses(
        (status = 200, description = "What was removed", body = Deleted),
        (status = 404, description = "There is no such session, or it is erased already", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn delete(
    State(edge): Shared,
    caller: Caller,
    path: OfSession,
) -> Result<impl IntoResponse, Refusal> {
    let (user, id) = named_session(path)?;
    let session = caller.session(Some(&user), "user_id", id)?;
    let session_id = session.id.to_string();
    let removed = erase::erase(&edge, session).await?;
    let message = "the session is deleted";
    let deleted = Deleted { success: true, status: "success", message, session_id, removed };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(deleted)))
}
