//! Who owns the tasks of a process and how they end: drain, then abort.
//!
//! A service that returns early, fails or panics drains the whole process: a
//! half-dead process is worse than none.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// Owner of every task of a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    died: Arc<Mutex<Option<Died>>>,
}

/// The service that ended the process, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{service}: {reason}")]
pub struct Died {
    /// The name given to [`Lifecycle::serve`].
    pub service: &'static str,
    /// What it said, in words.
    pub reason: String,
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything finished by itself.
    Drained,
    /// The deadline, or a second request, cut what was left.
    Aborted,
}

impl Lifecycle {
    /// An owner with no tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task that the process cannot do without. When it ends before the
    /// drain began, the process drains.
    pub fn serve<E: fmt::Display>(
        &self,
        service: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let life = self.clone();
        self.tasks.spawn(async move {
            let guard = Guard { life: &life, service, armed: true };
            let ended = tokio::select! {
                biased;
                () = life.abort.cancelled() => Ok(()),
                ended = task => ended,
            };
            guard.ended(ended.map_err(|error| error.to_string()));
        });
    }

    /// Runs a task that may end at any time. Aborting drops it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Asks every task to finish what it has and take no more.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Drops every task at its next await.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Ready once the drain has begun.
    pub fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.drain.cancelled()
    }

    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Waits for the drain to begin, then for every task to end, at most
    /// `grace` long; what is left is aborted.
    pub async fn wait(&self, grace: Duration) -> Result<Outcome, Died> {
        self.drain.cancelled().await;
        self.tasks.close();
        let outcome = tokio::select! {
            () = self.tasks.wait() => Outcome::Drained,
            () = self.abort.cancelled() => Outcome::Aborted,
            () = tokio::time::sleep(grace) => Outcome::Aborted,
        };
        self.abort.cancel();
        self.tasks.wait().await;
        let died = self.died.lock().unwrap_or_else(PoisonError::into_inner).clone();
        died.map_or(Ok(outcome), Err)
    }

    /// Drains at the first SIGINT or SIGTERM, aborts at the second.
    pub fn stop_on_signals(&self) {
        let life = self.clone();
        self.spawn(async move {
            tokio::select! {
                biased;
                // It must not hold a drain that began without it.
                () = life.draining() => return,
                () = signalled() => {}
            }
            tracing::info!("stopping; a second signal stops at once");
            life.drain();
        });
        let life = self.clone();
        // Not tracked: it must not hold the drain that it waits behind.
        #[expect(clippy::disallowed_methods, reason = "ends with the process")]
        tokio::spawn(async move {
            life.draining().await;
            signalled().await;
            life.abort();
        });
    }
}

/// Notices a service that ends, however it ends.
struct Guard<'a> {
    life: &'a Lifecycle,
    service: &'static str,
    armed: bool,
}

impl Guard<'_> {
    fn ended(mut self, ended: Result<(), String>) {
        self.armed = false;
        match ended {
            Ok(()) if self.life.is_draining() => {}
            Ok(()) => self.report("ended by itself".to_owned()),
            Err(reason) => self.report(reason),
        }
    }

    fn report(&self, reason: String) {
        let service = self.service;
        tracing::error!(service, reason, "a service died; the process drains");
        let mut died = self.life.died.lock().unwrap_or_else(PoisonError::into_inner);
        died.get_or_insert(Died { service, reason });
        self.life.drain();
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed && std::thread::panicking() {
            self.report("panicked".to_owned());
        }
    }
}

async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = signal(SignalKind::interrupt());
    let terminate = signal(SignalKind::terminate());
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        tracing::warn!("signals cannot be watched here");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_service_that_fails_drains_the_process_and_is_named() {
        let life = Lifecycle::new();
        life.serve("edge", async { Err("no port") });
        let died = life.wait(LONG).await.unwrap_err();
        assert_eq!(died, Died { service: "edge", reason: "no port".into() });
    }

    #[tokio::test]
    async fn a_service_that_panics_drains_the_process() {
        let life = Lifecycle::new();
        life.serve("edge", async {
            assert!(std::hint::black_box(false), "on purpose");
            Ok::<_, String>(())
        });
        assert_eq!(life.wait(LONG).await.unwrap_err().reason, "panicked");
    }

    #[tokio::test(start_paused = true)]
    async fn the_watch_for_signals_does_not_hold_the_drain_that_a_death_began() {
        let life = Lifecycle::new();
        life.stop_on_signals();
        life.serve("edge", async {
            tokio::task::yield_now().await;
            Err("no port")
        });
        let began = Instant::now();
        assert_eq!(life.wait(LONG).await.unwrap_err().service, "edge");
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_within_the_grace_is_aborted() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.drain();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Aborted));
    }

    #[tokio::test]
    async fn a_drained_process_waits_for_its_tasks() {
        let life = Lifecycle::new();
        let task = life.clone();
        life.spawn(async move { task.draining().await });
        life.drain();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Drained));
    }
}
