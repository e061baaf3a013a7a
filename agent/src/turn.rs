//! One turn from its start to its end, as a task of the process.
//!
//! Decides what stops a turn: its own end, a cancel, or nobody listening. A
//! turn that nobody asked to stop is never told to have been cancelled.

use std::sync::Arc;

use model::Failure;
use process::Lifecycle;
use proto::ask_event::Kind;
use proto::{Cancelled, code};

use crate::engine::{Engine, Stop};
use crate::metrics::Running;
use crate::registry::Seat;
use crate::request::Question;
use crate::trace;

/// Runs the turn until it has ended. Without any reader for the grace it stops
/// without a word and is unknown again: asked once more, it runs anew. In a
/// drain nobody can come back, and the grace is over at once.
pub(crate) async fn run(engine: Arc<Engine>, question: Question, seat: Seat, life: Lifecycle) {
    let turn = question.key.turn;
    let mut measured = Running::begin();
    let deserted = async {
        life.draining().await;
        seat.unread().await;
    };
    tokio::select! {
        biased;
        () = seat.abandoned() => tracing::info!(%turn, "abandoned"),
        () = deserted => tracing::info!(%turn, "abandoned in the drain"),
        end = Box::pin(complete(&engine, &question, &seat)) => {
            tracing::debug!(%turn, ?end, "ended");
            trace::ended(end.as_ref());
            measured.ended(end.as_ref());
            if let Some(end) = end {
                seat.writer.end(end);
            } else {
                tracing::info!(%turn, "superseded");
            }
        }
    }
}

/// How the turn ends; `None` when it ends without a word.
async fn complete(engine: &Engine, question: &Question, seat: &Seat) -> Option<Kind> {
    let cancelled = || Kind::Cancelled(Cancelled {});
    let begun = tokio::select! {
        biased;
        () = seat.cancel.cancelled() => return unread(seat, cancelled()),
        begun = engine.begin(question, &seat.writer) => begun,
    };
    let mut turn = match begun {
        Ok(turn) => turn,
        Err(Stop::Failed(failure)) if is_final(&failure) => {
            return Some(Kind::Failed(failure.into()));
        }
        Err(Stop::Failed(failure)) => return unread(seat, Kind::Failed(failure.into())),
        Err(Stop::Superseded) => return None,
    };
    let ended = tokio::select! {
        biased;
        () = seat.cancel.cancelled() => Ok(cancelled()),
        ended = engine.answer(&mut turn) => ended,
    };
    let end = match ended {
        Ok(end) => end,
        Err(Stop::Failed(failure)) => Kind::Failed(failure.into()),
        Err(Stop::Superseded) => return None,
    };
    engine.close(&turn, end).await
}

/// Whether a turn that could not begin never will.
fn is_final(failure: &Failure) -> bool {
    [code::TURN_OVER, code::UNKNOWN_TURN].contains(&failure.code)
}

/// The end of a turn whose past was not read. Who has something of it keeps it
/// and may ask again: an end now would take that back.
fn unread(seat: &Seat, end: Kind) -> Option<Kind> {
    (!seat.shown).then_some(end)
}
