//! Records in JetStream key-value buckets, one value per key. Read from the
//! leader only, and really removed when deleted: a revision is a place in the
//! bucket's stream and is never used again, so no marker is needed.

use std::time::Duration;

use async_nats::HeaderMap;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::read;
use super::settings::{bucket_prefix, bucket_stream};
use super::wire::{Trouble, Wire, code, right_after};
use crate::{Bucket, Error, Expected, Key, MAX_RECORD_BYTES, Record, Records, Result};

/// How long a change is tried while the bucket has no leader.
const PATIENCE: Duration = Duration::from_secs(15);

/// The buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) wire: Wire,
}

impl Buckets {
    async fn put_once(
        &self,
        subject: &str,
        value: Bytes,
        expected: Option<u64>,
    ) -> Result<u64, Trouble> {
        let headers = || expected.map_or_else(HeaderMap::new, right_after);
        Ok(self.wire.publish(subject, headers, value).await?.seq)
    }

    /// The keys that one filter matches.
    async fn subjects(&self, bucket: Bucket, filter: &str, into: &mut Vec<Key>) -> Result<()> {
        let (stream, prefix) = (bucket_stream(bucket), bucket_prefix(bucket));
        let filter = format!("{prefix}{filter}");
        let subjects = read::subjects(&self.wire, &stream, &filter, usize::MAX).await?;
        let keys = subjects.keys().filter_map(|it| it.strip_prefix(&prefix));
        into.extend(keys.map(|it| Key::spelled(it.to_owned())));
        Ok(())
    }
}

#[async_trait]
impl Records for Buckets {
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Record>> {
        let stream = bucket_stream(bucket);
        let subject = format!("{}{}", bucket_prefix(bucket), key.as_str());
        let message = read::last(&self.wire, &stream, &subject).await?;
        // A marker of somebody else's tool is a deletion too.
        let value = message.filter(|it| !it.is_marker());
        Ok(value.map(|it| Record { revision: it.seq, value: it.data }))
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
        let subject = format!("{}{}", bucket_prefix(bucket), key.as_str());
        let condition = match expected {
            Expected::Any => None,
            Expected::Absent => Some(0),
            Expected::Revision(revision) => Some(revision),
        };
        let deadline = Instant::now() + PATIENCE;
        let mut doubtful = false;
        loop {
            match self.put_once(&subject, value.clone(), condition).await {
                Ok(revision) => return Ok(revision),
                Err(trouble) if trouble.is(code::WRONG_LAST_SEQUENCE) => {
                    // After a doubtful try the record may be at our own value.
                    let now = if doubtful { self.get(bucket, key).await? } else { None };
                    return match now {
                        Some(now) if now.value == value => Ok(now.revision),
                        Some(_) | None => Err(Error::Conflict),
                    };
                }
                Err(Trouble::Silent(why)) if Instant::now() < deadline => {
                    tracing::debug!(why, "a record's change is in doubt; trying again");
                    doubtful = true;
                    sleep(Duration::from_millis(50)).await;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }

    async fn delete(&self, bucket: Bucket, key: &Key) -> Result<()> {
        let subject = format!("{}{}", bucket_prefix(bucket), key.as_str());
        read::purge(&self.wire, &bucket_stream(bucket), &subject, None).await?;
        Ok(())
    }

    async fn list(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        self.subjects(bucket, prefix.as_str(), &mut keys).await?;
        self.subjects(bucket, &format!("{}.>", prefix.as_str()), &mut keys).await?;
        keys.sort();
        Ok(keys)
    }

    async fn all(&self, bucket: Bucket) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        self.subjects(bucket, ">", &mut keys).await?;
        keys.sort();
        Ok(keys)
    }
}
