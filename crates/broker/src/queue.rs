//! The port for jobs: accepted is stored, a session's jobs stay in order, and
//! a job is somebody's until it is settled or its lease ends.
//!
//! A lease is a hint, not a lock: a worker that lost it may go on unaware. What
//! keeps it harmless is the log's condition and that nobody acknowledges a job
//! before its own terminal entry is stored.

use std::time::Duration;

use async_trait::async_trait;
use proto::{Job, Session, SessionId, TurnId, UserId};

use crate::{Result, Sequence};

/// The largest encoded job, in bytes.
pub const MAX_JOB_BYTES: usize = 768 * 1024;
/// The most sessions that [`Queue::busy`] tells of.
pub const MAX_BUSY: usize = 10_000;

/// Jobs, waiting or being worked on.
#[async_trait]
pub trait Queue: std::fmt::Debug + Send + Sync {
    /// Stores a job. `Ok` means that it is as durable as the broker's profile
    /// says. A job whose turn id was submitted before is not stored again: for
    /// certain as long as that one is unfinished, and for 15 minutes at least
    /// after it was submitted by a broker that was not restarted meanwhile. (A
    /// nats-server holds the submits of finished jobs in memory only, so after
    /// a restart such a job may be accepted once more.)
    ///
    /// Errors: [`Error::Busy`](crate::Error::Busy) by admission,
    /// [`Error::Full`](crate::Error::Full) past the session's depth,
    /// [`Error::NoRoom`](crate::Error::NoRoom) when the store is full,
    /// [`Error::TooLarge`](crate::Error::TooLarge) past [`MAX_JOB_BYTES`],
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the outcome is
    /// not known: submit the same job again.
    async fn submit(&self, session: &Session, job: &Job, admission: Admission)
    -> Result<Submitted>;

    /// Waits for the next job that is nobody's. Dropping the future loses
    /// nothing: a job that was under way is delivered again.
    async fn next(&self) -> Result<Delivery>;

    /// How many calls of [`next`](Self::next) a worker should let wait at once.
    /// One where the queue lives elsewhere: what is handed to a process that
    /// hangs is noticed only when its lease ends, once for each such call.
    fn waiters(&self) -> usize {
        1
    }

    /// The first job of a session, read where it is certain.
    async fn first(&self, session: &Session) -> Result<Option<Sequence>>;

    /// The unfinished jobs of a session, in order, with the one that runs.
    async fn pending(&self, session: &Session) -> Result<Vec<Pending>>;

    /// Removes every job of a session; returns how many there were.
    async fn clear(&self, session: &Session) -> Result<u64>;

    /// The sessions of a user that have unfinished jobs, each with how many, by
    /// their ids. Past [`MAX_BUSY`] sessions some are left out. For a list of
    /// many sessions: what one has is told with certainty by
    /// [`first`](Self::first) and [`pending`](Self::pending).
    async fn busy(&self, user: &UserId) -> Result<Vec<(SessionId, u64)>>;

    /// Unfinished jobs of all sessions.
    async fn depth(&self) -> Result<u64>;
}

/// When a job may join the session's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Up to the session's depth.
    Enqueue,
    /// Only while the session has no unfinished job.
    IfEmpty,
    /// Only while the session's newest job is the one stored at this place:
    /// for a caller who knows that its turn has ended.
    IfLast(Sequence),
}

/// What became of a submit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// Stored, here.
    Accepted(Sequence),
    /// The same turn was accepted before.
    Duplicate,
}

/// An unfinished job.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Where it stands in the queue.
    pub sequence: Sequence,
    /// Its turn.
    pub turn: TurnId,
    /// The job itself.
    pub job: Job,
}

/// A job handed to this worker. Dropping it is safe: it is delivered again
/// once its lease has ended.
#[derive(Debug)]
pub struct Delivery {
    /// Whose conversation.
    pub session: Session,
    /// Which turn.
    pub turn: TurnId,
    /// What to do. Where its version is not [`proto::FORMAT`], this is what could
    /// be read of it; it is filed under dead letters already, and its turn must
    /// end.
    pub job: Job,
    /// Where the job stands in the queue.
    pub sequence: Sequence,
    /// How often it was delivered, this time included: from 1. A hint, not a
    /// name: a broker that is killed right after a delivery may forget to have
    /// counted it, and then two holders carry the same number.
    pub attempt: u32,
    /// What keeps it and settles it.
    pub lease: Box<dyn Lease>,
}

/// The hold on a delivered job.
#[async_trait]
pub trait Lease: std::fmt::Debug + Send + Sync {
    /// How long the hold lasts without a sign of progress.
    fn lasts(&self) -> Duration;

    /// Starts the lease anew.
    async fn progress(&self) -> Result<()>;

    /// The job is done: it leaves the queue for good. Only for the one who
    /// stored, or has read, the turn's terminal entry.
    async fn acknowledge(self: Box<Self>) -> Result<()>;

    /// Gives the job back, to be delivered after a delay.
    async fn later(self: Box<Self>, delay: Duration) -> Result<()>;
}

/// Where a job stands among its session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Front {
    /// It is the first: its turn may run.
    Mine,
    /// Another one is before it.
    Behind,
    /// It is no longer in the queue.
    Gone,
}

impl Front {
    /// Judges a job by the first job of its session.
    pub fn of(mine: Sequence, first: Option<Sequence>) -> Self {
        match first {
            Some(first) if first == mine => Self::Mine,
            Some(first) if first < mine => Self::Behind,
            Some(_) | None => Self::Gone,
        }
    }
}
