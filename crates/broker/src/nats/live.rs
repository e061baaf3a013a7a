//! A live tail: what the log republishes, and word of what may have been
//! missed. Never ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::Subscriber;
use futures::{Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::task::coop::has_budget_remaining;
use tokio_stream::wrappers::WatchStream;

use super::log::heard;
use super::wire::CAPACITY;
use crate::Signal;

/// One reader's subscription.
pub(super) struct Tail {
    subscriber: Subscriber,
    missed: WatchStream<u64>,
    /// Messages taken since the buffer was last seen empty. The client drops
    /// what does not fit into the buffer, so a loss takes a run of this length.
    run: usize,
    closed: bool,
}

impl Tail {
    pub(super) fn new(subscriber: Subscriber, missed: watch::Receiver<u64>) -> Self {
        Self { subscriber, missed: WatchStream::from_changes(missed), run: 0, closed: false }
    }
}

impl Stream for Tail {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        if let Poll::Ready(Some(_)) = self.missed.poll_next_unpin(context) {
            return Poll::Ready(Some(Signal::Missed));
        }
        if self.closed {
            return Poll::Pending;
        }
        match self.subscriber.poll_next_unpin(context) {
            Poll::Ready(Some(message)) => {
                self.run += 1;
                let signal = heard(&message).map_or_else(
                    |error| {
                        tracing::warn!(%error, "a live message was left out");
                        Signal::Missed
                    },
                    Signal::Entry,
                );
                Poll::Ready(Some(signal))
            }
            // The client was closed; whoever asks the log will be told.
            Poll::Ready(None) => {
                self.closed = true;
                Poll::Ready(Some(Signal::Missed))
            }
            // Without budget the buffer may be full all the same.
            Poll::Pending if !has_budget_remaining() => Poll::Pending,
            Poll::Pending => {
                if std::mem::take(&mut self.run) >= CAPACITY {
                    return Poll::Ready(Some(Signal::Missed));
                }
                Poll::Pending
            }
        }
    }
}
