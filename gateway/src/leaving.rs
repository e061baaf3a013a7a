//! What becomes of a turn whose reader goes away, where that was asked for. Stops
//! nothing that has ended, and nothing while this process drains: then it is we
//! who leave.

use std::sync::Arc;

use proto::{Session, TurnId};

use crate::cancel::request;
use crate::edge::Edge;

/// Stops a turn some time after its reader has gone, unless it has ended by
/// then, or somebody reads it through this gateway: whoever came back.
#[derive(Debug)]
pub(crate) struct StopWhenLeft {
    edge: Arc<Edge>,
    session: Session,
    turn: TurnId,
    armed: bool,
}

impl StopWhenLeft {
    pub(crate) fn new(edge: &Arc<Edge>, session: &Session, turn: TurnId) -> Self {
        Self { edge: Arc::clone(edge), session: session.clone(), turn, armed: true }
    }

    /// The reader got all there is, or it is we who leave.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }
}

impl Drop for StopWhenLeft {
    fn drop(&mut self) {
        if !self.armed || self.edge.life.is_draining() {
            return;
        }
        let (edge, session, turn) = (Arc::clone(&self.edge), self.session.clone(), self.turn);
        self.edge.life.spawn(async move {
            tokio::time::sleep(edge.config.disconnect_grace).await;
            if edge.readers.has(&turn) {
                return;
            }
            if let Err(refusal) = request(&edge, &session, Some(turn)).await {
                tracing::warn!(?session, %turn, ?refusal, "a turn without a reader goes on");
            }
        });
    }
}
