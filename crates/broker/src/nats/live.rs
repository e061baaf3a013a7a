//! A live tail: what the log republishes, and word of what may have been
//! missed. Never ends.
//!
//! The client bounds a subscription in messages only, and a message may keep
//! the buffer alive that it was read into. A task therefore takes messages as
//! they come and keeps for a slow reader what fits into [`crate::tail`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_nats::Subscriber;
use futures::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::task::coop::has_budget_remaining;
use tokio_stream::wrappers::WatchStream;

use super::log::heard;
use super::wire::CAPACITY;
use crate::tail::{self, Tail};
use crate::{Live, Signal};

/// A reader's tail, and the task that feeds it: ends when this is dropped.
struct Bounded {
    tail: Tail,
    feeding: JoinHandle<()>,
}

/// The tail of a reader that may be slow.
pub(super) fn bounded(mut subscribed: Subscribed) -> Live {
    let (feed, tail) = tail::pair();
    #[expect(clippy::disallowed_methods, reason = "owned: aborted when the tail is dropped")]
    let feeding = tokio::spawn(async move {
        while let Some(signal) = subscribed.next().await {
            match signal {
                Signal::Entry(stored) => {
                    let weight = tail::weight(&stored, stored.entry.encoded_len());
                    feed.tell(&Arc::new(stored), weight);
                }
                Signal::Missed => feed.missed(),
            }
        }
    });
    Bounded { tail, feeding }.boxed()
}

impl Stream for Bounded {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.tail.poll_next_unpin(context)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}

/// One reader's subscription.
pub(super) struct Subscribed {
    subscriber: Subscriber,
    missed: WatchStream<u64>,
    /// Messages taken since the buffer was last seen empty. The client drops
    /// what does not fit into the buffer, so a loss takes a run of this length.
    run: usize,
    closed: bool,
}

impl Subscribed {
    pub(super) fn new(subscriber: Subscriber, missed: watch::Receiver<u64>) -> Self {
        Self { subscriber, missed: WatchStream::from_changes(missed), run: 0, closed: false }
    }
}

impl Stream for Subscribed {
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
