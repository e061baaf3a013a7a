//! Any OpenAI-compatible endpoint, by `chat/completions` with streaming.
//!
//! Follows no redirect, retries nothing, and tells no client what the provider
//! said about the key.

mod chunk;
mod fault;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use proto::{Message, code};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{Answer, Failure, Model, Prompt, Provider};
use crate::Error;

const BASE_URL: &str = "https://api.openai.com/v1";

/// How long a connection may take. What comes after that is timed by whoever
/// reads the answer.
const CONNECT: Duration = Duration::from_secs(10);

/// A provider, with its connections.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: String,
    provider: Provider,
    client: Client,
    url: Url,
}

impl Endpoint {
    /// The provider of that name. Nothing is connected yet.
    pub(crate) fn new(name: &str, provider: Provider) -> Result<Self, Error> {
        if provider.key.is_none() && provider.base_url.is_none() {
            return Err(Error::NoKey(name.to_owned()));
        }
        let url = endpoint(provider.base_url.as_deref().unwrap_or(BASE_URL))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(key) = &provider.key {
            let bearer = format!("Bearer {}", key.expose_secret());
            let Ok(mut value) = HeaderValue::from_str(&bearer) else {
                return Err(Error::BadKey(name.to_owned()));
            };
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .no_gzip()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| Error::Client(error.to_string()))?;
        Ok(Self { name: name.to_owned(), provider, client, url })
    }

    /// Whether a request may ask for this model.
    pub(crate) fn offers(&self, model: &str) -> bool {
        let models = &self.provider.models;
        models.is_empty() || models.iter().any(|it| it == model)
    }

    /// What may be asked for, in words.
    pub(crate) fn offered(&self, name: &str) -> String {
        let models = &self.provider.models;
        if models.is_empty() {
            return format!("`{name}/<name>`");
        }
        let models = models.iter().map(|it| format!("`{name}/{it}`"));
        models.collect::<Vec<_>>().join(" or ")
    }

    async fn post(&self, body: &serde_json::Value) -> Result<Response, Failure> {
        let sent = self.client.post(self.url.clone()).json(body).send();
        let response = sent.await.map_err(|error| {
            let reason = if error.is_connect() { "reached" } else { "used" };
            tracing::warn!(error = %error.without_url(), "the model's endpoint failed");
            let message = format!("the model's endpoint could not be {reason}");
            Failure::passing(code::MODEL_UNAVAILABLE, message)
        })?;
        if response.status().is_success() {
            return reply::checked(response);
        }
        Err(fault::read(response, self.provider.key.as_ref()).await)
    }
}

fn endpoint(base: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::BadUrl { url: base.to_owned(), reason };
    let text = format!("{}/chat/completions", base.trim_end_matches('/'));
    let url = Url::parse(&text).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it must be an http or https URL".to_owned()));
    }
    Ok(url)
}

/// One model of the endpoint.
#[derive(Debug)]
pub(crate) struct OpenAi {
    endpoint: Arc<Endpoint>,
    model: String,
    /// As requests name it.
    name: String,
}

impl OpenAi {
    pub(crate) fn shared(endpoint: Arc<Endpoint>, model: &str) -> Arc<dyn Model> {
        let name = format!("{}/{model}", endpoint.name);
        Arc::new(Self { endpoint, model: model.to_owned(), name })
    }
}

impl Model for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn window(&self) -> Option<u32> {
        Some(self.endpoint.provider.window)
    }

    fn stream(&self, prompt: Prompt) -> Answer {
        let body = json!({
            "model": self.model,
            "messages": messages(prompt),
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let endpoint = Arc::clone(&self.endpoint);
        let name = self.name.clone();
        let reply = async move {
            let response = endpoint.post(&body).await?;
            let key = endpoint.provider.key.clone();
            Ok(reply::said(response.bytes_stream(), name, key))
        };
        futures::stream::once(reply).try_flatten().boxed()
    }
}

fn messages(prompt: Prompt) -> Vec<serde_json::Value> {
    let system = (!prompt.system.is_empty()).then(|| Message {
        role: "system".to_owned(),
        content: prompt.system,
        ..Message::default()
    });
    let all = system.into_iter().chain(prompt.messages);
    all.map(|message| match message.role.as_str() {
        // Without the call that it answers, no endpoint takes a tool's message.
        "tool" => {
            json!({ "role": "user", "content": format!("Tool result:\n{}", message.content) })
        }
        role => json!({ "role": role, "content": message.content }),
    })
    .collect()
}
