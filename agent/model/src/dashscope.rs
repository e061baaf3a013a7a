//! DashScope's own text generation, by server-sent events.
//!
//! Asks for increments and for messages, and reads also what ignores that. The
//! configuration's own fields go into `parameters`. Refuses a success that is
//! neither a stream of events nor a whole result.

mod answer;
mod event;
mod fault;
mod flow;

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::connection::{Connection, Seat};
use crate::finish;
use crate::{Answer, Failure, Model, Prompt, chat, reply, sse};

use answer::Generation;

/// What is particular to its providers.
pub(crate) const SEAT: Seat = Seat {
    base: "https://dashscope.aliyuncs.com",
    meaning: fault::meaning,
    reserved: &["model", "input", "stream", "incremental_output", "result_format", "tools"],
};

/// Below the root of the host.
pub(crate) const PATH: &str = "api/v1/services/aigc/text-generation/generation";

/// Without it the answer comes whole.
const STREAM: HeaderName = HeaderName::from_static("x-dashscope-sse");

/// How a request limits the answer when the configuration does not say.
const MAX_OUTPUT: &str = "max_tokens";

/// The most of a result that comes whole, in bytes.
const MAX_WHOLE: usize = 4 * 1024 * 1024;

/// One model of a provider.
#[derive(Debug)]
pub(crate) struct DashScope {
    connection: Arc<Connection>,
    model: String,
    /// As requests name it.
    name: String,
}

impl DashScope {
    pub(crate) fn shared(connection: Arc<Connection>, model: &str) -> Arc<dyn Model> {
        let name = format!("{}/{model}", connection.name());
        Arc::new(Self { connection, model: model.to_owned(), name })
    }

    fn body(&self, prompt: &Prompt) -> Value {
        let provider = self.connection.provider();
        let mut parameters = json!({ "result_format": "message", "incremental_output": true });
        if !prompt.tools.is_empty() {
            parameters["tools"] = chat::tools(&prompt.tools).into();
        }
        if let Some(limit) = provider.max_output {
            let field = provider.max_output_field.as_str();
            parameters[if field.is_empty() { MAX_OUTPUT } else { field }] = limit.into();
        }
        for (field, value) in &provider.extra {
            parameters[field] = value.clone();
        }
        json!({
            "model": self.model,
            "input": { "messages": chat::messages(prompt) },
            "parameters": parameters,
        })
    }
}

impl Model for DashScope {
    fn name(&self) -> &str {
        &self.name
    }

    fn window(&self) -> Option<u32> {
        Some(self.connection.provider().window)
    }

    fn stream(&self, prompt: Prompt) -> Answer {
        let body = self.body(&prompt);
        let connection = Arc::clone(&self.connection);
        let generation = Generation::new(Arc::clone(&connection), self.name.clone());
        let reply = async move {
            let headers = HeaderMap::from_iter([(STREAM, HeaderValue::from_static("enable"))]);
            let response = connection.post(PATH, headers, &body).await?;
            read(response, generation).await
        };
        futures::stream::once(reply).try_flatten().boxed()
    }
}

async fn read(response: Response, generation: Generation) -> Result<Answer, Failure> {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    if kind.is_empty() || kind.starts_with("text/event-stream") {
        let events = sse::events(response.bytes_stream());
        return Ok(reply::said(events, generation).boxed());
    }
    if !kind.starts_with("application/json") {
        return Err(finish::unstreamed());
    }
    let body = sse::whole(response, MAX_WHOLE).await?;
    let said = generation.whole(&body)?;
    Ok(futures::stream::iter(said.into_iter().map(Ok)).boxed())
}
