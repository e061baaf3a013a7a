//! Connections of HTTP/2 that carry no stream. Their peers answer pings for ever
//! and ask nothing; a connection of HTTP/1 is watched by the HTTP library.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The open streams of one connection; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(Arc<watch::Sender<usize>>);

/// One open stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Stream(Open);

impl Open {
    pub(super) fn enter(&self) -> Stream {
        self.0.send_modify(|open| *open += 1);
        Stream(self.clone())
    }

    /// Ready when there was no stream for so long since the last one.
    pub(super) async fn idle(&self, patience: Duration) {
        let mut open = self.0.subscribe();
        // Without a first stream nothing has begun, or it is not HTTP/2.
        let mut changed = open.changed().await.is_ok();
        while changed {
            let is_idle = *open.borrow_and_update() == 0;
            changed = match timeout(patience, open.changed()).await {
                Err(_elapsed) if is_idle => return,
                Err(_elapsed) => true,
                Ok(changed) => changed.is_ok(),
            };
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_that_had_streams_and_has_none_is_idle() {
        let open = Open::default();
        let idle = async |most| timeout(most, open.idle(PATIENCE)).await.is_ok();
        assert!(!idle(PATIENCE * 10).await, "no stream has come");
        let mut streams = vec![open.enter()];
        tokio::join!(async { assert!(!idle(PATIENCE * 10).await, "a stream is open") }, async {
            tokio::time::sleep(PATIENCE / 2).await;
            streams.push(open.enter());
            streams.pop();
        });
        let began = Instant::now();
        tokio::join!(async { assert!(idle(PATIENCE * 10).await, "no stream is left") }, async {
            tokio::time::sleep(PATIENCE * 2).await;
            streams.clear();
        });
        assert_eq!(began.elapsed(), PATIENCE * 3);
    }
}
