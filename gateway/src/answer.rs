//! Waiting for a turn's end, for clients that take one JSON object.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use broker::Followed;
use http::header;
use proto::{Session, TurnId};

use crate::cancel::OnDisconnect;
use crate::dialect::answer::Gathering;
use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::stream::Opened;

/// Gathers a turn until it has ended.
pub(crate) async fn wait(
    edge: &Arc<Edge>,
    mut opened: Opened,
    (session, turn): (&Session, TurnId),
    mut leaving: Option<OnDisconnect>,
) -> Result<Response, Refusal> {
    let name = turn.to_string();
    let mut gathering = Gathering::default();
    let ended = loop {
        let followed = tokio::select! {
            biased;
            () = edge.life.draining() => break Err(draining(turn)),
            followed = opened.follow.next() => followed,
        };
        match followed {
            Ok(Followed::Entry(stored)) if stored.entry.turn_id == name => {
                if let Some(ending) = gathering.entry(&stored) {
                    break Ok(ending);
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
    let answer = gathering.finish(session, turn, ended?);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn draining(turn: TurnId) -> Refusal {
    let detail = "this server stops; the turn goes on and can be followed elsewhere";
    Refusal::new(Code::Unavailable, detail).about(turn)
}

fn lost(turn: TurnId) -> Refusal {
    let detail = "a part of the turn is no longer kept";
    Refusal::new(Code::NotFound, detail).about(turn)
}
