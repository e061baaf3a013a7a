//! What a reader has not taken yet of its session's live entries. Bounded in
//! number and in bytes: what does not fit is dropped, and the reader is told to
//! compare with the log, which it then reads at its own pace. Whoever feeds it
//! never waits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

use crate::{Signal, Stored};

/// Entries that may wait for one reader.
const WAITING: usize = 64;
/// Bytes that may wait for one reader, by [`weight`].
const WAITING_BYTES: usize = 64 * 1024;
/// What an entry and each of its events hold beside their texts.
const WEIGHT: usize = 256;

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<(usize, Arc<Stored>)>,
    bytes: usize,
    missed: bool,
    reader: Option<Waker>,
}

/// The reader's end. Never ends by itself.
#[derive(Debug)]
pub(crate) struct Tail(Arc<Mutex<Waiting>>);

/// The end that is told what was stored.
#[derive(Debug)]
pub(crate) struct Feed(Arc<Mutex<Waiting>>);

/// A tail and what feeds it.
pub(crate) fn pair() -> (Feed, Tail) {
    let waiting = Arc::default();
    (Feed(Arc::clone(&waiting)), Tail(waiting))
}

/// About what an entry takes in memory, when its encoding has so many bytes.
pub(crate) fn weight(stored: &Stored, encoded: usize) -> usize {
    encoded + WEIGHT * (1 + stored.entry.events.len())
}

impl Feed {
    /// An entry was stored.
    pub(crate) fn tell(&self, stored: &Arc<Stored>, weight: usize) {
        let mut waiting = lock(&self.0);
        if waiting.entries.len() == WAITING || waiting.bytes + weight > WAITING_BYTES {
            // With its room: what a slow reader held is given back.
            (waiting.entries, waiting.bytes) = (VecDeque::new(), 0);
            waiting.missed = true;
        }
        if weight <= WAITING_BYTES {
            waiting.bytes += weight;
            waiting.entries.push_back((weight, Arc::clone(stored)));
        }
        wake(waiting);
    }

    /// Something may have been stored that was not told.
    pub(crate) fn missed(&self) {
        let mut waiting = lock(&self.0);
        waiting.missed = true;
        wake(waiting);
    }

    /// Whether it feeds this tail.
    pub(crate) fn feeds(&self, tail: &Tail) -> bool {
        Arc::ptr_eq(&self.0, &tail.0)
    }
}

impl Stream for Tail {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        let mut waiting = lock(&self.0);
        if std::mem::take(&mut waiting.missed) {
            return Poll::Ready(Some(Signal::Missed));
        }
        if let Some((weight, stored)) = waiting.entries.pop_front() {
            waiting.bytes -= weight;
            if waiting.entries.is_empty() && waiting.entries.capacity() > 4 {
                waiting.entries = VecDeque::new();
            }
            return Poll::Ready(Some(Signal::Entry(Arc::unwrap_or_clone(stored))));
        }
        waiting.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(mut waiting: MutexGuard<'_, Waiting>) {
    let reader = waiting.reader.take();
    drop(waiting);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sequence;
    use futures::{FutureExt as _, StreamExt as _};

    fn stored(sequence: u64) -> Arc<Stored> {
        Arc::new(Stored { sequence: Sequence(sequence), entry: proto::Entry::default() })
    }

    /// What can be taken without waiting.
    fn take(tail: &mut Tail) -> Vec<Option<u64>> {
        let now = |signal| match signal {
            Signal::Entry(stored) => Some(stored.sequence.0),
            Signal::Missed => None,
        };
        std::iter::from_fn(|| tail.next().now_or_never().flatten().map(now)).collect()
    }

    #[test]
    fn a_reader_that_keeps_up_gets_every_entry() {
        let (feed, mut tail) = pair();
        for sequence in 1..=200 {
            feed.tell(&stored(sequence), 1000);
            assert_eq!(take(&mut tail), [Some(sequence)]);
        }
    }

    #[test]
    fn a_slow_reader_holds_a_fixed_amount_and_is_told_that_it_missed_something() {
        for weight in [1, 1000, WAITING_BYTES / 2, WAITING_BYTES, WAITING_BYTES + 1] {
            let (feed, mut tail) = pair();
            for sequence in 1..=1000 {
                feed.tell(&stored(sequence), weight);
                let waiting = lock(&feed.0);
                assert!(waiting.bytes <= WAITING_BYTES && waiting.entries.len() <= WAITING);
            }
            let taken = take(&mut tail);
            assert_eq!(taken[0], None, "weight {weight}");
            // What it gets besides is the newest, without a hole.
            let newest = 1001 - (taken.len() as u64 - 1)..1001;
            assert_eq!(taken[1..], newest.map(Some).collect::<Vec<_>>(), "weight {weight}");
            assert!(lock(&feed.0).bytes == 0);
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let (feed, mut tail) = pair();
        let (signal, ()) = tokio::join!(tail.next(), async { feed.missed() });
        assert_eq!(signal, Some(Signal::Missed));
    }
}
