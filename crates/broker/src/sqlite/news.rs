//! What others are told once it is stored: readers of a session its entries,
//! workers that a job is free. Keeps nothing where nobody listens, and waits for
//! nobody who does.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::{Stream, StreamExt as _};
use prost::Message as _;
use proto::Session;
use tokio::sync::Notify;

use crate::tail::{self, Feed, Tail};
use crate::{Live, Signal, Stored};

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
    feeds: Mutex<HashMap<Session, Vec<Feed>>>,
    /// Wakes the one who waits for a job.
    pub(super) jobs: Notify,
}

impl News {
    /// Wakes whom it concerns.
    pub(super) fn tell(&self, told: Vec<Told>) {
        for it in told {
            match it {
                Told::Entry(session, stored) => {
                    if let Some(feeds) = self.feeds().get(&session) {
                        let weight = tail::weight(&stored, stored.entry.encoded_len());
                        for feed in feeds {
                            feed.tell(&stored, weight);
                        }
                    }
                }
                Told::Job => self.jobs.notify_one(),
            }
        }
    }

    /// A session's entries from now on.
    pub(super) fn listen(self: &Arc<Self>, session: &Session) -> Live {
        let (feed, tail) = tail::pair();
        self.feeds().entry(session.clone()).or_default().push(feed);
        Listener { tail, news: Arc::clone(self), session: session.clone() }.boxed()
    }

    fn feeds(&self) -> MutexGuard<'_, HashMap<Session, Vec<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn listened(&self) -> usize {
        self.feeds().len()
    }
}

/// A reader's tail, and its place among the listeners.
struct Listener {
    tail: Tail,
    news: Arc<News>,
    session: Session,
}

impl Stream for Listener {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.tail.poll_next_unpin(context)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut feeds = self.news.feeds();
        let Some(listening) = feeds.get_mut(&self.session) else { return };
        listening.retain(|it| !it.feeds(&self.tail));
        if listening.is_empty() {
            feeds.remove(&self.session);
        }
    }
}
