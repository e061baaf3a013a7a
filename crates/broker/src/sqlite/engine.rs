//! Runs commands against the database, many in one transaction, and drops what
//! is past its time. The same for a file and for memory.
//!
//! A command that is refused has written nothing, so it cannot undo its
//! neighbours; a store that fails undoes the whole transaction, and every
//! command in it is answered with the error.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, Row};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::news::{News, Told};
use crate::{Epoch, Error, Limits, Result, Sequence};

/// Sequences set aside at once. Those that a power cut left unused are skipped,
/// so that a lost entry's place is never given to another.
const RESERVE: u64 = 1_000_000;
/// Set aside more when fewer than this are left; more than a batch can use.
const RESERVE_BELOW: u64 = 10_000;
/// How long a finished job's turn id is remembered.
const REMEMBERED: Duration = Duration::from_mins(15);
/// Rows that a sweep removes in one transaction.
const SWEPT: i64 = 2_000;
/// The shortest and the longest time between two sweeps.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_mins(1));

/// Something to do in a transaction, and somebody who waits for the answer.
pub(super) trait Command: Send {
    /// Whether it must be on the disk before it is answered.
    fn durable(&self) -> bool;
    /// Does it. An error undoes the whole transaction.
    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()>;
    /// Answers, once the transaction's outcome is known.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

/// A [`Command`] made of a closure.
pub(super) struct Call<W, T> {
    durable: bool,
    work: Option<W>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<W, T> Call<W, T>
where
    W: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send + 'static,
    T: Send + 'static,
{
    pub(super) fn boxed(
        durable: bool,
        work: W,
    ) -> (Box<dyn Command>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        let call = Self { durable, work: Some(work), done: None, reply };
        (Box::new(call), answer)
    }
}

impl<W, T> Command for Call<W, T>
where
    W: FnOnce(&mut Tx<'_>) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn durable(&self) -> bool {
        self.durable
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(tx)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<()>) {
        let answer = match (outcome, self.done) {
            (Ok(()), Some(done)) => Ok(done),
            (Ok(()), None) => Err(Error::Unavailable("the command was not run".to_owned())),
            (Err(error), _) => Err(error),
        };
        // Nobody waits any more: what was done stays done.
        drop(self.reply.send(answer));
    }
}

/// Commands that were run and not yet answered.
pub(super) struct Done {
    batch: Vec<Box<dyn Command>>,
    outcome: Result<()>,
}

impl Done {
    pub(super) fn answer(self) {
        for command in self.batch {
            command.answer(self.outcome.clone());
        }
    }
}

/// The database with what must be known about it.
pub(super) struct Engine {
    connection: Connection,
    news: Arc<News>,
    sequence: u64,
    reserved: u64,
    full_sync: bool,
    retention: Duration,
    sweep_at: Instant,
}

impl Engine {
    pub(super) fn new(connection: Connection, news: Arc<News>, limits: &Limits) -> Result<Self> {
        let reserved: i64 = connection
            .query_row("SELECT reserved FROM meta", [], |row| row.get(0))
            .map_err(|error| explain(&error))?;
        Ok(Self {
            connection,
            news,
            sequence: reserved.cast_unsigned(),
            reserved: reserved.cast_unsigned(),
            full_sync: true,
            retention: limits.retention,
            sweep_at: Instant::now(),
        })
    }

    pub(super) fn epoch(&self) -> Result<Epoch> {
        self.connection
            .query_row("SELECT epoch FROM meta", [], |row| row.get(0))
            .map(|epoch: i64| Epoch(epoch.cast_unsigned()))
            .map_err(|error| explain(&error))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs commands in one transaction and tells the news of what it stored.
    pub(super) fn run(&mut self, mut batch: Vec<Box<dyn Command>>) -> Done {
        let mut told = Vec::new();
        let outcome = match self.commit(&mut batch, &mut told) {
            Ok(()) => {
                self.news.tell(told);
                Ok(())
            }
            Err(error) => Err(self.undo(&error)),
        };
        Done { batch, outcome }
    }

    fn commit(
        &mut self,
        batch: &mut [Box<dyn Command>],
        told: &mut Vec<Told>,
    ) -> rusqlite::Result<()> {
        let mut reserved = self.reserved;
        // A batch that was undone may have used more than it could set aside.
        if reserved.saturating_sub(self.sequence) < RESERVE_BELOW {
            reserved = self.sequence + RESERVE;
        }
        let reserving = reserved != self.reserved;
        self.sync(reserving || batch.iter().any(|it| it.durable()))?;
        execute(&self.connection, "BEGIN IMMEDIATE", [])?;
        if reserving {
            let sql = "UPDATE meta SET reserved = ?1";
            execute(&self.connection, sql, [reserved.cast_signed()])?;
        }
        let mut tx = Tx { connection: &self.connection, sequence: &mut self.sequence, told };
        for command in batch {
            command.run(&mut tx)?;
        }
        execute(&self.connection, "COMMIT", [])?;
        self.reserved = reserved;
        Ok(())
    }

    /// Chooses whether the next commit waits for the disk. It is the setting
    /// at the commit that counts, and a commit that waits takes everything
    /// before it along.
    fn sync(&mut self, full: bool) -> rusqlite::Result<()> {
        if full != self.full_sync {
            let level = if full { "FULL" } else { "NORMAL" };
            execute(&self.connection, &format!("PRAGMA synchronous = {level}"), [])?;
            self.full_sync = full;
        }
        Ok(())
    }

    fn undo(&self, error: &rusqlite::Error) -> Error {
        tracing::error!(%error, "the store failed; a batch was undone");
        // Some errors have ended the transaction by themselves.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a batch could not be undone");
        }
        explain(error)
    }

    /// How long until the next sweep.
    pub(super) fn idle(&self) -> Duration {
        self.sweep_at.saturating_duration_since(Instant::now())
    }

    /// Drops what is past its time, if it is time to look.
    pub(super) fn sweep(&mut self) {
        if !self.idle().is_zero() {
            return;
        }
        let pause = (self.retention / 10).clamp(SWEEPS.0, SWEEPS.1);
        let more = match self.drop_expired() {
            Ok(more) => more,
            Err(error) => {
                self.undo(&error);
                false
            }
        };
        self.sweep_at = Instant::now() + if more { SWEEPS.0 } else { pause };
    }

    /// Whether there is more to drop.
    fn drop_expired(&mut self) -> rusqlite::Result<bool> {
        let now = wall(&self.connection)?;
        let before = now.saturating_sub(millis(self.retention));
        // Places grow with time, so the oldest are the first.
        let sql = "SELECT max(sequence), count(*) FROM (SELECT sequence, stored_at FROM entries \
                   ORDER BY sequence LIMIT ?1) WHERE stored_at < ?2";
        let oldest = one(&self.connection, sql, (SWEPT, before), |row| {
            Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?))
        })?;
        let (expired, count) = oldest.unwrap_or_default();
        let forgotten = now.saturating_sub(millis(REMEMBERED));
        let sql = "SELECT min(finished_at) < ?1 FROM finished";
        let stale = one(&self.connection, sql, [forgotten], |row| row.get(0))?;
        if expired.is_none() && stale.flatten() != Some(true) {
            return Ok(false);
        }
        self.sync(false)?;
        execute(&self.connection, "BEGIN IMMEDIATE", [])?;
        if let Some(expired) = expired {
            let sql = "DELETE FROM entries WHERE sequence <= ?1";
            execute(&self.connection, sql, [expired])?;
        }
        let sql = "DELETE FROM finished WHERE finished_at < ?1";
        execute(&self.connection, sql, [forgotten])?;
        execute(&self.connection, "COMMIT", [])?;
        Ok(count == SWEPT)
    }

    /// Gives back the sequences that were set aside and not used.
    pub(super) fn close(&mut self) {
        let sql = "UPDATE meta SET reserved = ?1";
        if let Err(error) = execute(&self.connection, sql, [self.sequence.cast_signed()]) {
            tracing::warn!(%error, "the store was closed without its last note");
        }
    }
}

/// An open transaction.
pub(super) struct Tx<'a> {
    connection: &'a Connection,
    sequence: &'a mut u64,
    told: &'a mut Vec<Told>,
}

impl Tx<'_> {
    /// The next place; never given out again, not even when this transaction
    /// is undone.
    pub(super) fn take_place(&mut self) -> Sequence {
        *self.sequence += 1;
        Sequence(*self.sequence)
    }

    /// Tells the readers and workers, once all of this is stored.
    pub(super) fn tell(&mut self, told: Told) {
        self.told.push(told);
    }

    /// Rows changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        execute(self.connection, sql, params)
    }

    /// The first row, if there is one.
    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        one(self.connection, sql, params, read)
    }

    /// Milliseconds since the Unix epoch, for what must outlive the process.
    pub(super) fn wall(&self) -> rusqlite::Result<i64> {
        wall(self.connection)
    }
}

pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached(sql)?.query_row(params, read).optional()
}

fn wall(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)";
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A place as the database writes it. None is ever beyond `i64::MAX`, so a
/// larger one, which only a stranger can name, is after all of them.
pub(super) fn signed(sequence: Sequence) -> i64 {
    i64::try_from(sequence.0).unwrap_or(i64::MAX)
}

/// A failure of the database in the words of the ports.
pub(super) fn explain(error: &rusqlite::Error) -> Error {
    let code = error.sqlite_error_code();
    if code == Some(ErrorCode::DiskFull) {
        Error::NoRoom("the disk that holds the store has no room left".to_owned())
    } else if code == Some(ErrorCode::DatabaseCorrupt) || code == Some(ErrorCode::NotADatabase) {
        Error::Corrupt(error.to_string())
    } else {
        Error::Unavailable(format!("the store failed: {error}"))
    }
}
