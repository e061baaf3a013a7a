//! Memories as they are kept: one record each, under the user's key and nobody
//! else's. What cannot be read is passed over, and stays.

use std::sync::Arc;

use broker::{Bucket, Error, Expected, Key, Record, Records, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use proto::{FORMAT, Memory, UserId};

/// How many records are read or changed at once.
const AT_ONCE: usize = 32;

/// A memory, and what a change of it must expect.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    key: Key,
    revision: u64,
    pub(crate) memory: Memory,
}

impl Kept {
    /// When it was written, and its id: a total order.
    fn age(&self) -> (i64, i32, &str) {
        let at = self.memory.at.as_ref().map_or((0, 0), |it| (it.seconds, it.nanos));
        (at.0, at.1, &self.memory.id)
    }
}

/// The key of one memory of a user.
pub(crate) fn key(user: &UserId, id: &str) -> Key {
    Key::user(user).child(id)
}

/// One memory, if it is there.
pub(crate) async fn read(records: &dyn Records, key: &Key) -> Result<Option<Kept>> {
    let found = records.get(Bucket::Memory, key).await?;
    found.map(|it| parse(key, &it)).transpose()
}

fn parse(key: &Key, record: &Record) -> Result<Kept> {
    let corrupt = |why: String| Error::Corrupt(format!("the memory {key}: {why}"));
    let memory = Memory::decode(&*record.value).map_err(|error| corrupt(error.to_string()))?;
    if memory.version != FORMAT {
        return Err(corrupt(format!("has format {}, not {FORMAT}", memory.version)));
    }
    // The key is the truth: it is what forgetting goes by.
    let id = key.names().pop().unwrap_or_default();
    let memory = Memory { id, ..memory };
    Ok(Kept { key: key.clone(), revision: record.revision, memory })
}

/// What these keys hold, the newest first.
pub(crate) async fn all(records: &Arc<dyn Records>, keys: Vec<Key>) -> Result<Vec<Kept>> {
    let reads = stream::iter(keys).map(|key| {
        let records = Arc::clone(records);
        async move {
            match read(&*records, &key).await {
                Err(Error::Corrupt(why)) => {
                    tracing::warn!(why, "a memory cannot be read and is passed over");
                    Ok(None)
                }
                read => read,
            }
        }
    });
    let mut all: Vec<_> =
        reads.buffer_unordered(AT_ONCE).try_filter_map(async |it| Ok(it)).try_collect().await?;
    all.sort_by(|a: &Kept, b: &Kept| b.age().cmp(&a.age()));
    Ok(all)
}

/// Removes what these keys hold.
pub(crate) async fn remove(records: &Arc<dyn Records>, keys: Vec<Key>) -> Result<()> {
    let removals = stream::iter(keys).map(|key| {
        let records = Arc::clone(records);
        async move { records.delete(Bucket::Memory, &key).await }
    });
    removals.buffer_unordered(AT_ONCE).try_collect().await
}

/// Writes down what the memories mean. Never brings one back: who was forgotten
/// or changed since it was read stays as it is.
pub(crate) async fn note(records: &Arc<dyn Records>, memories: Vec<Kept>) {
    let notes = stream::iter(memories).map(|kept| {
        let records = Arc::clone(records);
        async move {
            let (value, expected) =
                (kept.memory.encode_to_vec(), Expected::Revision(kept.revision));
            match records.put(Bucket::Memory, &kept.key, value.into(), expected).await {
                Ok(_) | Err(Error::Conflict) => {}
                Err(error) => tracing::debug!(%error, "what a memory means was not noted"),
            }
        }
    });
    notes.buffer_unordered(AT_ONCE).collect::<()>().await;
}
