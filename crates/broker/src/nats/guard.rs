//! Sees to it that what was declared is there after every reconnect, and tells
//! live tails that they may have missed something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::wire::Wire;
use super::{Config, declare};

/// The task that watches; ends when this is dropped.
#[derive(Debug)]
pub(super) struct Guard(JoinHandle<()>);

impl Guard {
    /// Watches the connection. `missed` counts the times that tails may have
    /// missed something; `epoch` is kept that of the log that is there.
    pub(super) fn new(
        wire: Wire,
        config: Config,
        missed: watch::Sender<u64>,
        epoch: Arc<AtomicU64>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "owned: aborted when the guard is dropped"
        )]
        let task = tokio::spawn(watch(wire, config, missed, epoch));
        Self(task)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(wire: Wire, config: Config, missed: watch::Sender<u64>, epoch: Arc<AtomicU64>) {
    let mut link = wire.link();
    let mut seen = link.borrow_and_update().made.max(1);
    while link.wait_for(|it| it.up && it.made > seen).await.is_ok() {
        seen = link.borrow_and_update().made;
        missed.send_modify(|it| *it += 1);
        match declare::ensure(&wire, &config).await {
            Ok(born) if epoch.swap(born.0, Ordering::Relaxed) != born.0 => {
                tracing::error!("the log of this broker was lost; another one is in its place");
                missed.send_modify(|it| *it += 1);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "NATS is back, but not as it must be"),
        }
    }
}
