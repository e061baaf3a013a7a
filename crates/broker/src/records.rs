//! The port for small keyed values with compare-and-set.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{Session, UserId};

use crate::{Result, token};

/// The largest value, in bytes.
pub const MAX_RECORD_BYTES: usize = 768 * 1024;
/// How many records [`Records::below`] asks for at once where each is a question
/// of its own.
const AT_ONCE: usize = 32;

/// Small durable values that outlive the log's retention.
#[async_trait]
pub trait Records: fmt::Debug + Send + Sync {
    /// The value under a key, read where it is certain.
    async fn get(&self, bucket: Bucket, key: &Key) -> Result<Option<Record>>;

    /// Stores a value; returns its revision.
    ///
    /// Errors: [`Error::Conflict`](crate::Error::Conflict) when the record is
    /// not as expected, [`Error::TooLarge`](crate::Error::TooLarge) past
    /// [`MAX_RECORD_BYTES`].
    async fn put(&self, bucket: Bucket, key: &Key, value: Bytes, expected: Expected)
    -> Result<u64>;

    /// Removes a value; removing what is not there is not an error.
    async fn delete(&self, bucket: Bucket, key: &Key) -> Result<()>;

    /// The keys below a prefix (itself included), in key order.
    async fn list(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<Key>>;

    /// The records below a prefix (itself included), in key order; for buckets of
    /// small values. Each is as certain as one that is read alone; one that
    /// vanishes meanwhile is left out, and one that comes meanwhile may be.
    async fn below(&self, bucket: Bucket, prefix: &Key) -> Result<Vec<(Key, Record)>> {
        let read = async |key: Key| {
            let found = self.get(bucket, &key).await?;
            Ok(found.map(|it| (key, it)))
        };
        let keys = self.list(bucket, prefix).await?;
        let found = stream::iter(keys).map(read).buffered(AT_ONCE);
        found.try_filter_map(async |it| Ok(it)).try_collect().await
    }

    /// Every key of a bucket, in key order: for operators, not on a request's
    /// way.
    async fn all(&self, bucket: Bucket) -> Result<Vec<Key>>;
}

/// A value with the revision that a change must expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was stored.
    pub value: Bytes,
    /// Grows with every change.
    pub revision: u64,
}

/// What a change expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Anything, or nothing.
    Any,
    /// Nothing.
    Absent,
    /// Exactly this revision.
    Revision(u64),
}

/// One kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// Title, last question, status of each session.
    Sessions,
    /// What each session's turns said.
    Transcripts,
    /// Interrupted turns that wait for a human.
    Reviews,
    /// Tool calls, written ahead and with their result.
    Ledgers,
    /// Long-term memory of each user.
    Memory,
    /// Idempotency keys.
    Keys,
    /// Jobs that were given up.
    DeadLetters,
    /// Secrets that all gateways share, under [`Key::secret`]. Nobody else may
    /// read them.
    Secrets,
    /// What each agent that runs says of itself, below [`Key::agents`].
    Agents,
}

impl Bucket {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sessions,
        Self::Transcripts,
        Self::Reviews,
        Self::Ledgers,
        Self::Memory,
        Self::Keys,
        Self::DeadLetters,
        Self::Secrets,
        Self::Agents,
    ];

    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Transcripts => "transcripts",
            Self::Reviews => "reviews",
            Self::Ledgers => "ledgers",
            Self::Memory => "memory",
            Self::Keys => "keys",
            Self::DeadLetters => "dead_letters",
            Self::Secrets => "secrets",
            Self::Agents => "agents",
        }
    }
}

/// A record's key: tokens joined by dots, made of the same tokens as subjects.
/// Prints as the store spells it, in `[A-Za-z0-9_=.-]`, and parses from that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Everything of a user.
    pub fn user(user: &UserId) -> Self {
        Self(token::encode(user.as_str()))
    }

    /// Everything of a session.
    pub fn session(session: &Session) -> Self {
        Self::user(&session.user).child(session.id.as_str())
    }

    /// A secret of [`Bucket::Secrets`], which belongs to nobody: it stands below
    /// the empty text, and no user is called that.
    pub fn secret(name: &str) -> Self {
        Self(token::encode("")).child(name)
    }

    /// Above all of [`Bucket::Agents`], which belongs to nobody either.
    pub fn agents() -> Self {
        Self(token::encode(""))
    }

    /// The key below this one that any text names.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(format!("{}.{}", self.0, token::encode(name)))
    }

    /// The texts that the key was made of.
    pub fn names(&self) -> Vec<String> {
        self.0.split('.').filter_map(token::decode).collect()
    }

    /// The key as the store spells it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A key as the store spells it; only for what a [`Key`] has written.
    pub(crate) fn spelled(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that no key is spelled as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not the key of a record")]
pub struct InvalidKey;

impl FromStr for Key {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let whole = text.split('.').all(|it| token::decode(it).is_some());
        if whole { Ok(Self(text.to_owned())) } else { Err(InvalidKey) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_what_it_prints_and_nothing_else_is_one() {
        let session = Session::parse("用户", "a.b").unwrap();
        let key = Key::session(&session).child("7");
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(key.names(), ["用户", "a.b", "7"]);
        for wrong in ["", ".", "a.", "a b", "*", "a.>", "=YQ", "用户"] {
            assert_eq!(wrong.parse::<Key>(), Err(InvalidKey), "{wrong:?}");
        }
    }

    #[test]
    fn no_key_of_a_user_is_spelled_as_that_of_a_secret() {
        let secret = Key::secret("tickets");
        assert_eq!(secret.to_string(), "=.tickets");
        assert_eq!(secret.to_string().parse(), Ok(secret.clone()));
        for name in ["=", "=.tickets", "tickets", "a.b", "*"] {
            assert!(!Key::user(&name.parse().unwrap()).to_string().starts_with("=."), "{name}");
            assert_eq!(Key::secret(name).names(), ["", name]);
        }
        assert!("".parse::<UserId>().is_err());
    }
}
