//! What is remembered about a user for longer than a session, in `Records`:
//! written, listed, found by relevance, forgotten for good.
//!
//! A user's memories are reachable by that user's id only.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use broker::Records;
use proto::{Memory, UserId};

/// The longest text of one memory, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The most memories of one user.
pub const MAX_MEMORIES: usize = 1_000;

/// Who chose to remember something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// It was written from outside.
    User,
    /// The agent did.
    Agent,
}

/// Turns texts into vectors whose nearness is nearness of meaning.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync {
    /// The model, as `provider/name`; vectors of different models do not
    /// compare.
    fn model(&self) -> &str;

    /// One vector for each text, in order. The error is a sentence without
    /// secrets.
    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String>;
}

/// Why something cannot be remembered or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is empty, or past [`MAX_TEXT_BYTES`].
    #[error("a memory must have 1 to {MAX_TEXT_BYTES} bytes of text, not {0}")]
    Length(usize),
    /// The user has [`MAX_MEMORIES`] already.
    #[error("a user may have at most {MAX_MEMORIES} memories; forget some first")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] broker::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The memories of all users.
#[derive(Debug, Clone)]
pub struct Memories {
    records: Arc<dyn Records>,
    embedder: Option<Arc<dyn Embedder>>,
}

impl Memories {
    /// Found by their words.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records, embedder: None }
    }

    /// Found by their words and by what they mean.
    #[must_use]
    pub fn embedded(self, embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder: Some(embedder), ..self }
    }
}
