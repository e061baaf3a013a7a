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
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{Answer, Failure, Model, Prompt};
use crate::Error;

const BASE_URL: &str = "https://api.openai.com/v1";

/// How long a connection may take. What comes after that is timed by whoever
/// reads the answer.
const CONNECT: Duration = Duration::from_secs(10);

/// The endpoint, with its connections.
#[derive(Debug)]
pub(crate) struct Provider {
    client: Client,
    url: Url,
    key: Option<SecretString>,
}

impl Provider {
    /// The endpoint that is configured; `None` when neither key nor base URL is.
    pub(crate) fn new(config: &crate::OpenAi) -> Result<Option<Self>, Error> {
        if config.key.is_none() && config.base_url.is_none() {
            return Ok(None);
        }
        let url = endpoint(config.base_url.as_deref().unwrap_or(BASE_URL))?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(key) = &config.key {
            let bearer = format!("Bearer {}", key.expose_secret());
            let mut value = HeaderValue::from_str(&bearer).map_err(Error::BadKey)?;
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
        Ok(Some(Self { client, url, key: config.key.clone() }))
    }

    /// Where the endpoint is, for people.
    pub(crate) fn place(&self) -> String {
        let mut url = self.url.clone();
        // A URL that can hold no password holds none.
        let _: Result<(), ()> = url.set_password(None);
        let _: Result<(), ()> = url.set_username("");
        url.set_query(None);
        url.as_str().trim_end_matches("/chat/completions").to_owned()
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
        Err(fault::read(response, self.key.as_ref()).await)
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
    provider: Arc<Provider>,
    name: String,
}

impl OpenAi {
    pub(crate) fn new(provider: Arc<Provider>, name: &str) -> Self {
        let name = name.to_owned();
        Self { provider, name }
    }
}

impl Model for OpenAi {
    fn stream(&self, prompt: Prompt) -> Answer {
        let body = json!({
            "model": self.name,
            "messages": messages(prompt),
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        let provider = Arc::clone(&self.provider);
        let name = format!("openai/{}", self.name);
        let reply = async move {
            let response = provider.post(&body).await?;
            let key = provider.key.clone();
            Ok(reply::said(response.bytes_stream(), name, key))
        };
        futures::stream::once(reply).try_flatten().boxed()
    }
}

fn messages(prompt: Prompt) -> Vec<serde_json::Value> {
    let system = (!prompt.system.is_empty())
        .then(|| Message { role: "system".to_owned(), content: prompt.system });
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
