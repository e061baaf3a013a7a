//! Sees to it that what was declared is there after every reconnect, and tells
//! live tails that they may have missed something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Config;
use super::declare::{self, Found};
use super::wire::Wire;
use crate::{Epoch, Result};

/// The first and the longest pause between two tries to declare.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// What is declared on the server, and which log was there the last time.
#[derive(Debug)]
pub(super) struct Declared {
    wire: Wire,
    config: Config,
    epoch: AtomicU64,
    /// Whether several servers keep the log.
    replicated: bool,
    /// Counts the times that live tails may have missed something.
    missed: watch::Sender<u64>,
    /// When the last repair began, and how it ended.
    repaired: Mutex<Option<(Instant, Result<()>)>>,
}

impl Declared {
    /// What was found on the server, to be kept true.
    pub(super) fn new(wire: Wire, config: Config, found: &Found) -> Arc<Self> {
        Arc::new(Self {
            wire,
            config,
            epoch: AtomicU64::new(found.epoch.0),
            replicated: found.copies > 1,
            missed: watch::Sender::new(0),
            repaired: Mutex::default(),
        })
    }

    /// The birth of the log that is there.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Relaxed))
    }

    /// Whether several servers keep the log, so that one may believe that it
    /// leads when it does not.
    pub(super) fn is_replicated(&self) -> bool {
        self.replicated
    }

    /// News that tails may have missed something.
    pub(super) fn missed(&self) -> watch::Receiver<u64> {
        self.missed.subscribe()
    }

    /// Declares anew what was lost. One repair at a time; one that begins after
    /// the call serves every caller that waits.
    pub(super) async fn repair(&self) -> Result<()> {
        let asked = Instant::now();
        let mut repaired = self.repaired.lock().await;
        if let Some((began, ended)) = &*repaired
            && *began >= asked
        {
            return ended.clone();
        }
        let began = Instant::now();
        let ended = declare::ensure(&self.wire, &self.config).await;
        let ended = ended.map(|found| self.bears(found.epoch));
        *repaired = Some((began, ended.clone()));
        ended
    }

    fn bears(&self, born: Epoch) {
        if self.epoch.swap(born.0, Ordering::Relaxed) != born.0 {
            tracing::error!("the log of this broker was lost; another one is in its place");
            self.may_miss();
        }
    }

    fn may_miss(&self) {
        self.missed.send_modify(|it| *it += 1);
    }
}

/// The task that watches; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Guard(JoinHandle<()>);

impl Guard {
    /// Watches the connection.
    pub(super) fn new(declared: Arc<Declared>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "owned: aborted when the guard is dropped")]
        let task = tokio::spawn(async move { watch(&declared).await });
        Self(task)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(declared: &Declared) {
    let mut link = declared.wire.link();
    let mut seen = link.borrow_and_update().made.max(1);
    while link.wait_for(|it| it.up && it.made > seen).await.is_ok() {
        seen = link.borrow_and_update().made;
        declared.may_miss();
        let mut pause = PAUSES.0;
        while let Err(error) = declared.repair().await {
            tracing::error!(%error, "NATS is back, but not as it must be; trying again");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            // Another connection is another round.
            if link.has_changed().unwrap_or(true) {
                break;
            }
        }
    }
}
