//! Asking: `POST /v1/sessions/{session}/turns`, and how every request that
//! starts a turn is answered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use broker::{Log, Sequence};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proto::Session;
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer;
use crate::caller::Caller;
use crate::dialect::answer::Answer;
use crate::dialect::native::Native;
use crate::document::words::{Event, Problem};
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract::{self, InSession};
use crate::leaving::StopWhenLeft;
use crate::mark::{Mark, position};
use crate::problem::{Code, Refusal};
use crate::question::{self, Body, Question};
use crate::stream;
use crate::submit::{Standing, submit_beside};
use crate::turn;

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// At once: the turn's id, and where to follow it.
    Receipt,
    /// As it comes.
    Events,
    /// When it is complete. Also what a client gets that takes anything.
    Whole,
}

/// How a client wants the answer to what it asks, and what it has of it.
#[derive(Debug)]
pub(crate) struct Wanted {
    form: Form,
    has: Option<Mark>,
}

/// That a question was accepted.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Receipt {
    session_id: String,
    pub(crate) turn_id: String,
    /// The turn comes after this.
    pub(crate) position: String,
}

/// Asks a question
///
/// `Accept: text/event-stream` gets the turn as it comes, until its end; JSON gets
/// it when it has ended; `Prefer: respond-async` gets a receipt at once.
#[utoipa::path(
    post,
    path = "/v1/sessions/{session}/turns",
    tag = "sessions",
    params(parameters::Session, parameters::Asking),
    request_body(content = Body, example = json!({"userId": "u1", "input": "What is Weir?"})),
    responses(
        (status = 200, description = "The turn", content(
            (Answer = "application/json"),
            (Event = "text/event-stream"),
        )),
        (status = 202, description = "The question is accepted", body = Receipt),
        (status = 404, description = "The session has no turn to be replaced", body = Problem,
         content_type = "application/problem+json"),
        (status = 406, description = "Neither form is acceptable", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "A turn is in progress, or the user has too many sessions",
         body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another question",
         body = Problem, content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn ask(
    State(edge): Shared,
    caller: Caller,
    InSession(id): InSession,
    headers: HeaderMap,
    extract::Json(body): extract::Json<Body>,
) -> Result<Response, Refusal> {
    let wanted = Wanted::of(&headers)?;
    let leaves = body.on_disconnect == question::OnDisconnect::Cancel;
    let session = caller.session(body.user_id.as_deref(), "userId", id)?;
    let question = Question::native(session, body, question::key(&headers)?)?;
    wanted.answer(&edge, &question, leaves).await
}

impl Wanted {
    /// As the headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        Ok(Self { form: form(headers)?, has: Mark::last_event_id(headers)? })
    }

    /// Submits the question and answers with its turn, which is stopped when its
    /// reader `leaves`, if so asked.
    pub(crate) async fn answer(
        self,
        edge: &Arc<Edge>,
        question: &Question,
        leaves: bool,
    ) -> Result<Response, Refusal> {
        if self.form == Form::Receipt {
            return receipt(edge, question).await;
        }
        let has = self.has.filter(|_| self.form == Form::Events);
        let opened = stream::ask(edge, question, has).await?;
        let turn = question.turn;
        let leaving = leaves.then(|| StopWhenLeft::new(edge, &question.session, turn));
        match self.form {
            Form::Whole => answer::wait(edge, opened, (&question.session, turn), leaving).await,
            Form::Events | Form::Receipt => {
                let dialect = Native::new(&question.session.id);
                Ok(stream::of_turn(edge, opened, (turn, leaving), dialect))
            }
        }
    }
}

async fn receipt(edge: &Arc<Edge>, question: &Question) -> Result<Response, Refusal> {
    let receipt = submit(edge, question).await?;
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::HeaderName::from_static("preference-applied"),
            HeaderValue::from_static("respond-async"),
        ),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(receipt)).into_response())
}

/// Submits a question, for those who follow its turn by other ways.
pub(crate) async fn submit(edge: &Arc<Edge>, question: &Question) -> Result<Receipt, Refusal> {
    let log = &edge.broker.log;
    let accepted = async {
        let (last, standing) = submit_beside(edge, question, log.last(&question.session)).await?;
        let begins = match &standing {
            Standing::Known(found) => Some(found.begins),
            Standing::New | Standing::Unfinished => turn::began(last.as_ref(), question.turn),
        };
        match begins {
            Some(begins) => before(log.as_ref(), &question.session, begins).await,
            None => Ok(last.map_or(Sequence::START, |it| it.sequence)),
        }
    };
    let doubt = |it: Refusal| it.in_doubt(question.turn, question.keyed);
    let after = edge.within(accepted).await.map_err(doubt)?;
    Ok(Receipt {
        session_id: question.session.id.to_string(),
        turn_id: question.turn.to_string(),
        position: position(log.epoch(), after).to_string(),
    })
}

/// The place of the session that a turn's first entry follows: a reader goes on
/// from there without a gap. The number before it is another session's.
async fn before(log: &dyn Log, session: &Session, begins: Sequence) -> Result<Sequence, Refusal> {
    let read = log.read(session, begins.before(), 1).await?;
    let first = read.first().filter(|it| it.sequence == begins);
    Ok(first.map_or(begins.before(), |it| Sequence(it.entry.follows)))
}

fn form(headers: &HeaderMap) -> Result<Form, Refusal> {
    if values(headers, "prefer").any(|it| it.eq_ignore_ascii_case("respond-async")) {
        return Ok(Form::Receipt);
    }
    if !headers.contains_key(header::ACCEPT) {
        return Ok(Form::Whole);
    }
    let weigh = |wanted: &[&str]| {
        let weights = values(headers, "accept").filter_map(|it| weight(it, wanted));
        weights.max().unwrap_or_default()
    };
    let events = weigh(&["text/event-stream", "text/*"]);
    let whole = weigh(&["application/json", "application/*", "*/*"]);
    match (events, whole) {
        (0, 0) => Err(Refusal::new(
            Code::NotAcceptable,
            "a turn comes as text/event-stream or application/json",
        )),
        (events, whole) if events >= whole => Ok(Form::Events),
        (_, _) => Ok(Form::Whole),
    }
}

/// The elements of a list that may stand in several header lines.
fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(',')).map(str::trim)
}

/// What an element of `Accept` gives to one of these types, in thousandths.
fn weight(element: &str, wanted: &[&str]) -> Option<u16> {
    let mut parts = element.split(';').map(str::trim);
    let kind = parts.next()?;
    if !wanted.iter().any(|it| it.eq_ignore_ascii_case(kind)) {
        return None;
    }
    let quality = parts.find_map(|it| it.strip_prefix("q=").or(it.strip_prefix("Q=")));
    let Some(quality) = quality else {
        return Some(1000);
    };
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    if whole == "1" {
        return Some(1000);
    }
    format!("{fraction:0<3}").get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_answer_is_the_clients_choice_and_json_by_default() {
        for (accept, expected) in [
            (None, Some(Form::Whole)),
            (Some("*/*"), Some(Form::Whole)),
            (Some("application/json"), Some(Form::Whole)),
            (Some("text/event-stream"), Some(Form::Events)),
            (Some("application/json, text/event-stream"), Some(Form::Events)),
            (Some("text/event-stream;q=0.5, application/json"), Some(Form::Whole)),
            (Some("text/event-stream, */*;q=0.1"), Some(Form::Events)),
            (Some("image/png"), None),
            (Some("application/json;q=0"), None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert("accept", accept.parse().unwrap());
            }
            assert_eq!(form(&headers).ok(), expected, "{accept:?}");
            headers.insert("prefer", "wait=5, respond-async".parse().unwrap());
            assert_eq!(form(&headers).ok(), Some(Form::Receipt));
        }
    }
}
