//! `GET /v1/sessions/{session}/turns?userId=&cursor=&limit=`: what a session's
//! turns said, the oldest first.
//!
//! `{turns: [{turnId, at?, status, messages: [{role, content, toolCalls?,
//! toolCallId?}], sources?, partial?}], cursor?}`; `cursor` leads to the next page
//! while there is one. `status` is `completed`, `interrupted`, `failed`,
//! `cancelled`, `running`, `queued`, or `unknown` where it was not kept. Turns
//! come from the transcript, which drops the oldest past its size; the last one,
//! where that does not have it, from the log: while it runs, with what it has said
//! up to now, and when it failed before it was stored. Behind it stand questions
//! that wait.
//!
//! A turn that takes an earlier one's place (`replaces`) stands there from its
//! beginning: that one and all after it are not told any more. When it ends before
//! the transcript has it, they are told again, as the next question is asked after
//! them.
//!
//! A session that is erased, or being erased, has no turns. 404 when there is no
//! such session.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::{Bucket, Error, Key, Pending, Stored};
use http::header;
use prost::Message as _;
use proto::{FORMAT, Message, Session, Status, Transcript};
use serde::Deserialize;

use crate::caller::Caller;
use crate::dialect::messages::Messages;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::entries;
use crate::extract::{InSession, Query};
use crate::problem::{Code, Refusal};
use crate::sessions::limit;

mod page;
mod shown;

use page::{Page, page};
use shown::Shown;

/// Turns on a page, unless the client says otherwise, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 100;

#[derive(Debug, Deserialize)]
pub(crate) struct Params {
    #[serde(rename = "userId")]
    user: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
}

/// Lists what was said
///
/// The turns of a session, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/sessions/{session}/turns",
    tag = "sessions",
    params(parameters::Session, parameters::User, parameters::Page),
    responses(
        (status = 200, description = "The turns", body = Page),
        (status = 404, description = "There is no such session", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
    ),
)]
pub(crate) async fn list(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    Query(params): Query<Params>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(params.user.as_deref(), "userId", id)?;
    let limit = params.limit.as_deref().map_or(Ok(PAGE), |it| limit(it, MAX_PAGE))?;
    let after = params.cursor.as_deref().map(page::Place::parse).transpose()?;
    let turns = edge.within(turns(&edge, &session)).await?;
    let Some(turns) = turns else {
        return Err(Refusal::new(Code::NotFound, "there is no such session"));
    };
    let page: Page = page(turns, after.as_ref(), limit);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(page)))
}

/// All turns of a session; `None` when there is no such session.
async fn turns(edge: &Edge, session: &Session) -> Result<Option<Vec<Shown>>, Refusal> {
    // In this order: a job that is gone has left its end in the log, and a turn
    // that has ended there stands in the transcript.
    let pending = edge.broker.queue.pending(session).await?;
    let last = edge.broker.log.last(session).await?;
    let transcript = transcript(edge, session).await?;
    let erased = last.as_ref().is_some_and(|it| it.entry.is_tombstone());
    let last = last.filter(|_| !erased);
    if pending.is_empty() && last.is_none() && transcript.turns.is_empty() {
        return Ok(None);
    }
    let mut shown: Vec<_> = transcript.turns.into_iter().map(Shown::kept).collect();
    if let Some(last) = &last {
        of_log(edge, session, (last, &pending), &mut shown).await?;
    }
    wait(pending, last.as_ref(), &mut shown);
    Ok(Some(shown))
}

/// What is kept of a turn that a session has had.
pub(crate) async fn kept(
    edge: &Edge,
    session: &Session,
    turn: &str,
) -> Result<Option<Vec<Message>>, Error> {
    let turns = transcript(edge, session).await?.turns;
    let kept = turns.into_iter().find(|it| it.turn_id == turn).map(|it| it.messages);
    Ok(kept.filter(|it| !it.is_empty()))
}

/// The turns of a session that are kept; none of one that is being erased.
pub(crate) async fn transcript(edge: &Edge, session: &Session) -> Result<Transcript, Error> {
    let found = edge.broker.records.get(Bucket::Transcripts, &Key::session(session)).await?;
    let corrupt = |what: &str| Error::Corrupt(format!("a transcript: {what}"));
    let transcript = found.map(|it| Transcript::decode(it.value)).transpose();
    let transcript = transcript.map_err(|error| corrupt(&error.to_string()))?.unwrap_or_default();
    if transcript.version > FORMAT {
        return Err(corrupt("of a newer format"));
    }
    Ok(if transcript.erasing { Transcript::default() } else { transcript })
}

/// Tells the turn that the last entry is about as the log does, which knows how
/// it ended, and what it said when nobody else does.
async fn of_log(
    edge: &Edge,
    session: &Session,
    (last, pending): (&Stored, &[Pending]),
    shown: &mut Vec<Shown>,
) -> Result<(), Refusal> {
    let Some(state) = &last.entry.state else { return Ok(()) };
    let status = shown::status(state.status() == Status::Running, state.ending());
    let kept = shown.iter().position(|it| it.turn_id == state.turn_id);
    if let Some(kept) =
        kept.filter(|it| state.status() != Status::Running && !shown[*it].is_empty())
    {
        shown[kept].status = status;
        return Ok(());
    }
    let mut messages = Messages::default();
    let take = |stored: &Stored| messages.entry(&stored.entry);
    let whole = entries::of_turn(edge.broker.log.as_ref(), session, last, take).await?;
    let mut told = Shown::told(&state.turn_id, status, messages, whole);
    if let Some(kept) = kept {
        told.at = shown[kept].at;
        shown[kept] = told;
    } else {
        if state.status() == Status::Running {
            let job = pending.iter().find(|it| it.job.turn_id == state.turn_id);
            let behind = job.and_then(|it| it.job.behind.as_deref());
            cut(shown, &told.replaces, behind);
        }
        shown.push(told);
    }
    Ok(())
}

/// Takes away what a turn takes the place of, when that begins.
fn cut(shown: &mut Vec<Shown>, replaces: &str, behind: Option<&str>) {
    let place = |turn: &str| shown.iter().position(|it| it.turn_id == turn);
    let place = match (place(replaces), behind) {
        (Some(place), _) => Some(place),
        (None, Some("")) => Some(0),
        (None, Some(before)) => place(before).map(|it| it + 1),
        (None, None) => None,
    };
    shown.truncate(place.unwrap_or(shown.len()));
}

/// Adds the questions that wait; one that has ended, and whose job is still on
/// its way out of the queue, waits no more.
fn wait(pending: Vec<Pending>, last: Option<&Stored>, shown: &mut Vec<Shown>) {
    let current = last.and_then(|it| it.entry.state.as_ref()).map(|it| it.turn_id.as_str());
    for Pending { turn, job, .. } in pending {
        let turn = turn.to_string();
        if current == Some(&turn) {
            if let Some(known) = shown.iter_mut().find(|it| it.turn_id == turn) {
                known.at = known.at.or(job.submitted);
            }
        } else if shown.iter().all(|it| it.turn_id != turn) {
            shown.push(Shown::queued(turn, job));
        }
    }
}
