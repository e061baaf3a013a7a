//! What texts mean, as long as the embedder says so soon. It is never waited for
//! long, and its failures are nobody's error: memories are found by their words
//! then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::Embedder;

/// How long an embedder may take for everything that one operation asks it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is left alone after a failure.
const REST: Duration = Duration::from_secs(30);
/// The most numbers in a vector.
const MAX_DIMENSIONS: usize = 8_192;

/// An embedder, and whether it is left alone now.
#[derive(Debug)]
pub(crate) struct Meaning {
    embedder: Arc<dyn Embedder>,
    /// What it is asked for a query; without that, nothing else is.
    pub(crate) queries: Rest,
    /// And for what is kept. A text that it refuses must not silence queries.
    pub(crate) texts: Rest,
}

/// Until when nothing is asked.
#[derive(Debug, Default)]
pub(crate) struct Rest(Mutex<Option<Instant>>);

impl Rest {
    pub(crate) fn lasts(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|it| Instant::now() < it)
    }

    fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
    }
}

impl Meaning {
    pub(crate) fn new(embedder: Arc<dyn Embedder>) -> Self {
        Self { embedder, queries: Rest::default(), texts: Rest::default() }
    }

    pub(crate) fn model(&self) -> &str {
        self.embedder.model()
    }

    /// The vector of one text, unless it is left alone now, or fails.
    pub(crate) async fn of(&self, text: &str, rest: &Rest, deadline: Instant) -> Option<Vec<f32>> {
        if rest.lasts() {
            return None;
        }
        match self.ask(&[text.to_owned()], deadline).await {
            Ok(vectors) => vectors.into_iter().next(),
            Err(why) => {
                self.failed(rest, &why);
                None
            }
        }
    }

    /// One vector for each text.
    pub(crate) async fn ask(
        &self,
        texts: &[String],
        deadline: Instant,
    ) -> Result<Vec<Vec<f32>>, String> {
        match timeout_at(deadline, self.embedder.embed(texts)).await {
            Ok(vectors) => checked(vectors?, texts.len()),
            Err(_elapsed) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// Says so once, and leaves it alone for a while.
    pub(crate) fn failed(&self, rest: &Rest, why: &str) {
        rest.begin();
        tracing::warn!(
            why,
            embedder.model = self.model(),
            pause.seconds = REST.as_secs(),
            "the embedder failed; memories go by their words for now"
        );
    }
}

fn checked(vectors: Vec<Vec<f32>>, many: usize) -> Result<Vec<Vec<f32>>, String> {
    if vectors.len() != many {
        return Err(format!("{} vectors came for {many} texts", vectors.len()));
    }
    let sound = |it: &Vec<f32>| {
        (1..=MAX_DIMENSIONS).contains(&it.len()) && it.iter().all(|it| it.is_finite())
    };
    if vectors.iter().all(sound) {
        return Ok(vectors);
    }
    Err(format!("a vector must be 1 to {MAX_DIMENSIONS} finite numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_are_none_are_refused() {
        let sound = vec![vec![0.5; 3]; 2];
        assert_eq!(checked(sound.clone(), 2), Ok(sound.clone()));
        for (vectors, many) in [
            (sound, 3),
            (vec![], 1),
            (vec![vec![]], 1),
            (vec![vec![f32::NAN]], 1),
            (vec![vec![f32::INFINITY]], 1),
            (vec![vec![0.0; MAX_DIMENSIONS + 1]], 1),
        ] {
            assert!(checked(vectors, many).is_err());
        }
    }
}
