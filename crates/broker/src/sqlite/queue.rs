//! Jobs in a table: accepted is stored, once, up to the session's depth. What
//! cannot be read is filed, never handed out again and again.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use prost::Message as _;
use proto::{DeadLetter, FORMAT, Job, Session, SessionId, TurnId, UserId, code};
use rusqlite::{Connection, Row, params};
use tokio::sync::Mutex;
use tokio::time::sleep_until;

use super::engine::{Tx, millis, one, signed};
use super::lease::{Lent, Slip, hold, remove};
use super::news::Told;
use super::records;
use super::store::Store;
use crate::{
    Admission, Bucket, Delivery, Error, Key, MAX_BUSY, MAX_JOB_BYTES, Pending, Queue, Result,
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
        Self { store, line: Mutex::new(()) }
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
        let turn = match job.turn_id.parse::<TurnId>() {
            Ok(turn) => turn,
            Err(why) => return Err(Error::Unsuitable(format!("a job's turn id {why}"))),
        };
        let bytes = job.encode_to_vec();
        if bytes.len() > MAX_JOB_BYTES {
            return Err(Error::TooLarge { what: "job", size: bytes.len(), limit: MAX_JOB_BYTES });
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
            let found =
                self.store.write(false, move |tx| lend(tx, now, now + lease, store)).await?;
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

    /// The queue is in this process, and each call is one turn of the writer.
    fn waiters(&self) -> usize {
        8
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
        self.store.read(move |connection| pending(connection, &session)).await
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

    async fn busy(&self, user: &UserId) -> Result<Vec<(SessionId, u64)>> {
        let user = user.clone();
        let busy = self.store.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT session, count(*) FROM jobs WHERE user = ?1 \
                 GROUP BY session ORDER BY session LIMIT ?2",
            )?;
            let most = i64::try_from(MAX_BUSY).unwrap_or(i64::MAX);
            let key = params![user.as_str(), most];
            let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, i64)>>>()
        });
        let named = |(id, count): (String, i64)| Some((id.parse().ok()?, count.cast_unsigned()));
        Ok(busy.await?.into_iter().filter_map(named).collect())
    }

    async fn depth(&self) -> Result<u64> {
        let depth = self.store.read(|connection| {
            one(connection, "SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0))
        });
        Ok(depth.await?.unwrap_or(0).cast_unsigned())
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
        Err(Error::Full(format!("the session has {count} unfinished turns")))
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
                if job.version != FORMAT {
                    file(tx, sequence, &format!("its format is {}, not {FORMAT}", job.version))?;
                }
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
                    slip: Slip { sequence, store: Some(store) },
                })));
            }
            Some((Err(reason), _)) => {
                file(tx, sequence, &reason)?;
                remove(tx, sequence)?;
            }
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
        Ok(job) => job,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if job.user_id != user || job.session_id != id {
        return Ok(Err("it names another session than its own".to_owned()));
    }
    Ok(match job.turn_id.parse() {
        Ok(turn) => Ok((session, turn, job)),
        Err(why) => Err(format!("its turn id {why}")),
    })
}

/// Puts a job that nobody can read where people look for it.
fn file(tx: &mut Tx<'_>, sequence: i64, reason: &str) -> rusqlite::Result<()> {
    tracing::error!(sequence, reason, "a job cannot be read; filed under dead letters");
    let sql = "SELECT user, session, job FROM jobs WHERE sequence = ?1";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found: Option<(String, String, Vec<u8>)> = tx.one(sql, [sequence], read)?;
    if let Some((user, id, payload)) = found {
        let mut letter = DeadLetter {
            payload: payload.into(),
            code: code::UNREADABLE.to_owned(),
            reason: reason.to_owned(),
            ..DeadLetter::default()
        };
        letter.buried.get_or_insert_default().seconds = tx.wall()? / 1_000;
        let session = Session::parse(&user, &id);
        let key =
            session.map_or_else(|_| Key::spelled("unknown".to_owned()), |it| Key::session(&it));
        let key = key.child(&sequence.to_string());
        records::put(tx, Bucket::DeadLetters, &key, &letter.encode_to_vec())?;
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
            pending.push(Pending { sequence, turn, job });
        }
    }
    Ok(pending)
}
