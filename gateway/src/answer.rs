//! Waiting for a turn's end, for clients that take one JSON object.
//!
//! A turn that was erased with its session is `cancelled` with the error
//! `session_deleted` and no text. When this process drains, the answer is 503
//! with the turn's id: the turn goes on, and the same request with its
//! idempotency key gets its answer elsewhere.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use broker::{Followed, Stored};
use http::header;
use proto::{Ending, TurnId};

use crate::caller::Owned;
use crate::dialect::answer::{Answer, Gathering};
use crate::edge::Edge;
use crate::leaving::StopWhenLeft;
use crate::problem::{Code, Refusal};
use crate::stream::Opened;
use crate::turn;

/// Answers with a turn once it has ended.
pub(crate) async fn wait(
    edge: &Arc<Edge>,
    opened: Opened,
    asked: (&Owned, TurnId),
    leaving: Option<StopWhenLeft>,
) -> Result<Response, Refusal> {
    let answer = gather(edge, opened, asked, leaving).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Gathers a turn until it has ended.
pub(crate) async fn gather(
    edge: &Arc<Edge>,
    opened: Opened,
    (session, turn): (&Owned, TurnId),
    leaving: Option<StopWhenLeft>,
) -> Result<Answer, Refusal> {
    let mut gathering = Gathering::default();
    let take = |it: &Stored| gathering.entry(it);
    Ok(match until_end(edge, opened, (session, turn), leaving, take).await? {
        Some(ending) => gathering.finish(session, turn, ending),
        None => Gathering::erased(session, turn),
    })
}

/// Hands the turn's entries on, in order, until one of them ends it: how it
/// ended. `None` when it was erased with its session, and all that was heard of
/// it with it.
pub(crate) async fn until_end(
    edge: &Arc<Edge>,
    opened: Opened,
    (session, turn): (&Owned, TurnId),
    mut leaving: Option<StopWhenLeft>,
    mut entry: impl FnMut(&Stored) -> Option<Ending> + Send,
) -> Result<Option<Ending>, Refusal> {
    // Dropped before `leaving` looks for readers that are left.
    let mut opened = opened;
    let name = turn.to_string();
    let ended = session.ends().ended();
    tokio::pin!(ended);
    let came = loop {
        let followed = tokio::select! {
            biased;
            () = edge.life.draining() => break Err(draining(turn)),
            () = &mut ended => break Err(expired(turn)),
            followed = opened.follow.next() => followed,
        };
        match followed {
            Ok(Followed::Entry(stored)) if stored.entry.turn_id == name => {
                if let Some(ending) = entry(&stored) {
                    break Ok(Some(ending));
                }
            }
            Ok(Followed::Entry(stored)) if stored.entry.is_tombstone() => {
                match turn::is_erased(&edge.broker, session, turn, &stored).await {
                    Ok(true) => break Ok(None),
                    Ok(false) => {}
                    Err(error) => break Err(Refusal::from(error).about(turn)),
                }
            }
            Ok(Followed::Entry(_)) => {}
            Ok(Followed::Gap(_)) => break Err(lost(turn)),
            Err(error) => break Err(Refusal::from(error).about(turn)),
        }
    };
    if let Some(leaving) = &mut leaving {
        leaving.disarm();
    }
    came
}

fn draining(turn: TurnId) -> Refusal {
    let detail = "this server stops; the turn goes on, and can be followed or asked for elsewhere";
    Refusal::new(Code::Draining, detail).about(turn)
}

fn expired(turn: TurnId) -> Refusal {
    let detail = "the credential has ended; the turn goes on, and can be asked for with another";
    Refusal::new(Code::CredentialEnded, detail).about(turn)
}

fn lost(turn: TurnId) -> Refusal {
    let detail = "a part of the turn is no longer kept";
    Refusal::new(Code::TurnExpired, detail).about(turn)
}
