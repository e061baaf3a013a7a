//! What others are told once it is stored: readers of a session its entries,
//! workers that a job is free. Keeps a channel only where somebody listens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt as _;
use futures::stream;
use proto::Session;
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};

use crate::{Live, Signal, Stored};

/// Entries that a reader may be behind before it must read them itself.
const BEHIND: usize = 64;

/// Something that was stored.
#[derive(Debug)]
pub(super) enum Told {
    /// An entry of a session.
    Entry(Session, Arc<Stored>),
    /// A job became free, or will at another time than was known.
    Job,
}

/// The listeners.
#[derive(Debug, Default)]
pub(super) struct News {
    tails: Mutex<HashMap<Session, Sender<Arc<Stored>>>>,
    /// Wakes the one who waits for a job.
    pub(super) jobs: Notify,
}

impl News {
    /// Wakes whom it concerns.
    pub(super) fn tell(&self, told: Vec<Told>) {
        for it in told {
            match it {
                Told::Entry(session, stored) => {
                    if let Some(tail) = self.tails().get(&session) {
                        // An error says that the last listener is leaving.
                        drop(tail.send(stored));
                    }
                }
                Told::Job => self.jobs.notify_one(),
            }
        }
    }

    /// A session's entries from now on.
    pub(super) fn listen(self: &Arc<Self>, session: &Session) -> Live {
        let entries = self
            .tails()
            .entry(session.clone())
            .or_insert_with(|| broadcast::channel(BEHIND).0)
            .subscribe();
        let listener = Listener {
            entries,
            _place: Place { news: Arc::clone(self), session: session.clone() },
        };
        stream::unfold(listener, async |mut listener| {
            let signal = match listener.entries.recv().await {
                Ok(stored) => Signal::Entry(Arc::unwrap_or_clone(stored)),
                Err(RecvError::Lagged(_)) => Signal::Missed,
                Err(RecvError::Closed) => return None,
            };
            Some((signal, listener))
        })
        .boxed()
    }

    fn tails(&self) -> MutexGuard<'_, HashMap<Session, Sender<Arc<Stored>>>> {
        self.tails.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn listened(&self) -> usize {
        self.tails().len()
    }
}

/// Dropped in this order: first the receiver, then the place it may leave empty.
struct Listener {
    entries: Receiver<Arc<Stored>>,
    _place: Place,
}

struct Place {
    news: Arc<News>,
    session: Session,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tails = self.news.tails();
        let deserted = tails.get(&self.session).is_some_and(|tail| tail.receiver_count() == 0);
        if deserted {
            tails.remove(&self.session);
        }
    }
}
