//! `GET /agent/status/{user_id}/{session_id}`.
//!
//! `status` is `not_found`, `running` (also while the question waits),
//! `interrupted`, `completed`, `error`, or `idle` where nothing of this can be
//! said: when calls can no longer be decided, or the last turn has left the log
//! without a word. `last_response` is what `/agent/invoke` answers, or would have
//! answered, with the last turn; none while one runs.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::{Pending, Stored};
use http::header;
use proto::Timestamp;
use proto::{Ending, Session, SessionRecord, Status};
use serde::Serialize;
use utoipa::ToSchema;

use super::{OfSession, named_session};
use crate::caller::{Caller, Owned};
use crate::decisions::open;
use crate::dialect::invoke::{Answer, Gathering, Review, Said};
use crate::document::{parameters, refusals};
use crate::edge::{Edge, Shared};
use crate::problem::Refusal;
use crate::standing::Standing;
use crate::{entries, record, transcript, turn};

/// Everything there is to say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AgentStatus)]
struct Shown {
    user_id: String,
    session_id: String,
    status: &'static str,
    message: Option<String>,
    last_query: Option<String>,
    last_updated: Option<f64>,
    last_response: Option<Answer>,
}

/// What is known of a session.
struct Known {
    pending: Vec<Pending>,
    last: Option<Stored>,
    record: Option<SessionRecord>,
}

/// Looks at an agent's session
#[utoipa::path(
    get,
    path = "/agent/status/{user_id}/{session_id}",
    tag = "compatible",
    params(parameters::AgentUser, parameters::AgentSession),
    responses((status = 200, description = "How it stands", body = Shown), refusals::Common),
)]
pub(crate) async fn status(
    State(edge): Shared,
    caller: Caller,
    path: OfSession,
) -> Result<impl IntoResponse, Refusal> {
    let (user, id) = named_session(path)?;
    let session = caller.session(Some(&user), "user_id", id)?;
    let shown = edge.within(show(&edge, &session)).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(shown)))
}

async fn show(edge: &Edge, session: &Owned) -> Result<Shown, Refusal> {
    let known = look(edge, session).await?;
    let turns: Vec<_> = known.pending.iter().map(|it| it.turn).collect();
    let state = known.last.as_ref().and_then(|it| it.entry.state.as_ref());
    let standing = Standing::of(state, &turns, known.record.as_ref());
    let mut shown = Shown {
        user_id: session.user.to_string(),
        session_id: session.id.to_string(),
        status: "running",
        message: None,
        last_query: known.query(&standing),
        last_updated: known.updated(),
        last_response: None,
    };
    match standing.status {
        "running" => {}
        "queued" => shown.message = Some("the question waits for its turn".to_owned()),
        "not_found" => {
            shown.status = "not_found";
            shown.message = Some(format!("there is no session {}", session.id));
        }
        _ended => ended(edge, session, &known, &mut shown).await?,
    }
    Ok(shown)
}

async fn look(edge: &Edge, session: &Session) -> Result<Known, Refusal> {
    // In this order: a job that is gone has left its end in the log.
    let pending = edge.broker.queue.pending(session).await?;
    let last = edge.broker.log.last(session).await?;
    let erased = last.as_ref().is_some_and(|it| it.entry.is_tombstone());
    let record = if erased { None } else { record::of(edge, session).await?.map(|it| it.0) };
    Ok(Known { pending, last: last.filter(|_| !erased), record })
}

impl Known {
    /// The last question: of the turn that waits or runs, or else its beginning
    /// as it is kept.
    fn query(&self, standing: &Standing) -> Option<String> {
        let named = |it: &&Pending| Some(it.turn.to_string()) == standing.turn_id;
        let job = self.pending.iter().find(named).and_then(|it| it.job.messages.last());
        let kept = || self.record.as_ref().map(|it| it.question.clone());
        job.map(|it| it.content.clone()).or_else(kept).filter(|it| !it.is_empty())
    }

    fn updated(&self) -> Option<f64> {
        let kept = self.record.as_ref().and_then(|it| it.updated.as_ref());
        let asked = self.pending.iter().filter_map(|it| it.job.submitted.as_ref());
        let seconds = kept.into_iter().chain(asked).map(seconds);
        seconds.max_by(f64::total_cmp)
    }
}

/// Seconds since 1970.
fn seconds(at: &Timestamp) -> f64 {
    let whole = u64::try_from(at.seconds).unwrap_or_default();
    let nanos = u32::try_from(at.nanos).unwrap_or_default();
    std::time::Duration::new(whole, nanos.min(999_999_999)).as_secs_f64()
}

/// Tells how the last turn ended, and with what.
async fn ended(
    edge: &Edge,
    session: &Owned,
    known: &Known,
    shown: &mut Shown,
) -> Result<(), Refusal> {
    let Some(mut answer) = answer(edge, session, known, shown.last_updated).await? else {
        shown.status = "idle";
        return Ok(());
    };
    shown.status = answer.status;
    shown.message.clone_from(&answer.message);
    // A turn that was to go on with the calls, and failed, leaves them waiting.
    if answer.status != "completed" {
        let open = open(edge, session).await?;
        answer.interrupt_data = open.and_then(|it| Review::of(&it.pending()));
        if answer.interrupt_data.is_some() {
            shown.status = "interrupted";
        } else if answer.status == "interrupted" {
            shown.status = "idle";
            shown.message = Some("the calls that waited can no longer be decided".to_owned());
        }
    }
    let question = answer.result.as_ref().and_then(Said::question);
    shown.last_query = question.or(shown.last_query.take());
    shown.last_response = Some(answer);
    Ok(())
}

/// What the last turn came to: as the log has it, or as its record says.
async fn answer(
    edge: &Edge,
    session: &Session,
    known: &Known,
    at: Option<f64>,
) -> Result<Option<Answer>, Refusal> {
    let state = known.last.as_ref().and_then(|it| Some((it, it.entry.state.as_ref()?)));
    let told = state.filter(|it| it.1.status() != Status::Running);
    let mut gathering = Gathering::default();
    let (turn, ending) = if let Some((last, state)) = told {
        let take = |stored: &Stored| {
            gathering.entry(stored);
        };
        entries::of_turn(edge.broker.log.as_ref(), session, last, take).await?;
        (turn::turn_of(state), state.ending())
    } else if let Some(record) = &known.record {
        let said = transcript::kept(edge, session, &record.turn_id).await?;
        gathering.kept(record, said);
        (record.turn_id.parse().ok(), record.ending())
    } else {
        return Ok(None);
    };
    let Some(turn) = turn.filter(|_| ending != Ending::Unspecified) else { return Ok(None) };
    let now = process::clock::now();
    let answer = gathering.finish((&session.id, turn), Some(ending), now);
    Ok(Some(Answer { timestamp: at.unwrap_or(answer.timestamp), ..answer }))
}
