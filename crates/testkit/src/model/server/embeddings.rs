//! OpenAI's embeddings, as the fake model reads and writes them.
//!
//! Refuses what endpoints refuse: no text, an empty one, too many at once, a
//! length that the model does not have.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::embedding;
use super::protocol::Fault;

pub(super) const PATH: &str = "/v1/embeddings";

/// The most texts of one request.
const TEXTS: usize = 2048;

/// Numbers in a vector, where the caller does not say.
const DIMENSIONS: usize = 64;

/// The most numbers in a vector.
const MOST_DIMENSIONS: usize = 4096;

/// The body of a request. Other fields are ignored, as OpenAI does.
#[derive(Debug, Deserialize)]
struct Body {
    model: String,
    input: Input,
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default)]
    encoding_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

pub(super) fn answer(body: &Value) -> Result<Value, Fault> {
    let wrong = |message: String| Fault::new(StatusCode::BAD_REQUEST, message);
    let body = Body::deserialize(body).map_err(|it| wrong(it.to_string()))?;
    known(&body.model)?;
    let texts = match body.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    if texts.is_empty() || texts.len() > TEXTS || texts.iter().any(String::is_empty) {
        return Err(wrong(format!("the input must be 1 to {TEXTS} texts that are not empty")));
    }
    if body.encoding_format.as_deref().is_some_and(|it| it != "float") {
        return Err(wrong("the encoding_format must be `float` here".to_owned()));
    }
    let dimensions = body.dimensions.unwrap_or(DIMENSIONS);
    if !(1..=MOST_DIMENSIONS).contains(&dimensions) {
        return Err(wrong(format!("the dimensions must be 1 to {MOST_DIMENSIONS}")));
    }
    let vectors = texts.iter().enumerate().map(|(index, text)| {
        let vector = embedding::of(&body.model, text, dimensions);
        json!({ "object": "embedding", "index": index, "embedding": vector })
    });
    let words: usize = texts.iter().map(|it| it.split_whitespace().count()).sum();
    Ok(json!({
        "object": "list", "data": vectors.collect::<Vec<_>>(), "model": body.model,
        "usage": { "prompt_tokens": words, "total_tokens": words },
    }))
}

/// Whether there is that model. `embed-status-<n>` only ever answers with that
/// status.
fn known(model: &str) -> Result<(), Fault> {
    let status = model.strip_prefix("embed-status-").and_then(|it| it.parse::<u16>().ok());
    if let Some(status) = status.and_then(|it| StatusCode::from_u16(it).ok()) {
        return Err(Fault::new(status, "the model's name says so".to_owned()));
    }
    if model == "embed" || model.starts_with("embed-") {
        return Ok(());
    }
    let message = format!("the model `{model}` embeds nothing; there are `embed` and `embed-…`");
    Err(Fault::new(StatusCode::NOT_FOUND, message))
}
