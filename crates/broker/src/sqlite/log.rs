//! Session entries in a table; whether an append may go is the primary key's
//! answer, and who listens is told after the commit.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use proto::{Ending, Entry, Session, event};
use rusqlite::{Row, params};

use super::engine::{one, signed};
use super::news::Told;
use super::store::Store;
use crate::{AppendError, Epoch, Error, Live, Log, MAX_ENTRY_BYTES, Result, Sequence, Stored};

/// What a read brings at most, in bytes.
const MAX_READ_BYTES: usize = 128 * 1024;
/// Entries erased in one transaction, so that a purge holds nobody up.
const ERASED: usize = 1_000;

/// The log of a [`Store`].
#[derive(Debug)]
pub(super) struct Entries {
    store: Arc<Store>,
}

impl Entries {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Log for Entries {
    fn epoch(&self) -> Epoch {
        self.store.epoch
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        bytes: Bytes,
    ) -> Result<Sequence, AppendError> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(AppendError::Failed(Error::TooLarge {
                what: "entry",
                size: bytes.len(),
                limit: MAX_ENTRY_BYTES,
            }));
        }
        let entry = decode(&bytes)?;
        let durable = must_last(&entry);
        let session = session.clone();
        let appended = self.store.write(durable, move |tx| {
            let (user, id) = (session.user.as_str(), session.id.as_str());
            let sql = "SELECT max(sequence) FROM entries WHERE user = ?1 AND session = ?2";
            let last: Option<i64> = tx.one(sql, [user, id], |row| row.get(0))?.flatten();
            if last.unwrap_or(0).cast_unsigned() != follows.0 {
                return Ok(Err(AppendError::Refused));
            }
            let sequence = tx.take_place();
            tx.execute(
                "INSERT INTO entries (sequence, user, session, stored_at, entry) \
                 VALUES (?1, ?2, ?3, CAST(unixepoch('subsec') * 1000 AS INTEGER), ?4)",
                params![signed(sequence), user, id, bytes.as_ref()],
            )?;
            tx.tell(Told::Entry(session, Arc::new(Stored { sequence, entry })));
            Ok(Ok(sequence))
        });
        match appended.await {
            Ok(appended) => appended,
            // The commit may have reached the file before it failed.
            Err(Error::Unavailable(why)) => Err(AppendError::Unknown(why)),
            Err(error) => Err(AppendError::Failed(error)),
        }
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        let session = session.clone();
        let last = self.store.read(move |connection| {
            let sql = "SELECT sequence, entry FROM entries WHERE user = ?1 AND session = ?2 \
                       ORDER BY sequence DESC LIMIT 1";
            let key = [session.user.as_str(), session.id.as_str()];
            one(connection, sql, key, stored)
        });
        last.await?.transpose()
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        let session = session.clone();
        let read = self.store.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sequence, entry FROM entries \
                 WHERE user = ?1 AND session = ?2 AND sequence > ?3 ORDER BY sequence LIMIT ?4",
            )?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let (user, id) = (session.user.as_str(), session.id.as_str());
            let mut rows = statement.query(params![user, id, signed(after), most])?;
            let (mut entries, mut size) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                size += row.get_ref(1)?.as_blob()?.len();
                if size > MAX_READ_BYTES && !entries.is_empty() {
                    break;
                }
                entries.push(stored(row)?);
            }
            Ok(entries.into_iter().collect())
        });
        read.await?
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        Ok(self.store.news.listen(session))
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        let mut erased = 0;
        loop {
            let session = session.clone();
            let some = self.store.write(true, move |tx| {
                tx.execute(
                    "DELETE FROM entries WHERE sequence IN (SELECT sequence FROM entries \
                     WHERE user = ?1 AND session = ?2 AND sequence < ?3 \
                     ORDER BY sequence LIMIT ?4)",
                    params![
                        session.user.as_str(),
                        session.id.as_str(),
                        signed(before),
                        ERASED.cast_signed()
                    ],
                )
            });
            let some = some.await?;
            erased += some as u64;
            if some < ERASED {
                return Ok(erased);
            }
        }
    }
}

/// Whether an entry must be on the disk before it is acknowledged: the end of
/// a turn, and what a client was promised. The rest is text, which its agent
/// says again.
fn must_last(entry: &Entry) -> bool {
    let ends = |it: &proto::SessionState| it.ending() != Ending::Unspecified;
    let promised = |it: &proto::Event| {
        matches!(it.kind, Some(event::Kind::CancelRequested(_) | event::Kind::Deleted(_)))
    };
    entry.state.as_ref().is_some_and(ends) || entry.events.iter().any(promised)
}

/// The outer result is the database's, the inner one the content's.
fn stored(row: &Row<'_>) -> rusqlite::Result<Result<Stored>> {
    let sequence: i64 = row.get(0)?;
    let entry = decode(row.get_ref(1)?.as_blob()?);
    Ok(entry.map(|entry| Stored { sequence: Sequence(sequence.cast_unsigned()), entry }))
}

fn decode(bytes: &[u8]) -> Result<Entry> {
    Entry::decode(bytes).map_err(|error| Error::Corrupt(format!("not an entry: {error}")))
}
