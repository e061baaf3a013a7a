//! The hold on a job, kept in the writer's temporary tables: gone with the
//! process that gave it.
//!
//! As everywhere, a lease is a hint: progress, acknowledgement and return
//! concern the job, whoever has it by now.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use proto::{Job, Session, TurnId};
use tokio::time::Instant;

use super::engine::{Tx, millis};
use super::news::Told;
use super::store::Store;
use crate::{Delivery, Lease, Result, Sequence};

/// A job on its way to a worker.
pub(super) struct Lent {
    pub(super) session: Session,
    pub(super) turn: TurnId,
    pub(super) job: Job,
    pub(super) attempt: u32,
    pub(super) slip: Slip,
}

impl Lent {
    pub(super) fn deliver(mut self, store: &Arc<Store>) -> Delivery {
        self.slip.store = None;
        let sequence = self.slip.sequence;
        Delivery {
            session: self.session,
            turn: self.turn,
            job: self.job,
            sequence: Sequence(sequence.cast_unsigned()),
            attempt: self.attempt,
            lease: Box::new(Held { store: Arc::clone(store), sequence }),
        }
    }
}

/// Gives a job back at once when nobody took it: its worker stopped waiting
/// while it was under way.
pub(super) struct Slip {
    pub(super) sequence: i64,
    pub(super) store: Option<Weak<Store>>,
}

impl Drop for Slip {
    fn drop(&mut self) {
        let sequence = self.sequence;
        if let Some(store) = self.store.take().and_then(|it| it.upgrade()) {
            store.write_soon(move |tx| {
                tx.tell(Told::Job);
                hold(tx, sequence, 0)
            });
        }
    }
}

#[derive(Debug)]
struct Held {
    store: Arc<Store>,
    sequence: i64,
}

#[async_trait]
impl Lease for Held {
    fn lasts(&self) -> Duration {
        self.store.limits.lease
    }

    async fn progress(&self) -> Result<()> {
        let sequence = self.sequence;
        let until = self.store.lease_time() + millis(self.store.limits.lease);
        self.store.write(false, move |tx| hold(tx, sequence, until)).await
    }

    async fn acknowledge(self: Box<Self>) -> Result<()> {
        let sequence = self.sequence;
        self.store.write(false, move |tx| remove(tx, sequence)).await
    }

    async fn later(self: Box<Self>, delay: Duration) -> Result<()> {
        let sequence = self.sequence;
        let until = self.store.lease_time().saturating_add(millis(delay));
        let given_back = self.store.write(false, move |tx| {
            // It may come up before the time that the one who waits knows of.
            tx.tell(Told::Job);
            hold(tx, sequence, until)
        });
        given_back.await
    }
}

impl Store {
    /// Milliseconds since the store was opened.
    pub(super) fn lease_time(&self) -> i64 {
        millis(self.opened.elapsed())
    }

    pub(super) fn lease_instant(&self, time: i64) -> Instant {
        self.opened + Duration::from_millis(time.max(0).cast_unsigned())
    }
}

/// A job is somebody's until a time.
pub(super) fn hold(tx: &Tx<'_>, sequence: i64, until: i64) -> rusqlite::Result<()> {
    let exists = "SELECT 1 FROM jobs WHERE sequence = ?1";
    if tx.one(exists, [sequence], |_| Ok(()))?.is_some() {
        tx.execute("DELETE FROM free WHERE sequence = ?1", [sequence])?;
        let sql = "INSERT OR REPLACE INTO held (sequence, until) VALUES (?1, ?2)";
        tx.execute(sql, [sequence, until])?;
    }
    Ok(())
}

/// A job leaves for good; its turn is remembered for a while.
pub(super) fn remove(tx: &Tx<'_>, sequence: i64) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO finished SELECT turn, ?2 FROM jobs WHERE sequence = ?1",
        [sequence, tx.wall()?],
    )?;
    for sql in [
        "DELETE FROM jobs WHERE sequence = ?1",
        "DELETE FROM free WHERE sequence = ?1",
        "DELETE FROM held WHERE sequence = ?1",
    ] {
        tx.execute(sql, [sequence])?;
    }
    Ok(())
}
