//! Watching a session: `GET /v1/sessions/{session}/events`.
//!
//! What a reader asks for and the log cannot give is said with `gap`: `reason`
//! is `expired` (retention has taken it), `other_log` (the position is of a log
//! that was lost or is elsewhere) or `unknown_position` (it is not of this
//! session, or lies beyond its end); `asked` is what the reader had, `next` the
//! first position that is there for it, or the last one when nothing follows
//! yet. It has no id. After it come the kept entries of earlier turns, if the
//! log can tell that they follow, then the running turn up to now with its text
//! as one event, then whatever is stored. The same holds when the log expires
//! under a reader that is slow.
//!
//! An erased session is said with `deleted`, under its id. The stream stays
//! open: the session may be used again, and starts empty.

use axum::extract::State;
use axum::response::Response;
use broker::From;
use http::HeaderMap;
use serde::Deserialize;

use crate::caller::Caller;
use crate::dialect::native::Native;
use crate::document::words::Event;
use crate::document::{parameters, refusals};
use crate::edge::Shared;
use crate::extract::{InSession, Query};
use crate::mark::Mark;
use crate::problem::Refusal;
use crate::stream;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
    after: Option<String>,
}

/// Watches a session
///
/// Everything after a position, live, across turns: `id` is the position, `event`
/// the kind, `data` one line of JSON.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}/events",
    tag = "sessions",
    params(
        parameters::Session,
        parameters::User,
        parameters::After,
        parameters::LastEvent,
    ),
    responses(
        (status = 200, description = "The events", body = Event,
         content_type = "text/event-stream"),
        refusals::Common,
    ),
)]
pub(crate) async fn events(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let (from, has) = match Mark::last_event_id(&headers)? {
        Some(mark) => (mark.from(), Some(mark)),
        None => place(params.after.as_deref())?,
    };
    let opened = stream::open(&edge, &session, from, has).await?;
    Ok(stream::of_session(&edge, opened, Native::new(&session.id)))
}

/// Where a reader begins that wants what comes `after`, and what it has.
pub(crate) fn place(after: Option<&str>) -> Result<(From, Option<Mark>), Refusal> {
    Ok(match after {
        None => (From::Turn, None),
        Some("start") => (From::Start, None),
        Some("now") => (From::Now, None),
        Some(text) => {
            let mark = Mark::parse("after", text)?;
            (mark.from(), Some(mark))
        }
    })
}
