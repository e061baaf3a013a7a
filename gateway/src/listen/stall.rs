//! Streams of HTTP/2 whose client takes nothing. Its window is closed, so that
//! no write waits and nobody asks the body for more: only time tells. Such a
//! stream alone is reset; the others of its connection may be somebody else's,
//! behind a proxy.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use process::Lifecycle;
use tokio::time::{Instant, sleep};

use super::idle::Stream;
use crate::metrics;

tokio::task_local! {
    /// Of the stream whose task runs.
    static STALL: Stall;
}

/// Whether a stream's last piece was taken; clones share it. Even: it was. Odd:
/// it waits. Never comes back to a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Stall(Arc<AtomicU64>);

impl Stall {
    /// The one of the stream that is being served; `None` for HTTP/1, where the
    /// connection itself is watched.
    pub(super) fn here() -> Option<Self> {
        STALL.try_with(Self::clone).ok()
    }

    fn given(&self) {
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    fn taken(&self) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now + (now & 1), Ordering::Relaxed);
    }

    /// Ready when a piece was not taken for `patience`, or half of it more.
    async fn lasts(&self, patience: Duration) {
        let mut since = (0, Instant::now());
        loop {
            sleep(patience / 2).await;
            let now = self.0.load(Ordering::Relaxed);
            if now & 1 == 0 || now != since.0 {
                since = (now, Instant::now());
            } else if since.1.elapsed() >= patience {
                return;
            }
        }
    }
}

/// A body that tells when its pieces are taken.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) body: Body,
    pub(super) stall: Stall,
    /// Ends with it.
    pub(super) _open: Option<Stream>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.stall.taken();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() {
            self.stall.given();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Runs the streams of HTTP/2 connections, and ends those that stall.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    pub(super) life: Lifecycle,
    pub(super) patience: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (stall, patience) = (Stall::default(), self.patience);
        self.life.spawn_as("streams", async move {
            let watch = stall.clone();
            tokio::select! {
                biased;
                () = STALL.scope(stall, stream) => {}
                () = watch.lasts(patience) => {
                    metrics::SLOW.add(1, []);
                    tracing::debug!("a stream that takes nothing is reset");
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn only_a_piece_that_waits_too_long_is_a_stall() {
        let stall = Stall::default();
        let lasts = |most| timeout(most, stall.lasts(PATIENCE));
        assert!(lasts(PATIENCE * 10).await.is_err(), "nothing was given");
        for _ in 0..10 {
            stall.given();
            assert!(lasts(PATIENCE * 9 / 10).await.is_err());
            stall.taken();
        }
        assert!(lasts(PATIENCE * 10).await.is_err(), "all was taken");
        stall.given();
        let began = Instant::now();
        assert!(lasts(PATIENCE * 10).await.is_ok());
        assert!(began.elapsed() >= PATIENCE && began.elapsed() <= PATIENCE * 3 / 2);
    }
}
