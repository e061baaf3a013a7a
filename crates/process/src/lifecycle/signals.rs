//! SIGINT and SIGTERM: the first one drains, the second one aborts.

use tokio::signal::unix::{SignalKind, signal};

use super::Lifecycle;

impl Lifecycle {
    /// Drains at the first SIGINT or SIGTERM, aborts at the second.
    pub fn stop_on_signals(&self) {
        let life = self.clone();
        // Not tracked: it must not hold the drain that it waits behind.
        #[expect(clippy::disallowed_methods, reason = "ends with the process")]
        tokio::spawn(async move {
            let Some(mut signals) = Signals::watch() else {
                tracing::warn!("signals cannot be watched here");
                return;
            };
            tokio::select! {
                biased;
                // A drain that began without a signal: the next one is the second.
                () = life.draining() => {}
                number = signals.next() => {
                    tracing::info!(signal = number, "stopping; a second signal stops at once");
                    life.drain();
                }
            }
            let number = signals.next().await;
            life.fate.signal.get_or_init(|| number);
            life.abort();
        });
    }
}

/// The signals that ask to stop, none missed between two waits.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn watch() -> Option<Self> {
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}
