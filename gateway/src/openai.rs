//! The contract of OpenAI's clients: `POST /v1/chat/completions`.
//!
//! A request names its session with the header `x-session-id`; then its earlier
//! messages count only in a session that has none. Without the header the
//! messages are the whole context, the session is made for this one question
//! (`passing.rs`), and a client that leaves stops the turn, unless an idempotency
//! key says that it will be asked for again.
//!
//! The clients ask again by themselves when an answer is late, lost or an error,
//! and name no key: `x-should-retry`, which they obey, says no wherever that
//! would ask something twice.

pub(crate) mod models;
mod passing;
mod refusal;
mod request;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use proto::{Decision, Job, Resume, SessionId};

use crate::answer;
use crate::caller::{Caller, Owned};
use crate::decisions;
use crate::dialect::openai::{Chunks, Head, completion, failure};
use crate::document::openai::Completion;
use crate::document::words::{Event, Problem};
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::extract;
use crate::leaving::StopWhenLeft;
use crate::problem::Refusal;
use crate::question::{Question, key};
use crate::stream::{self, Opened};

pub(crate) use models::{Agent, names, offered};
use passing::Passing;
pub(crate) use passing::is_passing;
pub(crate) use passing::may_ask;
pub(crate) use refusal::{Fault, shape};
use request::{Asked, STANDARD};

/// Who asks when nobody is named and nobody must be.
const USER: &str = "openai";
/// What the clients obey.
const RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How a request is to be answered.
struct Asking {
    edge: Arc<Edge>,
    question: Question,
    head: Head,
    /// Whether the session is for this question alone.
    passing: bool,
}

/// Completes a chat
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "openai",
    params(parameters::OpenAi),
    request_body(content = request::Body, example = json!({
        "model": "weir", "messages": [{"role": "user", "content": "What is Weir?"}],
    })),
    responses(
        (status = 200, description = "The answer", content(
            (Completion = "application/json"),
            (Event = "text/event-stream"),
        )),
        (status = 404, description = "No such model", body = Problem,
         content_type = "application/problem+json"),
        (status = 409, description = "The calls are decided already, or the user has too many sessions", body = Problem,
         content_type = "application/problem+json"),
        (status = 410, description = "A part of the turn is no longer kept", body = Problem,
         content_type = "application/problem+json"),
        (status = 422, description = "The Idempotency-Key was used for another request", body = Problem,
         content_type = "application/problem+json"),
        (status = 500, description = "The agent failed", body = Problem,
         content_type = "application/problem+json"),
        (status = 504, description = "The model was silent for too long", body = Problem,
         content_type = "application/problem+json"),
        refusals::Common,
        refusals::Body,
    ),
)]
pub(crate) async fn complete(
    State(edge): Shared,
    caller: Caller,
    headers: HeaderMap,
    extract::Json(body): extract::Json<request::Body>,
) -> Result<Response, Refusal> {
    let key = key(&headers)?;
    let (id, passing) = passing::session(&headers, key)?;
    let (streamed, named) = (body.stream == Some(true), body.user.clone());
    let asked = body.read()?;
    if passing && !asked.decisions.is_empty() {
        let why = "must end with one of role user: calls wait for answers in a session, which the \
                   header x-session-id names";
        return Err(Refusal::field("messages", why));
    }
    let session = session(&caller, named.as_deref(), id)?;
    edge.within(models::check(&edge, &asked.model)).await?;
    let usage = asked.usage;
    let asking = Asking::new(&edge, session, &asked, (key, passing)).await?;
    let may_repeat = passing || key.is_some();
    let answered = if streamed { asking.stream(usage).await } else { asking.whole().await };
    Ok(answered.unwrap_or_else(|refusal| {
        let unsure = refusal.status().is_server_error() && !may_repeat;
        let mut response = refusal.into_response();
        if unsure {
            response.headers_mut().insert(RETRY, HeaderValue::from_static("false"));
        }
        response
    }))
}

/// The session of whom the request names; of one user for all while it need not
/// name anybody.
fn session(caller: &Caller, named: Option<&str>, id: SessionId) -> Result<Owned, Refusal> {
    let named = named.filter(|it| !it.is_empty());
    match caller.session(named, "user", id.clone()) {
        Err(refusal) if named.is_none() && refusal.status() == http::StatusCode::BAD_REQUEST => {
            caller.session(Some(USER), "user", id)
        }
        known => known,
    }
}

impl Asking {
    async fn new(
        edge: &Arc<Edge>,
        session: Owned,
        asked: &Asked,
        (key, passing): (Option<&str>, bool),
    ) -> Result<Self, Refusal> {
        let model = if asked.model.is_empty() { STANDARD } else { &asked.model }.to_owned();
        let question = if asked.decisions.is_empty() {
            question(session, asked, key)
        } else {
            deciding(edge, session, asked, key).await?
        };
        let question = Question { made: passing, ..question };
        let now = process::clock::now().as_secs();
        let head = Head::new(&question.session.id, question.turn, &model, now);
        Ok(Self { edge: Arc::clone(edge), question, head, passing })
    }

    /// Asks. What is to become of the turn and its session when the client leaves
    /// is settled first: it may leave while the question is being accepted.
    async fn ask(&self) -> Result<(Opened, Option<StopWhenLeft>, Option<Passing>), Refusal> {
        let (mut leaving, mut passing) = self.after();
        match stream::ask(&self.edge, &self.question, None).await {
            Ok(opened) => Ok((opened, leaving, passing)),
            Err(refusal) => {
                if refusal.status().is_client_error() {
                    leaving.iter_mut().for_each(StopWhenLeft::disarm);
                    passing.iter_mut().for_each(Passing::disarm);
                }
                Err(refusal)
            }
        }
    }

    /// What becomes of the turn when its reader leaves, and of its session after
    /// it.
    fn after(&self) -> (Option<StopWhenLeft>, Option<Passing>) {
        let (session, turn) = (&self.question.session, self.question.turn);
        let alone = self.passing && !self.question.keyed;
        let leaving = alone.then(|| StopWhenLeft::new(&self.edge, session, turn));
        (leaving, alone.then(|| Passing::new(&self.edge, session, turn)))
    }

    async fn stream(self, usage: bool) -> Result<Response, Refusal> {
        let (opened, leaving, passing) = self.ask().await?;
        let dialect = Chunks::new(self.head, usage);
        let whole = (self.question.turn, leaving);
        let response = stream::of_turn(&self.edge, opened, whole, dialect);
        let Some(passing) = passing else { return Ok(response) };
        Ok(response.map(|body| keep(body, passing)))
    }

    async fn whole(self) -> Result<Response, Refusal> {
        let (opened, leaving, _passing) = self.ask().await?;
        let asked = (&self.question.session, self.question.turn);
        let answer = answer::gather(&self.edge, opened, asked, leaving).await?;
        let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        let Some(failed) = &answer.error else {
            return Ok((no_store, Json(completion(&self.head, &answer))).into_response());
        };
        let (status, told) = failure(failed);
        // Under the same key it would be the same failure.
        let again = failed.retryable && self.passing && !self.question.keyed;
        let again = HeaderValue::from_static(if again { "true" } else { "false" });
        Ok((status, no_store, [(RETRY, again)], Json(told)).into_response())
    }
}

/// Something that lasts as long as a body.
fn keep(body: Body, kept: Passing) -> Body {
    use futures::StreamExt as _;
    let chunks = body.into_data_stream().map(move |it| {
        let _kept = &kept;
        it
    });
    Body::from_stream(chunks)
}

fn question(session: Owned, asked: &Asked, key: Option<&str>) -> Question {
    let job = Job {
        messages: asked.messages.clone(),
        system: asked.system.clone(),
        model: asked.model.clone(),
        metadata: asked.metadata.clone().into_iter().collect(),
        ..Job::default()
    };
    Question::read(session, job, key, asked)
}

/// The messages of tools at the end answer calls that wait in the session.
async fn deciding(
    edge: &Arc<Edge>,
    session: Owned,
    asked: &Asked,
    key: Option<&str>,
) -> Result<Question, Refusal> {
    let present = async { Ok(decisions::present(edge, &session).await?.unwrap_or_default()) };
    let present = edge.within(present).await?;
    let hash = |call: &str| {
        let found = present.calls.iter().find(|it| it.call_id == call);
        found.map(|it| it.arguments_hash.clone())
    };
    let decide = |it: &request::Decided| Decision {
        call_id: it.call.clone(),
        // Of no call, where none waits any more: that is found below.
        arguments_hash: hash(&it.call).unwrap_or_else(|| "0".repeat(64)),
        r#type: it.kind.clone(),
        arguments: it.arguments.clone(),
        message: it.message.clone(),
    };
    let resume = Resume {
        turn_id: present
            .turn_ids
            .last()
            .cloned()
            .unwrap_or_else(|| proto::TurnId::new().to_string()),
        decisions: asked.decisions.iter().map(decide).collect(),
    };
    if let Some((field, why)) = resume.check().into_iter().next() {
        return Err(Refusal::field(
            "messages",
            format!("must end with answers to calls: {field} {why}"),
        ));
    }
    let metadata = asked.metadata.clone().into_iter().collect();
    let job = Job { resume: Some(resume), metadata, ..Job::default() };
    let question = Question::read(session, job, key, asked);
    edge.within(decisions::check(edge, &question)).await?;
    Ok(question)
}
