//! Users, and an embedder that does as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{Broker, Limits};
use futures::future::BoxFuture;
use memory::{Author, Embedder, Memories};
use proto::{Memory, UserId};

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_mins(1);

pub(crate) fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

pub(crate) async fn embedded() -> Broker {
    broker::sqlite::open(broker::sqlite::Place::Memory, Limits::default()).await.unwrap()
}

/// The memories in a store.
pub(crate) fn of(broker: &Broker) -> Memories {
    Memories::new(Arc::clone(&broker.records))
}

/// The memories of a new store.
pub(crate) async fn memories() -> Memories {
    Memories::new(embedded().await.records)
}

/// Remembers texts, the first one first.
pub(crate) async fn remember(memories: &Memories, user: &UserId, texts: &[&str]) -> Vec<Memory> {
    let mut added = Vec::new();
    for text in texts {
        added.push(memories.add(user, text, Author::User).await.unwrap());
    }
    added
}

pub(crate) fn texts(memories: &[Memory]) -> Vec<&str> {
    memories.iter().map(|it| it.text.as_str()).collect()
}

pub(crate) async fn found(memories: &Memories, user: &UserId, query: &str) -> Vec<String> {
    let found = memories.search(user, query, 10).await.unwrap();
    assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{found:?}");
    found.into_iter().map(|it| it.0.text).collect()
}

type Answer = BoxFuture<'static, Result<Vec<Vec<f32>>, String>>;

/// An embedder that a test wrote.
pub(crate) struct Scripted {
    model: &'static str,
    answer: Box<dyn Fn(Vec<String>) -> Answer + Send + Sync>,
    asked: AtomicUsize,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.model)
    }
}

impl Scripted {
    pub(crate) fn new<F>(
        model: &'static str,
        answer: impl Fn(Vec<String>) -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Result<Vec<Vec<f32>>, String>> + Send + 'static,
    {
        let answer = Box::new(move |texts| -> Answer { Box::pin(answer(texts)) });
        Arc::new(Self { model, answer, asked: AtomicUsize::new(0) })
    }

    /// One that knows of animals, drinks, and nothing else.
    pub(crate) fn sage(model: &'static str) -> Arc<Self> {
        Self::new(model, async |texts| Ok(texts.iter().map(|it| sense(it)).collect()))
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Which way a text points.
pub(crate) fn sense(text: &str) -> Vec<f32> {
    let has = |words: &[&str]| f32::from(u8::from(words.iter().any(|it| text.contains(it))));
    let animals = has(&["dog", "pet", "狗", "宠物"]);
    let drinks = has(&["tea", "drink", "茶", "饮料"]);
    vec![animals, drinks, 0.01]
}

#[async_trait]
impl Embedder for Scripted {
    fn model(&self) -> &str {
        self.model
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        (self.answer)(texts.to_vec()).await
    }
}
