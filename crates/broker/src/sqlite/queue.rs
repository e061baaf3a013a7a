//! Jobs in a table; who has which is kept beside it, for as long as this
//! process lives.
//!
//! As everywhere, a lease is a hint: progress, acknowledgement and return
//! concern the job, whoever has it by now.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use prost::Message as _;
use proto::{DeadLetter, FORMAT, Job, Session, TurnId};
use rusqlite::{Connection, Row, params};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::engine::{Tx, millis, one, signed};
use super::news::Told;
use super::records;
use super::store::Store;
use crate::{
    Admission, Bucket, Delivery, Error, Key, Lease, MAX_JOB_BYTES, Pending, Queue, Result,
    Sequence, Submitted,
};

/// Unreadable jobs that one look for the next job puts away.
const BURIED: usize = 32;

/// The queue of a [`Store`].
#[derive(Debug)]
pub(super) struct Jobs {
    store: Arc<Store>,
    /// Whoever is first in this line looks for the next job. One at a time, so
    /// that a job wakes one and no wakeup is lost.
    line: Mutex<()>,
}

impl Jobs {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            line: Mutex::new(()),
        }
    }
}

#[async_trait]
impl Queue for Jobs {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> Result<Submitted> {
        let Ok(turn) = job.turn_id.parse::<TurnId>() else {
            return Err(Error::Corrupt(
                "a job without the id of its turn".to_owned(),
            ));
        };
        let bytes = job.encode_to_vec();
        if bytes.len() > MAX_JOB_BYTES {
            return Err(Error::TooLarge {
                what: "job",
                size: bytes.len(),
                limit: MAX_JOB_BYTES,
            });
        }
        let (session, depth) = (session.clone(), self.store.limits.queue_depth);
        let submitted = self.store.write(true, move |tx| {
            let turn = turn.to_string();
            let known = "SELECT 1 FROM jobs WHERE turn = ?1 \
                         UNION ALL SELECT 1 FROM finished WHERE turn = ?1";
            if tx.one(known, [&turn], |_| Ok(()))?.is_some() {
                return Ok(Ok(Submitted::Duplicate));
            }
            if let Err(refused) = admit(tx, &session, admission, depth)? {
                return Ok(Err(refused));
            }
            let sequence = tx.take_place();
            let (user, id) = (session.user.as_str(), session.id.as_str());
            tx.execute(
                "INSERT INTO jobs (sequence, user, session, turn, attempts, job) \
                 VALUES (?1, ?2, ?3, ?4, 0, ?5)",
                params![signed(sequence), user, id, turn, bytes],
            )?;
            tx.execute("INSERT INTO free VALUES (?1)", [signed(sequence)])?;
            tx.tell(Told::Job);
            Ok(Ok(Submitted::Accepted(sequence)))
        });
        submitted.await?
    }

    async fn next(&self) -> Result<Delivery> {
        let _first = self.line.lock().await;
        loop {
            let (now, lease) = (self.store.lease_time(), millis(self.store.limits.lease));
            let store = Arc::downgrade(&self.store);
            let found = self
                .store
                .write(false, move |tx| lend(tx, now, now + lease, store))
                .await?;
            let until = match found {
                Found::Job(lent) => return Ok(lent.deliver(&self.store)),
                Found::Nothing { until } => until,
            };
            let jobs = self.store.news.jobs.notified();
            match until {
                None => jobs.await,
                Some(until) => tokio::select! {
                    biased;
                    () = jobs => {}
                    () = sleep_until(self.store.lease_instant(until)) => {}
                },
            }
        }
    }

    async fn first(&self, session: &Session) -> Result<Option<Sequence>> {
        let session = session.clone();
        let first = self.store.read(move |connection| {
            let sql = "SELECT min(sequence) FROM jobs WHERE user = ?1 AND session = ?2";
            let key = [session.user.as_str(), session.id.as_str()];
            one(connection, sql, key, |row| row.get::<_, Option<i64>>(0))
        });
        let first = first.await?.flatten();
        Ok(first.map(|it| Sequence(it.cast_unsigned())))
    }

    async fn pending(&self, session: &Session) -> Result<Vec<Pending>> {
        let session = session.clone();
        self.store
            .read(move |connection| pending(connection, &session))
            .await
    }

    async fn clear(&self, session: &Session) -> Result<u64> {
        let session = session.clone();
        let cleared = self.store.write(true, move |tx| {
            let mut cleared = 0;
            let sql = "SELECT min(sequence) FROM jobs WHERE user = ?1 AND session = ?2";
            loop {
                let key = [session.user.as_str(), session.id.as_str()];
                let Some(job) = tx.one(sql, key, |row| row.get(0))?.flatten() else {
                    return Ok(cleared);
                };
                remove(tx, job)?;
                cleared += 1;
            }
        });
        cleared.await
    }

    async fn depth(&self) -> Result<u64> {
        let depth = self.store.read(|connection| {
            one(connection, "SELECT count(*) FROM jobs", [], |row| {
                row.get::<_, i64>(0)
            })
        });
        Ok(depth.await?.unwrap_or(0).cast_unsigned())
    }
}

impl Store {
    /// Milliseconds since the store was opened.
    fn lease_time(&self) -> i64 {
        millis(self.opened.elapsed())
    }

    fn lease_instant(&self, time: i64) -> Instant {
        self.opened + Duration::from_millis(time.max(0).cast_unsigned())
    }
}

/// Whether a job may join; what it says otherwise. Writes nothing.
fn admit(
    tx: &Tx<'_>,
    session: &Session,
    admission: Admission,
    depth: u32,
) -> rusqlite::Result<Result<()>> {
    let sql = "SELECT count(*), max(sequence) FROM jobs WHERE user = ?1 AND session = ?2";
    let key = [session.user.as_str(), session.id.as_str()];
    let found = tx.one(sql, key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, newest): (i64, Option<i64>) = found.unwrap_or_default();
    let admitted = match admission {
        Admission::Enqueue => true,
        Admission::IfEmpty => count == 0,
        Admission::IfLast(last) => newest == Some(signed(last)),
    };
    Ok(if !admitted {
        Err(Error::Busy)
    } else if count >= i64::from(depth) {
        Err(Error::Full(format!(
            "the session has {count} unfinished turns"
        )))
    } else {
        Ok(())
    })
}

/// What a look for the next job found.
enum Found {
    Job(Box<Lent>),
    /// Nothing before this time, unless somebody tells.
    Nothing {
        until: Option<i64>,
    },
}

/// Takes the oldest job that is nobody's.
fn lend(tx: &mut Tx<'_>, now: i64, until: i64, store: Weak<Store>) -> rusqlite::Result<Found> {
    let due = "INSERT INTO free SELECT sequence FROM held WHERE until <= ?1";
    if tx.execute(due, [now])? > 0 {
        tx.execute("DELETE FROM held WHERE until <= ?1", [now])?;
    }
    for _ in 0..BURIED {
        let sql = "SELECT min(sequence) FROM free";
        let Some(sequence) = tx.one(sql, [], |row| row.get(0))?.flatten() else {
            let sql = "SELECT min(until) FROM held";
            let until = tx.one(sql, [], |row| row.get(0))?.flatten();
            return Ok(Found::Nothing { until });
        };
        let sql = "SELECT user, session, job, attempts + 1 FROM jobs WHERE sequence = ?1";
        let parsed = tx.one(sql, [sequence], |row| Ok((parse(row)?, row.get(3)?)))?;
        match parsed {
            Some((Ok((session, turn, job)), attempt)) => {
                hold(tx, sequence, until)?;
                tx.execute(
                    "UPDATE jobs SET attempts = ?2 WHERE sequence = ?1",
                    [sequence, attempt],
                )?;
                return Ok(Found::Job(Box::new(Lent {
                    session,
                    turn,
                    job,
                    attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
                    slip: Slip {
                        sequence,
                        store: Some(store),
                    },
                })));
            }
            Some((Err(reason), _)) => bury(tx, sequence, reason)?,
            None => remove(tx, sequence)?,
        }
    }
    Ok(Found::Nothing { until: Some(now) })
}

/// A job's session, turn and content, or why it cannot be read.
fn parse(row: &Row<'_>) -> rusqlite::Result<Result<(Session, TurnId, Job), String>> {
    let (user, id): (String, String) = (row.get(0)?, row.get(1)?);
    let session = match Session::parse(&user, &id) {
        Ok(session) => session,
        Err((field, error)) => return Ok(Err(format!("{field} {error}"))),
    };
    let job = match Job::decode(row.get_ref(2)?.as_blob()?) {
        Ok(job) if job.version <= FORMAT => job,
        Ok(job) => return Ok(Err(format!("a job of format {}", job.version))),
        Err(error) => return Ok(Err(format!("not a job: {error}"))),
    };
    match job.turn_id.parse() {
        Ok(turn) => Ok(Ok((session, turn, job))),
        Err(error) => Ok(Err(format!("turn id {error}"))),
    }
}

/// Puts a job that nobody can read where people look for it.
fn bury(tx: &mut Tx<'_>, sequence: i64, reason: String) -> rusqlite::Result<()> {
    tracing::error!(
        sequence,
        reason,
        "a job cannot be read; filed under dead letters"
    );
    let sql = "SELECT user, session, job FROM jobs WHERE sequence = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found: Option<(String, String, Vec<u8>)> = tx.one(sql, [sequence], read)?;
    if let Some((user, id, payload)) = found {
        let mut letter = DeadLetter {
            payload: payload.into(),
            code: "unreadable".to_owned(),
            reason,
            ..DeadLetter::default()
        };
        letter.buried.get_or_insert_default().seconds = tx.wall()? / 1_000;
        let session = Session::parse(&user, &id);
        let key = session.map_or_else(
            |_| Key::spelled("unknown".to_owned()),
            |it| Key::session(&it),
        );
        let key = key.child(&sequence.to_string());
        records::put(tx, Bucket::DeadLetters, &key, &letter.encode_to_vec())?;
    }
    remove(tx, sequence)
}

/// A job is somebody's until a time.
fn hold(tx: &Tx<'_>, sequence: i64, until: i64) -> rusqlite::Result<()> {
    let exists = "SELECT 1 FROM jobs WHERE sequence = ?1";
    if tx.one(exists, [sequence], |_| Ok(()))?.is_some() {
        tx.execute("DELETE FROM free WHERE sequence = ?1", [sequence])?;
        let sql = "INSERT OR REPLACE INTO held (sequence, until) VALUES (?1, ?2)";
        tx.execute(sql, [sequence, until])?;
    }
    Ok(())
}

/// A job leaves for good; its turn is remembered for a while.
fn remove(tx: &Tx<'_>, sequence: i64) -> rusqlite::Result<()> {
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

fn pending(connection: &Connection, session: &Session) -> rusqlite::Result<Vec<Pending>> {
    let mut statement = connection.prepare_cached(
        "SELECT user, session, job, sequence FROM jobs \
         WHERE user = ?1 AND session = ?2 ORDER BY sequence",
    )?;
    let key = [session.user.as_str(), session.id.as_str()];
    let mut rows = statement.query(key)?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        // One that cannot be read is put away when it comes up.
        if let Ok((_, turn, job)) = parse(row)? {
            let sequence = Sequence(row.get::<_, i64>(3)?.cast_unsigned());
            pending.push(Pending {
                sequence,
                turn,
                job,
            });
        }
    }
    Ok(pending)
}

/// A job on its way to a worker.
struct Lent {
    session: Session,
    turn: TurnId,
    job: Job,
    attempt: u32,
    slip: Slip,
}

impl Lent {
    fn deliver(mut self, store: &Arc<Store>) -> Delivery {
        self.slip.store = None;
        let sequence = self.slip.sequence;
        Delivery {
            session: self.session,
            turn: self.turn,
            job: self.job,
            sequence: Sequence(sequence.cast_unsigned()),
            attempt: self.attempt,
            lease: Box::new(Held {
                store: Arc::clone(store),
                sequence,
            }),
        }
    }
}

/// Gives a job back at once when nobody took it: its worker stopped waiting
/// while it was under way.
struct Slip {
    sequence: i64,
    store: Option<Weak<Store>>,
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
        self.store
            .write(false, move |tx| hold(tx, sequence, until))
            .await
    }

    async fn acknowledge(self: Box<Self>) -> Result<()> {
        let sequence = self.sequence;
        self.store
            .write(false, move |tx| remove(tx, sequence))
            .await
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
