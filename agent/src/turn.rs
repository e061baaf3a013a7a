//! One turn from its start to its end, as a task of the process.
//!
//! Decides what stops a turn: its own end, a cancel, or nobody listening. A
//! turn that nobody asked to stop is never told to have been cancelled.

use std::sync::Arc;

use process::Lifecycle;
use proto::Cancelled;
use proto::ask_event::Kind;

use crate::engine::Engine;
use crate::registry::Seat;
use crate::request::Question;

/// Runs the turn until it has ended. Without any reader for the grace it stops
/// without a word and is unknown again: asked once more, it runs anew. In a
/// drain nobody can come back, and the grace is over at once.
pub(crate) async fn run(engine: Arc<Engine>, question: Question, seat: Seat, life: Lifecycle) {
    let turn = question.key.turn;
    let deserted = async {
        life.draining().await;
        seat.unread().await;
    };
    tokio::select! {
        biased;
        () = seat.stop.forget.cancelled() => tracing::debug!(%turn, "superseded"),
        () = seat.abandoned() => tracing::info!(%turn, "abandoned"),
        () = deserted => tracing::info!(%turn, "abandoned in the drain"),
        () = complete(&engine, &question, &seat) => {}
    }
}

async fn complete(engine: &Engine, question: &Question, seat: &Seat) {
    let cancelled = || Kind::Cancelled(Cancelled {});
    let past = tokio::select! {
        biased;
        () = seat.stop.cancel.cancelled() => return seat.writer.end(cancelled()),
        past = engine.past(question) => past,
    };
    let past = match past {
        Ok(past) => past,
        Err(failure) => return seat.writer.end(Kind::Failed(failure.into())),
    };
    let end = tokio::select! {
        biased;
        () = seat.stop.cancel.cancelled() => cancelled(),
        end = engine.answer(question, &past, &seat.writer) => end,
    };
    let answer = seat.writer.answer();
    let end = engine.remember(question, &past, answer, end).await;
    tracing::debug!(turn = %question.key.turn, end = ?end, "ended");
    seat.writer.end(end);
}
