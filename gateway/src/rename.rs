//! Renaming a session: `PATCH /v1/sessions/{session}` `{userId?, title}`.
//!
//! Answers with the session. A chosen title stays until another one is chosen.
//! Refuses titles that are empty, longer than 200 bytes or more than a line, and
//! a session that is not known.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::{Bucket, Error, Expected, Key};
use http::header;
use prost::Message as _;
use proto::{FORMAT, Session, SessionRecord};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::document::words::Problem;
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{self, InSession};
use crate::problem::{Code, Refusal};
use crate::{record, session};

/// The longest title, in bytes.
const TITLE_BYTES: usize = 200;
/// How often the record may change while it is read.
const TRIES: usize = 8;

/// The body of `PATCH /v1/sessions/{session}`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Rename)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Body {
    #[schema(min_length = 1, max_length = 128, example = "u1")]
    user_id: Option<String>,
    /// One line of text.
    #[schema(min_length = 1, max_length = 200, example = "My trip")]
    title: String,
}

/// Renames a session
///
/// The title stays until another one is chosen.
#[utoipa::path(
    patch,
    path = "/v1/sessions/{session}",
    tag = "sessions",
    params(parameters::Session),
    request_body(content = Body, example = json!({"userId": "u1", "title": "My trip"})),
    responses(
        (status = 200, description = "The session", body = session::Shown),
        (status = 404, description = "There is no such session", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn rename(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    extract::Json(body): extract::Json<Body>,
) -> Result<impl IntoResponse, Refusal> {
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let title = check(&body.title)?;
    edge.within(change(&edge, &session, title)).await?;
    let shown = edge.within(session::show(&edge, &session)).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)))
}

/// A title without the white space around it.
fn check(title: &str) -> Result<&str, Refusal> {
    let title = title.trim();
    let fits = (1..=TITLE_BYTES).contains(&title.len());
    if fits && !title.chars().any(|it| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}')) {
        return Ok(title);
    }
    let why = format!("must have 1 to {TITLE_BYTES} bytes of text on one line");
    Err(Refusal::field("title", why))
}

/// Changes the title against what others write at the same time.
async fn change(edge: &Edge, session: &Session, title: &str) -> Result<(), Refusal> {
    let key = Key::session(session);
    for _ in 0..TRIES {
        let (record, expected) = match record::of(edge, session).await? {
            Some((record, revision)) => (record, Expected::Revision(revision)),
            None => (unrecorded(edge, session).await?, Expected::Absent),
        };
        if !is_known(edge, session, expected != Expected::Absent).await? {
            return Err(Refusal::new(Code::NotFound, "there is no such session"));
        }
        let named =
            SessionRecord { version: FORMAT, title: title.to_owned(), named: true, ..record };
        let value = named.encode_to_vec().into();
        match edge.broker.records.put(Bucket::Sessions, &key, value, expected).await {
            Ok(_) => return settle(edge, session).await,
            Err(Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::new(Code::Unavailable, "others change this session at this moment; try again"))
}

/// What there is to say of a session whose first turn has not begun.
async fn unrecorded(edge: &Edge, session: &Session) -> Result<SessionRecord, Error> {
    let pending = edge.broker.queue.pending(session).await?;
    Ok(pending.first().map(|it| record::of_job(&it.job)).unwrap_or_default())
}

/// Whether there is such a session: what an erased one has left is none.
async fn is_known(edge: &Edge, session: &Session, recorded: bool) -> Result<bool, Error> {
    if edge.broker.queue.first(session).await?.is_some() {
        return Ok(true);
    }
    let last = edge.broker.log.last(session).await?;
    Ok(last.map_or(recorded, |it| !it.entry.is_tombstone()))
}

/// Takes a title back that has come after an erasure had looked for one.
async fn settle(edge: &Edge, session: &Session) -> Result<(), Refusal> {
    if is_known(edge, session, true).await? {
        return Ok(());
    }
    edge.broker.records.delete(Bucket::Sessions, &Key::session(session)).await?;
    Err(Refusal::new(Code::NotFound, "the session was deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_some_length() {
        let longest = "x".repeat(TITLE_BYTES);
        for (title, expected) in
            [("  My trip\n", Some("My trip")), ("旅行", Some("旅行")), (&longest, Some(&*longest))]
        {
            assert_eq!(check(title).ok(), expected, "{title:?}");
        }
        for bad in ["", " \t ", "a\nb", "a\u{0}b", "a\u{2028}b", &format!("{longest}x")] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
