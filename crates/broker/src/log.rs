//! The port for session logs: conditional append, ordered read, live tail.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use proto::{Entry, Session};

use crate::{Epoch, Error, Result, Sequence};

/// The largest encoded entry, in bytes.
pub const MAX_ENTRY_BYTES: usize = 512 * 1024;

/// The durable entries of every session.
#[async_trait]
pub trait Log: std::fmt::Debug + Send + Sync {
    /// Which log this is.
    fn epoch(&self) -> Epoch;

    /// One try to store `entry` right after `follows`, the session's last
    /// entry as the caller knows it ([`Sequence::START`] for none). The entry
    /// is an encoded [`Entry`] whose `follows` says the same. Callers use
    /// [`append`](crate::append()), which resolves an unknown outcome.
    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError>;

    /// The session's last entry, read where it is certain but for
    /// [`doubt`](Self::doubt).
    async fn last(&self, session: &Session) -> Result<Option<Stored>>;

    /// For how long a last entry older than one that was seen before may be a
    /// mistake: a server that led, hung and wakes up, or is cut off from the
    /// others, answers from the past until it knows of its successor. Zero where
    /// that cannot be.
    fn doubt(&self) -> Duration {
        Duration::ZERO
    }

    /// Entries after a place, oldest first, at most `most` and about 128 KiB (one
    /// at least). May lag behind
    /// [`last`](Self::last): an empty answer does not mean that there is
    /// nothing more. Entries past the retention are left out without a word;
    /// the links between entries tell.
    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>>;

    /// What is stored from now on. In effect before the future is ready, so
    /// that a later [`last`](Self::last) misses nothing between the two. May
    /// lose entries, and says so when it knows.
    async fn live(&self, session: &Session) -> Result<Live>;

    /// Erases every entry before a place; returns how many there were.
    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64>;
}

/// A session's entries as they are stored. Never ends.
pub type Live = BoxStream<'static, Signal>;

/// What a live tail brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// An entry was stored.
    Entry(Stored),
    /// Something may have been missed: compare with the log.
    Missed,
}

/// An entry with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Where it stands.
    pub sequence: Sequence,
    /// What was stored.
    pub entry: Entry,
}

/// Why one try to append did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The session's last entry is another one: somebody else wrote, or this
    /// very append was stored by an earlier try.
    #[error("the log went on without this writer")]
    Refused,
    /// It may have been stored or not.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// It was not stored and trying again is of no use.
    #[error(transparent)]
    Failed(#[from] Error),
}
