//! Who owns the tasks of a process and how they end: drain, then abort.
//!
//! A service that returns early, fails or panics drains the whole process: a
//! half-dead process is worse than none. What a drain waits for is said.

mod signals;
mod tally;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

use tally::Tally;

/// How often a drain says what it waits for.
const REPORT: Duration = Duration::from_secs(5);
/// How long tasks may take to notice that they were aborted.
const DROPPED: Duration = Duration::from_secs(1);

/// Owner of every task of a process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    drain: CancellationToken,
    abort: CancellationToken,
    tasks: TaskTracker,
    tally: Tally,
    fate: Arc<Fate>,
    behind: Arc<OnceLock<Lifecycle>>,
    /// Whom a death drains, where it is another than this one.
    front: Option<CancellationToken>,
}

/// What is known about the end of the process.
#[derive(Debug, Default)]
struct Fate {
    died: Mutex<Option<Died>>,
    /// The signal that asked to stop at once.
    signal: OnceLock<i32>,
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
    /// The grace was over; what was left was aborted.
    Overdue,
    /// Somebody asked to stop at once: with the second signal of this number,
    /// or with none, by [`Lifecycle::abort`].
    Aborted(Option<i32>),
}

impl Lifecycle {
    /// An owner with no tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An owner for what the tasks of this one need to finish: its drain begins
    /// when all of theirs have ended, within the same grace. A death drains
    /// both. There is one; later calls share it.
    #[must_use]
    pub fn behind(&self) -> Self {
        let behind = self.behind.get_or_init(|| Self {
            abort: self.abort.clone(),
            fate: Arc::clone(&self.fate),
            front: Some(self.drain.clone()),
            ..Self::default()
        });
        behind.clone()
    }

    /// Runs a task that the process cannot do without. When it ends before the
    /// drain began, the process drains.
    pub fn serve<E: fmt::Display>(
        &self,
        service: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let life = self.clone();
        let counted = self.tally.service(service);
        self.tasks.spawn(async move {
            let _counted = counted;
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
        self.spawn_as("tasks", task);
    }

    /// The same for a task of a kind, in the plural, by which a drain says that
    /// it waits for it: `turns`, `connections`.
    pub fn spawn_as(&self, kind: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        let counted = self.tally.task(kind);
        self.tasks.spawn(async move {
            let _counted = counted;
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
        let outcome = tokio::select! {
            biased;
            // First: what was aborted has ended, too.
            () = self.abort.cancelled() => Outcome::Aborted(self.fate.signal.get().copied()),
            () = self.ended() => Outcome::Drained,
            () = sleep_until(Instant::now() + grace) => Outcome::Overdue,
            never = self.report() => match never {},
        };
        self.cut(&outcome).await;
        let died = self.fate.died.lock().unwrap_or_else(PoisonError::into_inner).clone();
        died.map_or(Ok(outcome), Err)
    }

    /// Ready once all tasks have ended, then those behind them.
    async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(behind) = self.behind.get() {
            behind.drain();
            Box::pin(behind.ended()).await;
        }
    }

    /// What has not ended, in words; empty when everything has.
    fn left(&self) -> String {
        let behind = self.behind.get().map(|it| it.tally.to_string());
        let all = [self.tally.to_string(), behind.unwrap_or_default()];
        all.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Says what is waited for, now and then, for ever.
    async fn report(&self) -> Infallible {
        loop {
            let left = self.left();
            if !left.is_empty() {
                tracing::info!(left, "draining");
            }
            tokio::time::sleep(REPORT).await;
        }
    }

    /// Aborts what has not ended, and waits a moment for it to be dropped.
    async fn cut(&self, outcome: &Outcome) {
        let left = self.left();
        match outcome {
            Outcome::Drained => {}
            Outcome::Overdue => tracing::warn!(left, "the grace is over; aborting what is left"),
            Outcome::Aborted(_) => tracing::warn!(left, "told to stop at once; aborting"),
        }
        self.abort.cancel();
        if timeout(DROPPED, self.ended()).await.is_err() {
            tracing::warn!(left = self.left(), "does not stop; left behind");
        }
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
            Ok(()) if self.life.is_draining() || self.life.abort.is_cancelled() => {}
            Ok(()) => self.report("ended by itself".to_owned()),
            Err(reason) => self.report(reason),
        }
    }

    fn report(&self, reason: String) {
        let service = self.service;
        tracing::error!(service, reason, "a service died; the process drains");
        let mut died = self.life.fate.died.lock().unwrap_or_else(PoisonError::into_inner);
        died.get_or_insert(Died { service, reason });
        self.life.front.as_ref().unwrap_or(&self.life.drain).cancel();
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.armed && std::thread::panicking() {
            self.report("panicked".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const LONG: Duration = Duration::from_hours(1);

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
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Overdue));
    }

    #[tokio::test]
    async fn a_drained_process_waits_for_its_tasks() {
        let life = Lifecycle::new();
        let task = life.clone();
        life.spawn(async move { task.draining().await });
        life.drain();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Drained));
    }

    #[tokio::test]
    async fn asking_to_stop_at_once_does_not_wait() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.abort();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Aborted(None)));
    }

    #[tokio::test]
    async fn what_was_aborted_is_not_drained_however_fast_it_ends() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.abort();
        while !life.left().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Aborted(None)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_drains_when_all_before_it_has_ended() {
        let life = Lifecycle::new();
        let behind = life.behind();
        let (front, back) = (life.clone(), behind.clone());
        life.spawn(async move {
            front.draining().await;
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert!(!back.is_draining());
        });
        let back = behind.clone();
        behind.serve("mind", async move {
            back.draining().await;
            Ok::<_, String>(())
        });
        life.drain();
        let began = Instant::now();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Drained));
        assert_eq!(began.elapsed(), Duration::from_mins(1));
        assert!(behind.is_draining());
    }

    #[tokio::test]
    async fn a_death_behind_drains_what_is_before_it() {
        let life = Lifecycle::new();
        life.behind().serve("mind", async { Err("no port") });
        assert_eq!(life.wait(LONG).await.unwrap_err().service, "mind");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_behind_shares_the_grace_and_is_aborted_with_the_rest() {
        let life = Lifecycle::new();
        life.spawn(std::future::pending());
        life.behind().serve("mind", std::future::pending::<Result<(), String>>());
        life.drain();
        let began = Instant::now();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Overdue));
        assert_eq!(began.elapsed(), LONG);
    }

    #[tokio::test]
    async fn what_is_left_is_counted_by_its_kind() {
        let life = Lifecycle::new();
        life.serve("edge", std::future::pending::<Result<(), String>>());
        let (end, ended) = tokio::sync::oneshot::channel();
        life.spawn_as("turns", async { drop(ended.await) });
        life.spawn_as("turns", std::future::pending());
        life.behind().spawn(std::future::pending());
        assert_eq!(life.left(), "edge, 2 turns, 1 tasks");
        end.send(()).unwrap();
        while life.left() != "edge, 1 turns, 1 tasks" {
            tokio::task::yield_now().await;
        }
        life.abort();
        assert_eq!(life.wait(LONG).await, Ok(Outcome::Aborted(None)));
        assert_eq!(life.left(), "");
    }
}
