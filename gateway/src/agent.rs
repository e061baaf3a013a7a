//! `/agent/*`, as the `FastAPI` backend had it that Weir replaces: a `LangGraph`
//! agent with sessions in Redis. `docs/compatible.md` has the whole contract.
//!
//! Unknown fields are ignored, and a question waits behind an unfinished turn.
//! Refusals are `{success: false, status: "error", message, detail}` under their
//! HTTP status: some clients read `message`, others `detail`. Times are seconds
//! since 1970 as a number with a fraction.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use http::header;
use proto::SessionId;
use serde_json::{Value, json};

use crate::dialect::invoke::{Gathering, Invoke};
use crate::edge::Edge;
use crate::problem::Refusal;
use crate::question::Question;
use crate::{answer, stream};

pub(crate) mod invoke;
pub(crate) mod resume;
pub(crate) mod sessions;
pub(crate) mod status;

/// A refusal in the words of this family.
pub(crate) fn refusal(refusal: &Refusal) -> Value {
    let message = refusal.detail();
    let mut told =
        json!({ "success": false, "status": "error", "message": message, "detail": message });
    if let Some(turn) = refusal.turn() {
        told["turn_id"] = turn.into();
    }
    told
}

/// Answers with a turn once it has ended.
async fn whole(edge: &Arc<Edge>, question: &Question) -> Result<Response, Refusal> {
    let opened = stream::ask(edge, question, None).await?;
    let (session, turn) = (&question.session, question.turn);
    let mut gathering = Gathering::default();
    let take = |it: &broker::Stored| gathering.entry(it);
    let ending = answer::until_end(edge, opened, (session, turn), None, take).await?;
    let now = process::clock::now();
    let answer = gathering.finish((&session.id, turn), ending, now);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Answers with a turn as it comes.
async fn frames(edge: &Arc<Edge>, question: &Question) -> Result<Response, Refusal> {
    let opened = stream::ask(edge, question, None).await?;
    let dialect = Invoke::new(question.session.id.clone(), question.turn, process::clock::now);
    Ok(stream::of_turn(edge, opened, (question.turn, None), dialect))
}

/// The user that a path names.
type OfUser = Result<Path<String>, PathRejection>;
/// The user and the session that a path names.
type OfSession = Result<Path<(String, String)>, PathRejection>;

fn named_user(path: OfUser) -> Result<String, Refusal> {
    match path {
        Ok(Path(user)) => Ok(user),
        Err(_not_text) => Err(Refusal::field("user_id", "must be UTF-8")),
    }
}

fn named_session(path: OfSession) -> Result<(String, SessionId), Refusal> {
    match path {
        Ok(Path((user, id))) => Ok((user, session_id(&id)?)),
        Err(_not_text) => Err(Refusal::field("session_id", "and user_id must be UTF-8")),
    }
}

fn session_id(text: &str) -> Result<SessionId, Refusal> {
    text.parse().map_err(|why| Refusal::field("session_id", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_the_same_to_those_who_read_message_and_to_those_who_read_detail() {
        let told = refusal(&Refusal::field("query", "must not be empty"));
        assert_eq!(
            told.to_string(),
            r#"{"detail":"query must not be empty","message":"query must not be empty","status":"error","success":false}"#
        );
        let turn = "00000000-0000-7000-8000-000000000001";
        let stops = Refusal::new(crate::problem::Code::Draining, "later");
        assert_eq!(refusal(&stops.about(turn.parse().unwrap()))["turn_id"], turn);
    }
}
