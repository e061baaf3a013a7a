//! What is remembered about a user for longer than a session, in `Records`:
//! written, listed, found by relevance, forgotten for good.
//!
//! A user's memories are reachable by that user's id only. Nothing is kept in
//! the process: what one process forgets, no other one knows.

mod kept;
mod meaning;
mod name;
mod rank;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use broker::{Bucket, Expected, Key, Records};
use prost::Message as _;
use proto::{FORMAT, Memory, UserId};
use tokio::time::Instant;
use uuid::Uuid;
use words::Terms;

use crate::kept::Kept;
use crate::meaning::{Meaning, PATIENCE};

/// The longest text of one memory, in bytes.
pub const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The most memories of one user. Some more when several are written at once.
pub const MAX_MEMORIES: usize = 1_000;

/// The longest query, in bytes.
pub const MAX_QUERY_BYTES: usize = 4 * 1024;

/// How many texts an embedder is asked for at once, and how often in one search.
const BATCH: usize = 10;
const BATCHES: usize = 8;

/// Who chose to remember something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// It was written from outside.
    User,
    /// The agent did.
    Agent,
}

impl Author {
    /// As [`Memory`] names it.
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
        }
    }
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
    /// The query is empty, or past [`MAX_QUERY_BYTES`].
    #[error("a query must have 1 to {MAX_QUERY_BYTES} bytes of text, not {0}")]
    Query(usize),
    /// The user has [`MAX_MEMORIES`] already.
    #[error("a user may have at most {MAX_MEMORIES} memories; forget some first")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] broker::Error),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The memories of all users. What it returns carries no vectors.
#[derive(Debug, Clone)]
pub struct Memories {
    records: Arc<dyn Records>,
    meaning: Option<Arc<Meaning>>,
}

impl Memories {
    /// Found by their words.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Self { records, meaning: None }
    }

    /// Found by their words and by what they mean.
    #[must_use]
    pub fn embedded(self, embedder: Arc<dyn Embedder>) -> Self {
        Self { meaning: Some(Arc::new(Meaning::new(embedder))), ..self }
    }

    /// Remembers a text, on one line. One that is remembered already, but for
    /// case, space and the mark at its end, stays as it is and is returned:
    /// repeating this changes nothing.
    ///
    /// Errors: [`Error::Length`], [`Error::Full`], [`Error::Store`].
    pub async fn add(&self, user: &UserId, text: &str, author: Author) -> Result<Memory> {
        let text = flat(text);
        if text.is_empty() || text.len() > MAX_TEXT_BYTES {
            return Err(Error::Length(text.len()));
        }
        let id = name::of(user, &text).to_string();
        let key = kept::key(user, &id);
        if let Some(known) = kept::read(&*self.records, &key).await? {
            return Ok(shown(known.memory));
        }
        if self.keys(user).await?.len() >= MAX_MEMORIES {
            return Err(Error::Full);
        }
        let memory = self.described(Memory {
            version: FORMAT,
            id,
            text,
            at: Some(proto::timestamp(process::clock::now())),
            source: author.name().to_owned(),
            ..Memory::default()
        });
        let memory = memory.await;
        let value = memory.encode_to_vec().into();
        match self.records.put(Bucket::Memory, &key, value, Expected::Absent).await {
            Ok(_) => Ok(shown(memory)),
            // Somebody else was first with the same words.
            Err(broker::Error::Conflict) => {
                let known = kept::read(&*self.records, &key).await?;
                Ok(shown(known.map_or(memory, |it| it.memory)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All of a user's memories, the newest first.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Memory>> {
        Ok(self.all(user).await?.into_iter().map(|it| shown(it.memory)).collect())
    }

    /// The memories that a query is about, best first, with scores that compare
    /// within one answer only: by the words that they share, and with an embedder
    /// also by what they mean, in which case every memory is a little about
    /// everything.
    ///
    /// Errors: [`Error::Query`], [`Error::Store`].
    pub async fn search(
        &self,
        user: &UserId,
        query: &str,
        limit: usize,
    ) -> Result<Vec<(Memory, f64)>> {
        let query = query.trim();
        if query.is_empty() || query.len() > MAX_QUERY_BYTES {
            return Err(Error::Query(query.len()));
        }
        let mut all = self.all(user).await?;
        let near = self.near(&mut all, query).await;
        let (all, by_words) = by_words(all, query).await?;
        let found = rank::fused(&[by_words, near]).into_iter().take(limit);
        Ok(found.map(|(at, score)| (shown(all[at].memory.clone()), score)).collect())
    }

    /// What to tell a model that answers a question, in so many bytes of text.
    ///
    /// First what the question is about, best first; then the newest of the
    /// others, as what matters for every question (a name, a language) shares no
    /// words with most. Where not everything fits, a quarter of the budget is
    /// kept for those, and one that does not fit is passed over. Of a long
    /// question only the first [`MAX_QUERY_BYTES`] count; with nothing that it is
    /// about, the newest are told. An embedder is asked only where not everything
    /// fits.
    pub async fn relevant(
        &self,
        user: &UserId,
        question: &str,
        budget_bytes: usize,
    ) -> Result<Vec<Memory>> {
        let question = question.trim();
        let question = &question[..question.floor_char_boundary(MAX_QUERY_BYTES)];
        let mut all = self.all(user).await?;
        let sizes: Vec<_> = all.iter().map(|it| it.memory.text.len()).collect();
        let whole = sizes.iter().sum::<usize>() <= budget_bytes;
        let near = if whole { Vec::new() } else { self.near(&mut all, question).await };
        let (all, by_words) = by_words(all, question).await?;
        let matches: Vec<_> = rank::fused(&[by_words, near]).into_iter().map(|it| it.0).collect();
        let chosen = rank::within(budget_bytes, &sizes, &matches);
        Ok(chosen.into_iter().map(|at| shown(all[at].memory.clone())).collect())
    }

    /// Removes one memory from the store: nobody finds it again, and no marker says
    /// that it was there. (The files of a store are rewritten in its own time.)
    /// Whether it was there.
    pub async fn forget(&self, user: &UserId, id: &str) -> Result<bool> {
        let Ok(id) = Uuid::try_parse(id) else {
            return Ok(false);
        };
        let key = kept::key(user, &id.to_string());
        if self.records.get(Bucket::Memory, &key).await?.is_none() {
            return Ok(false);
        }
        self.records.delete(Bucket::Memory, &key).await?;
        Ok(true)
    }

    /// Removes all memories of a user, also those that cannot be read; how many
    /// there were. What is written meanwhile may stay.
    pub async fn forget_all(&self, user: &UserId) -> Result<usize> {
        let keys = self.keys(user).await?;
        let many = keys.len();
        kept::remove(&self.records, keys).await?;
        Ok(many)
    }

    async fn keys(&self, user: &UserId) -> Result<Vec<Key>> {
        Ok(self.records.list(Bucket::Memory, &Key::user(user)).await?)
    }

    /// The newest first.
    async fn all(&self, user: &UserId) -> Result<Vec<Kept>> {
        Ok(kept::all(&self.records, self.keys(user).await?).await?)
    }

    /// With what it means, if that is known soon.
    async fn described(&self, memory: Memory) -> Memory {
        let Some(meaning) = &self.meaning else {
            return memory;
        };
        let deadline = Instant::now() + PATIENCE;
        match meaning.of(&memory.text, &meaning.texts, deadline).await {
            Some(vector) => described(memory, vector, meaning),
            None => memory,
        }
    }

    /// Which of them are near to the query in meaning, if that is known soon.
    async fn near(&self, all: &mut [Kept], query: &str) -> Vec<usize> {
        let Some(meaning) = &self.meaning else {
            return Vec::new();
        };
        if all.is_empty() || query.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + PATIENCE;
        let Some(query) = meaning.of(query, &meaning.queries, deadline).await else {
            return Vec::new();
        };
        self.complete(all, meaning, deadline).await;
        let vectors = all.iter().map(|it| {
            let same = it.memory.embedding_model == meaning.model();
            same.then_some(it.memory.embedding.as_slice())
        });
        rank::by_meaning(&query, vectors)
    }

    /// Asks what those mean of which it is not known, the newest first, and writes
    /// it down: so many as may be, until then. Texts that are refused are in the
    /// way of those beside them only.
    async fn complete(&self, all: &mut [Kept], meaning: &Meaning, deadline: Instant) {
        if meaning.texts.lasts() {
            return;
        }
        let unknown = |it: &&mut Kept| it.memory.embedding_model != meaning.model();
        let mut unknown: Vec<_> = all.iter_mut().filter(unknown).take(BATCH * BATCHES).collect();
        let (mut learned, mut failure) = (Vec::new(), None);
        for batch in unknown.chunks_mut(BATCH) {
            if Instant::now() >= deadline {
                break;
            }
            let texts: Vec<_> = batch.iter().map(|it| it.memory.text.clone()).collect();
            let vectors = meaning.ask(&texts, deadline).await;
            let vectors = vectors.unwrap_or_else(|why| {
                failure = Some(why);
                Vec::new()
            });
            for (kept, vector) in batch.iter_mut().zip(vectors) {
                kept.memory = described(std::mem::take(&mut kept.memory), vector, meaning);
                learned.push(kept.clone());
            }
        }
        if let Some(why) = failure {
            meaning.failed(&meaning.texts, &why);
        }
        kept::note(&self.records, learned).await;
    }
}

fn described(memory: Memory, embedding: Vec<f32>, meaning: &Meaning) -> Memory {
    Memory { embedding, embedding_model: meaning.model().to_owned(), ..memory }
}

/// Without its vector, which means nothing to anybody else; on one line, also
/// when it was kept otherwise.
fn shown(memory: Memory) -> Memory {
    let text = flat(&memory.text);
    Memory { text, embedding: Vec::new(), embedding_model: String::new(), ..memory }
}

/// On one line, with single spaces: in a list that a model is told, a text that
/// breaks the line could pose as something that stands beside the list.
fn flat(text: &str) -> String {
    let parts = text.split(|it: char| it.is_whitespace() || it.is_control());
    parts.filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Which of them share words with a query. Beside the tasks that must not wait:
/// cutting a thousand long texts takes its time.
async fn by_words(all: Vec<Kept>, query: &str) -> Result<(Vec<Kept>, Vec<usize>)> {
    let query = query.to_owned();
    let ranked = tokio::task::spawn_blocking(move || {
        let texts: Vec<_> = all.iter().map(|it| it.memory.text.as_str()).collect();
        let order = rank::by_words(&mut Terms::new(), &query, &texts);
        (all, order)
    });
    ranked.await.map_err(|error| {
        broker::Error::Unavailable(format!("a search of memories did not end: {error}")).into()
    })
}
