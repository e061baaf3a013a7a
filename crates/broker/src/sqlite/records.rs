//! Small keyed values in a table. A revision is a place in the store's one
//! sequence, so that it grows even when a value is removed and comes back.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::params;

use super::engine::{Tx, one, signed};
use super::store::Store;
use crate::{Bucket, Error, Expected, Key, MAX_RECORD_BYTES, Record, Records, Result};

/// The records of a [`Store`].
#[derive(Debug)]
pub(super) struct Values {
    store: Arc<Store>,
}

impl Values {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Records for Values {
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Record>> {
        let key = key.clone();
        let found = self.store.read(move |connection| {
            let sql = "SELECT value, revision FROM records WHERE bucket = ?1 AND key = ?2";
            one(connection, sql, [bucket.name(), key.as_str()], |row| {
                Ok(Record {
                    value: Bytes::from(row.get::<_, Vec<u8>>(0)?),
                    revision: row.get::<_, i64>(1)?.cast_unsigned(),
                })
            })
        });
        found.await
    }

    async fn put(
        &self,
        bucket: Bucket,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<u64> {
        if value.len() > MAX_RECORD_BYTES {
            return Err(Error::TooLarge {
                what: "record",
                size: value.len(),
                limit: MAX_RECORD_BYTES,
            });
        }
        let key = key.clone();
        let put = self.store.write(true, move |tx| {
            let sql = "SELECT revision FROM records WHERE bucket = ?1 AND key = ?2";
            let found: Option<i64> =
                tx.one(sql, [bucket.name(), key.as_str()], |row| row.get(0))?;
            let found = found.map(i64::cast_unsigned);
            let as_expected = match expected {
                Expected::Any => true,
                Expected::Absent => found.is_none(),
                Expected::Revision(revision) => found == Some(revision),
            };
            if !as_expected {
                return Ok(Err(Error::Conflict));
            }
            put(tx, bucket, &key, &value).map(Ok)
        });
        put.await?
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> Result<()> {
        let key = key.clone();
        let deleted = self.store.write(true, move |tx| {
            let sql = "DELETE FROM records WHERE bucket = ?1 AND key = ?2";
            tx.execute(sql, [bucket.name(), key.as_str()])
        });
        deleted.await.map(drop)
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<Key>> {
        let prefix = prefix.clone();
        let keys = self.store.read(move |connection| {
            // `/` is what comes after `.`: this is everything below the prefix.
            let mut statement = connection.prepare_cached(
                "SELECT key FROM records WHERE bucket = ?1 AND \
                 (key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/')) ORDER BY key",
            )?;
            let keys = statement.query_map([bucket.name(), prefix.as_str()], |row| row.get(0))?;
            keys.map(|key| key.map(Key::spelled)).collect()
        });
        keys.await
    }

    async fn below(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<(Key, Record)>> {
        let prefix = prefix.clone();
        let found = self.store.read(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, value, revision FROM records WHERE bucket = ?1 AND \
                 (key = ?2 OR (key > ?2 || '.' AND key < ?2 || '/')) ORDER BY key",
            )?;
            let rows = statement.query_map([bucket.name(), prefix.as_str()], |row| {
                let value = Bytes::from(row.get::<_, Vec<u8>>(1)?);
                let revision = row.get::<_, i64>(2)?.cast_unsigned();
                Ok((Key::spelled(row.get(0)?), Record { value, revision }))
            })?;
            rows.collect()
        });
        found.await
    }

    async fn all(&self, bucket: Bucket) -> Result<Vec<Key>> {
        let keys = self.store.read(move |connection| {
            let sql = "SELECT key FROM records WHERE bucket = ?1 ORDER BY key";
            let mut statement = connection.prepare_cached(sql)?;
            let keys = statement.query_map([bucket.name()], |row| row.get(0))?;
            keys.map(|key| key.map(Key::spelled)).collect()
        });
        keys.await
    }
}

/// Stores a value whatever was there; returns its revision.
pub(super) fn put(
    tx: &mut Tx<'_>,
    bucket: Bucket,
    key: &Key,
    value: &[u8],
) -> rusqlite::Result<u64> {
    let revision = tx.take_place();
    tx.execute(
        "INSERT INTO records (bucket, key, revision, value) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET revision = excluded.revision, value = excluded.value",
        params![bucket.name(), key.as_str(), signed(revision), value],
    )?;
    Ok(revision.0)
}
