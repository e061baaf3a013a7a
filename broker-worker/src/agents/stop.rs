//! Tells agents to stop a turn, again and again until they answer: one that was
//! held or out of reach would else go on with it when it is back.
//!
//! Tells nobody again of a turn whose end is not stored: it may begin anew under
//! another attempt. Goes on neither without end nor for any number of turns.

#[cfg(test)]
mod tests;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use process::Lifecycle;
use proto::{CancelRequest, Session};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Request, Status};
use tracing::Instrument as _;

use super::{Agent, Agents};
use crate::call::is_final;
use crate::trace;

/// How long an agent may take to answer when it is told.
const ANSWER: Duration = Duration::from_secs(1);
/// The first and the longest pause before it is told again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));
/// For how long it is told. An agent that is only out of reach needs 25 s to
/// notice that (15 s until it pings, 10 s for the answer), and goes on for 30 s
/// without a caller: after both it has given the turn up by itself.
const LASTS: Duration = Duration::from_mins(1);
/// How much of that is left once the process drains.
const DRAINING: Duration = Duration::from_secs(5);
/// Turns of which one agent is told at a time; of more it is told once.
pub(super) const AT_ONCE: usize = 1024;

/// Agents that were told to stop a turn that is about to end. When this is
/// dropped without a word, none is told again.
#[derive(Debug)]
#[must_use = "agents that did not answer are told again once the end is stored"]
pub(crate) struct Stopping {
    stored: watch::Sender<bool>,
}

impl Stopping {
    /// The turn's end is stored: no attempt begins it anew.
    pub(crate) fn stored(self) {
        self.stored.send_replace(true);
    }
}

impl Agents {
    /// Tells every agent to stop the turn, and waits a moment for the word of
    /// the one that runs it: `at`, or else the one that most likely does.
    pub(crate) async fn cancel(
        &self,
        session: &Session,
        turn: &str,
        at: Option<Agent>,
    ) -> Stopping {
        let (stored, end) = watch::channel(false);
        if let Some(at) = at.or_else(|| self.choose(session).cloned()) {
            let request = Arc::new(stop(session, turn));
            for other in self.all.iter().filter(|it| it.name != at.name) {
                let (agent, asked) = (other.clone(), Arc::clone(&request));
                let told = async move { agent.told(&asked).await }.in_current_span();
                self.insist((other.clone(), Arc::clone(&request)), told, end.clone());
            }
            if !at.told(&request).await {
                tracing::warn!(?session, turn.id = turn, "the agent did not confirm a cancel");
                self.insist((at, request), ready(false), end);
            }
        }
        Stopping { stored }
    }

    /// Tells an agent to stop a turn whose end is stored, and waits for nothing.
    pub(crate) fn dismiss(&self, session: &Session, turn: &str, at: Agent) {
        let request = Arc::new(stop(session, turn));
        let (agent, asked) = (at.clone(), Arc::clone(&request));
        let told = async move { agent.told(&asked).await }.in_current_span();
        self.insist((at, request), told, watch::channel(true).1);
    }

    /// Tells an agent again that did not answer, once the end is stored.
    fn insist(
        &self,
        (agent, request): (Agent, Arc<CancelRequest>),
        told: impl Future<Output = bool> + Send + 'static,
        mut end: watch::Receiver<bool>,
    ) {
        let life = self.life.clone();
        self.life.spawn_as("cancels", async move {
            if !told.await && end.wait_for(|stored| *stored).await.is_ok() {
                agent.told_again(&request, &life).await;
            }
        });
    }
}

impl Agent {
    /// Tells it to stop a turn; whether it answered in time.
    async fn told(&self, request: &CancelRequest) -> bool {
        let span = trace::call("Cancel");
        let asked = trace::carrying(&span, request.clone());
        let answered = timeout(ANSWER, self.asked(asked)).instrument(span.clone()).await;
        if let Ok(answered) = &answered {
            trace::ended(&span, answered.as_ref().err());
        }
        is_answer(answered.ok(), request)
    }

    /// Tells it until it answers or the time is over. These are no hops of the
    /// turn's trace: they would outlive its attempt.
    async fn told_again(&self, request: &CancelRequest, life: &Lifecycle) {
        let turn = request.turn_id.as_str();
        let Ok(_counted) = self.insisting.try_acquire() else {
            tracing::warn!(turn.id = turn, "too many cancels are unconfirmed; not told again");
            return;
        };
        let drained = async {
            life.draining().await;
            sleep(DRAINING).await;
        };
        let began = Instant::now();
        tokio::select! {
            biased;
            tries = self.until_answered(request) => {
                let after = began.elapsed();
                tracing::info!(turn.id = turn, tries, ?after, "the agent confirmed a cancel late");
            }
            () = sleep(LASTS) => tracing::warn!(turn.id = turn, "a cancel was never confirmed"),
            () = drained => {
                tracing::warn!(turn.id = turn, "a cancel was not confirmed before the drain");
            }
        }
    }

    /// How often it was told until it answered.
    async fn until_answered(&self, request: &CancelRequest) -> u32 {
        let (mut pause, mut tries) = (PAUSES.0, 0);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            tries += 1;
            let asked = self.asked(Request::new(request.clone()));
            if is_answer(timeout(ANSWER, asked).await.ok(), request) {
                return tries;
            }
        }
    }

    async fn asked(&self, request: Request<CancelRequest>) -> Result<(), Status> {
        let mut client = self.client.clone();
        client.cancel(request).await.map(drop)
    }
}

/// Whether telling it again cannot change what came of it.
fn is_answer(answered: Option<Result<(), Status>>, request: &CancelRequest) -> bool {
    match answered {
        Some(Ok(())) => true,
        Some(Err(status)) if is_final(&status) => {
            tracing::warn!(turn.id = request.turn_id, %status, "an agent refuses a cancel");
            true
        }
        Some(Err(_)) | None => false,
    }
}

fn stop(session: &Session, turn: &str) -> CancelRequest {
    CancelRequest {
        user_id: session.user.to_string(),
        session_id: session.id.to_string(),
        turn_id: turn.to_owned(),
    }
}
