//! Any OpenAI-compatible endpoint, by `chat/completions` with streaming.
//!
//! Refuses a success that is neither a stream of events nor a whole completion.

mod answer;
mod chunk;

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::connection::{Connection, Seat};
use crate::fault::Kind;
use crate::finish;
use crate::{Answer, Failure, Model, Prompt, Said, chat, reply, sse};

use answer::Completion;

/// What is particular to its providers.
pub(crate) const SEAT: Seat = Seat {
    base: "https://api.openai.com/v1",
    meaning,
    // Without `stream_options` no usage would come, and no limit of tokens hold.
    reserved: &["model", "messages", "stream", "stream_options", "tools"],
};

/// How a request limits the answer when the configuration does not say.
const MAX_OUTPUT: &str = "max_tokens";

/// The most of a completion that comes whole, in bytes.
const MAX_WHOLE: usize = 4 * 1024 * 1024;

/// One model of a provider.
#[derive(Debug)]
pub(crate) struct OpenAi {
    connection: Arc<Connection>,
    model: String,
    /// As requests name it.
    name: String,
}

impl OpenAi {
    pub(crate) fn shared(connection: Arc<Connection>, model: &str) -> Arc<dyn Model> {
        let name = format!("{}/{model}", connection.name());
        Arc::new(Self { connection, model: model.to_owned(), name })
    }

    fn body(&self, prompt: &Prompt) -> Value {
        let provider = self.connection.provider();
        let mut body = json!({
            "model": self.model,
            "messages": chat::messages(prompt),
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        if !prompt.tools.is_empty() {
            body["tools"] = chat::tools(&prompt.tools).into();
        }
        if let Some(limit) = provider.max_output {
            let field = provider.max_output_field.as_str();
            body[if field.is_empty() { MAX_OUTPUT } else { field }] = limit.into();
        }
        for (field, value) in &provider.extra {
            body[field] = value.clone();
        }
        body
    }
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn window(&self) -> Option<u32> {
        Some(self.connection.provider().window)
    }

    fn stream(&self, prompt: Prompt) -> Answer {
        let body = self.body(&prompt);
        let connection = Arc::clone(&self.connection);
        let completion = Completion::new(Arc::clone(&connection), self.name.clone());
        let reply = async move {
            let response = connection.post("chat/completions", HeaderMap::new(), &body).await?;
            read(response, completion).await
        };
        futures::stream::once(reply).try_flatten().boxed()
    }
}

async fn read(
    response: Response,
    completion: Completion,
) -> Result<BoxStream<'static, Result<Said, Failure>>, Failure> {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    if kind.is_empty() || kind.starts_with("text/event-stream") {
        let events = sse::events(response.bytes_stream());
        return Ok(reply::said(events, completion).boxed());
    }
    if !kind.starts_with("application/json") {
        return Err(finish::unstreamed());
    }
    let body = sse::whole(response, MAX_WHOLE).await?;
    let said = completion.whole(&body)?;
    Ok(futures::stream::iter(said.into_iter().map(Ok)).boxed())
}

/// The words of OpenAI, and of the servers that speak like it.
fn meaning(word: &str, error: &Value) -> Option<Kind> {
    let too_long = |message: &str| {
        message.contains("maximum context length") || message.contains("Range of input length")
    };
    match word {
        "insufficient_quota" => Some(Kind::Quota),
        "invalid_api_key" => Some(Kind::Auth),
        "model_not_found" => Some(Kind::UnknownModel),
        "context_length_exceeded" => Some(Kind::ContextLength),
        "rate_limit_exceeded" | "rate_limit_error" => Some(Kind::RateLimited),
        "server_error" | "overloaded_error" | "service_unavailable" => Some(Kind::Unavailable),
        _ => error["message"].as_str().is_some_and(too_long).then_some(Kind::ContextLength),
    }
}
