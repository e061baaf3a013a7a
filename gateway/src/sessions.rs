//! `GET /v1/sessions?userId=&cursor=&limit=`: a user's sessions, the one with the
//! latest activity first, each as queue and log say that it stands now.
//!
//! `{sessions: [{sessionId, title?, status, turnId?, ending?, unfinished,
//! createdAt?, updatedAt?, lastQuestion?, lastAnswer?}], cursor?}`; `cursor` leads
//! to the next page while there is one. It names a place in the order, not a
//! number of sessions: one that did not change while pages were read is on
//! exactly one of them. One that did is listed anew at the top.
//!
//! Deleted sessions are never listed. One whose first question still waits is
//! listed like the others, but of more than 512 of those some are left out until
//! their turns begin.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::header;
use proto::{Session, SessionId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::decisions::open;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::Query;
use crate::problem::Refusal;
use crate::record::Described;
use crate::standing::Standing;

mod order;

pub(crate) use order::{Listed, Place, of_user};

/// Sessions on a page, unless the client says otherwise, and at most.
const PAGE: usize = 20;
const MAX_PAGE: usize = 100;
/// How many sessions are looked at at once.
const AT_ONCE: usize = 16;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Some of a user's sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sessions)]
struct Page {
    sessions: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// A session as lists tell it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedSession)]
#[serde(rename_all = "camelCase")]
struct Shown {
    session_id: String,
    #[serde(flatten)]
    standing: Standing,
    /// Turns that wait or run.
    unfinished: usize,
    #[serde(flatten)]
    described: Described,
    #[serde(skip)]
    place: Place,
}

/// Lists sessions
///
/// The one with the latest activity first.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    params(parameters::User, parameters::Page),
    responses((status = 200, description = "The sessions", body = Page), refusals::Common),
)]
pub(crate) async fn list(
    State(edge): Shared,
    caller: Caller,
    Query(params): Query<Params>,
) -> Result<impl IntoResponse, Refusal> {
    let user = caller.user(params.user.as_deref(), "userId")?;
    let limit = params.limit.as_deref().map_or(Ok(PAGE), |it| limit(it, MAX_PAGE))?;
    let after = params.cursor.as_deref().map(Place::parse).transpose()?;
    let page = edge.list(&user, page(&edge, &user, after.as_ref(), limit)).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}

/// How many a client wants on a page.
pub(crate) fn limit(text: &str, most: usize) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|it| (1..=most).contains(it));
    limit.ok_or_else(|| Refusal::field("limit", format!("must be 1 to {most}")))
}

async fn page(
    edge: &Edge,
    user: &UserId,
    after: Option<&Place>,
    limit: usize,
) -> Result<Page, Refusal> {
    let all = of_user(edge, user).await?;
    let end = all.last().map(|it| it.place.clone());
    let rest = all.into_iter().filter(|it| after.is_none_or(|after| it.place < *after));
    let shown = stream::iter(rest).map(|it| show(edge, it)).buffered(AT_ONCE);
    let shown = shown.try_filter_map(|it| std::future::ready(Ok(it))).take(limit);
    let sessions: Vec<Shown> = shown.try_collect().await?;
    let last = sessions.last().filter(|_| sessions.len() == limit).map(|it| &it.place);
    let cursor = last.filter(|it| end.is_some_and(|end| end < **it)).map(Place::to_string);
    Ok(Page { sessions, cursor })
}

/// The session of a user with the latest activity.
pub(crate) async fn latest(edge: &Edge, user: &UserId) -> Result<Option<SessionId>, Refusal> {
    for listed in of_user(edge, user).await? {
        if stands(edge, &listed.session, listed.busy, &listed.record).await?.is_some() {
            return Ok(Some(listed.session.id));
        }
    }
    Ok(None)
}

/// Looks at a session; `None` when it is deleted.
async fn show(edge: &Edge, listed: Listed) -> Result<Option<Shown>, Refusal> {
    let Listed { session, place, record, busy } = listed;
    let Some((standing, unfinished)) = stands(edge, &session, busy, &record).await? else {
        return Ok(None);
    };
    Ok(Some(Shown {
        session_id: session.id.to_string(),
        standing,
        unfinished,
        described: record.into(),
        place,
    }))
}

/// How a listed session stands, and how many turns it has to finish.
async fn stands(
    edge: &Edge,
    session: &Session,
    busy: bool,
    record: &proto::SessionRecord,
) -> Result<Option<(Standing, usize)>, Refusal> {
    // In this order: a job that is gone has left its end in the log.
    let pending = if busy { edge.broker.queue.pending(session).await? } else { Vec::new() };
    let last = edge.broker.log.last(session).await?;
    let erased = last.as_ref().is_some_and(|it| it.entry.is_tombstone());
    if erased && pending.is_empty() {
        return Ok(None);
    }
    let state = last.as_ref().filter(|_| !erased).and_then(|it| it.entry.state.as_ref());
    let turns: Vec<_> = pending.into_iter().map(|it| it.turn).collect();
    let standing = Standing::of(state, &turns, Some(record));
    let waits = standing.may_wait() && open(edge, session).await?.is_some();
    Ok(Some((if waits { standing.waiting() } else { standing }, turns.len())))
}
