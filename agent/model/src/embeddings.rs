//! Texts as vectors, by any OpenAI-compatible `/embeddings`.
//!
//! Refuses answers that do not fit the question: a vector missing or twice,
//! vectors of different lengths, numbers that are none.

use std::sync::Arc;
use std::time::Duration;

use proto::code;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use crate::connection::Connection;
use crate::{Failure, Protocol, sse};

/// Texts in one request: the least of what well-known providers take.
const BATCH: usize = 10;

/// The most of one answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// One model of embeddings. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Embeddings {
    connection: Arc<Connection>,
    model: String,
    name: String,
}

impl Embeddings {
    pub(crate) fn new(connection: Arc<Connection>, model: &str) -> Self {
        let name = format!("{}/{model}", connection.name());
        Self { connection, model: model.to_owned(), name }
    }

    /// As the configuration names it: `provider/name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One vector for each text, in order; all of the same length. Asks for ten
    /// texts at a time, each time for 15 s at most, and retries nothing.
    pub async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            let asked = tokio::time::timeout(PATIENCE, self.batch(batch)).await;
            vectors.extend(asked.map_err(slow)??);
        }
        let first = vectors.first().map_or(0, Vec::len);
        if vectors.iter().any(|it| it.len() != first) {
            return Err(strange("vectors of different lengths"));
        }
        Ok(vectors)
    }

    async fn batch(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(ACCEPT, json)]);
        let path = path(self.connection.provider().protocol);
        let response = self.connection.post(path, headers, &body).await?;
        let body = sse::whole(response, MAX_ANSWER).await?;
        let answer = serde_json::from_slice::<Answer>(&body);
        let answer = answer.map_err(|error| {
            tracing::warn!(model = self.name, at = error.column(), "no embeddings");
            strange("something that is no list of embeddings")
        })?;
        match answer.error.filter(|it| !it.is_null()) {
            Some(error) => Err(self.connection.fault(&error)),
            None => ordered(answer.data, texts.len()),
        }
    }
}

/// Where embeddings are below the base URL.
fn path(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::OpenAi => "embeddings",
        Protocol::DashScope => "compatible-mode/v1/embeddings",
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    data: Vec<Embedding>,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Embedding {
    /// Its place in the list when absent.
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// The vectors of `count` texts, in the order of the texts.
fn ordered(data: Vec<Embedding>, count: usize) -> Result<Vec<Vec<f32>>, Failure> {
    let mut vectors = vec![Vec::new(); count];
    for (place, one) in data.into_iter().enumerate() {
        let vector = vectors.get_mut(one.index.unwrap_or(place));
        let Some(vector) = vector.filter(|it| it.is_empty()) else {
            return Err(strange("more embeddings than it was asked for"));
        };
        if one.embedding.is_empty() || !one.embedding.iter().all(|it| it.is_finite()) {
            return Err(strange("a vector without numbers, or with some that are none"));
        }
        *vector = one.embedding;
    }
    if vectors.iter().any(Vec::is_empty) {
        return Err(strange("fewer embeddings than it was asked for"));
    }
    Ok(vectors)
}

fn slow(_: tokio::time::error::Elapsed) -> Failure {
    Failure::passing(code::MODEL_UNAVAILABLE, "the model's endpoint took too long for embeddings")
}

fn strange(what: &str) -> Failure {
    Failure::passing(code::MODEL_ERROR, format!("the model's endpoint sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(index: Option<usize>, embedding: &[f32]) -> Embedding {
        Embedding { index, embedding: embedding.to_vec() }
    }

    #[test]
    fn vectors_are_in_the_order_of_the_texts() {
        let data = vec![one(Some(1), &[1.0]), one(Some(0), &[0.5])];
        assert_eq!(ordered(data, 2).unwrap(), [[0.5], [1.0]]);
        let data = vec![one(None, &[1.0]), one(None, &[0.5])];
        assert_eq!(ordered(data, 2).unwrap(), [[1.0], [0.5]]);
    }

    #[test]
    fn an_answer_that_does_not_fit_the_question_is_refused() {
        for data in [
            vec![one(Some(0), &[1.0])],
            vec![one(Some(0), &[1.0]), one(Some(0), &[1.0])],
            vec![one(Some(0), &[1.0]), one(Some(2), &[1.0])],
            vec![one(None, &[1.0]), one(None, &[1.0]), one(None, &[1.0])],
            vec![one(None, &[1.0]), one(None, &[])],
            vec![one(None, &[1.0]), one(None, &[f32::INFINITY])],
            vec![one(None, &[1.0]), one(None, &[f32::NAN])],
        ] {
            assert_eq!(ordered(data, 2).unwrap_err().code, "model_error");
        }
    }
}
