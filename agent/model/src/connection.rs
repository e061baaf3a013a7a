//! A provider as it is reached: its place, its key, its connections.
//!
//! Follows no redirect, takes no proxy of the environment, retries nothing, and
//! tells no client what the provider said about the key. The place is the
//! operator's: it may be a private one.

use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Proxy, Response, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::fault::{self, Meaning};
use crate::{Error, Failure, Protocol, Provider, dashscope, openai, place};
use proto::code;

/// How long a connection may take. What comes after that is timed by whoever
/// reads the answer.
const CONNECT: Duration = Duration::from_secs(10);

/// What a protocol says of its providers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// Where the API is when the configuration does not say. For DashScope it is
    /// the root of the host: one that is configured with `/api/v1` loses that.
    pub(crate) base: &'static str,
    /// What its words for errors mean.
    pub(crate) meaning: Meaning,
    /// The fields of a request that the configuration must not set.
    pub(crate) reserved: &'static [&'static str],
}

/// A provider, with its connections.
pub(crate) struct Connection {
    name: String,
    provider: Provider,
    client: Client,
    base: Url,
    meaning: Meaning,
}

impl Connection {
    /// The provider of that name. Nothing is connected yet.
    pub(crate) fn new(name: &str, provider: Provider) -> Result<Self, Error> {
        let seat = match provider.protocol {
            Protocol::OpenAi => openai::SEAT,
            Protocol::DashScope => dashscope::SEAT,
        };
        if provider.key.is_none() && provider.base_url.is_none() {
            return Err(Error::NoKey(name.to_owned()));
        }
        free(name, &provider, seat.reserved)?;
        let mut base = place::parse(provider.base_url.as_deref().unwrap_or(seat.base))?;
        if provider.protocol == Protocol::DashScope {
            base = place::without(base, "/api/v1");
        }
        let client = client(name, &provider)?;
        let meaning = seat.meaning;
        Ok(Self { name: name.to_owned(), provider, client, base, meaning })
    }

    /// As requests name the provider.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As it was configured.
    pub(crate) fn provider(&self) -> &Provider {
        &self.provider
    }

    /// Where it is, for people.
    pub(crate) fn place(&self) -> String {
        place::shown(self.base.as_str())
    }

    /// Whether a request may ask for this model.
    pub(crate) fn offers(&self, model: &str) -> bool {
        let models = &self.provider.models;
        models.is_empty() || models.iter().any(|it| it == model)
    }

    /// What may be asked for; `<name>` stands for any.
    pub(crate) fn offered(&self) -> Vec<String> {
        let models = &self.provider.models;
        if models.is_empty() {
            return vec![format!("{}/<name>", self.name)];
        }
        models.iter().map(|it| format!("{}/{it}", self.name)).collect()
    }

    /// Asks what is at `path` below the base URL; a success with its body yet
    /// to be read. `headers` go with the key, and before the usual ones.
    pub(crate) async fn post(
        &self,
        path: &str,
        mut headers: HeaderMap,
        body: &Value,
    ) -> Result<Response, Failure> {
        if let Some(context) = process::trace::current() {
            context.write(&mut headers);
        }
        let response = self.send(path, headers, body).await.map_err(|error| {
            let reason = if error.is_connect() { "reached" } else { "used" };
            tracing::warn!(
                model.provider = self.name,
                error = %error.without_url(),
                "the model's endpoint failed"
            );
            let message = format!("the model's endpoint could not be {reason}");
            Failure::passing(code::MODEL_UNAVAILABLE, message)
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(fault::read(response, self.meaning, self.provider.key.as_ref()).await)
    }

    /// Sends a body to `path` below the base URL, whatever comes of it.
    pub(crate) async fn send(
        &self,
        path: &str,
        headers: HeaderMap,
        body: &Value,
    ) -> reqwest::Result<Response> {
        self.client.post(place::below(&self.base, path)).headers(headers).json(body).send().await
    }

    /// Gets what is at `path` below the base URL, whatever that is.
    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Response> {
        let request = self.client.get(place::below(&self.base, path));
        request.header(ACCEPT, HeaderValue::from_static("application/json")).send().await
    }

    /// What an error object means that came in a success, as in the middle of a
    /// stream.
    pub(crate) fn fault(&self, error: &Value) -> Failure {
        fault::within(error, self.meaning, self.provider.key.as_ref())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = f.debug_struct("Connection");
        said.field("name", &self.name).field("place", &self.place()).finish_non_exhaustive()
    }
}

/// Refuses fields of the configuration that would change what is asked.
fn free(name: &str, provider: &Provider, reserved: &[&str]) -> Result<(), Error> {
    let limit = Some(&provider.max_output_field).filter(|it| !it.is_empty());
    let fields = provider.extra.keys().chain(limit);
    let taken = fields.into_iter().find(|it| reserved.contains(&it.as_str()));
    match taken {
        Some(field) => Err(Error::Reserved { provider: name.to_owned(), field: field.to_owned() }),
        None => Ok(()),
    }
}

/// The proxy that the configuration names. What it says may be secret.
fn proxy(name: &str, url: &SecretString) -> Result<Proxy, Error> {
    let bad = || Error::BadProxy(name.to_owned());
    let url = place::parse(url.expose_secret()).map_err(|_may_quote_it| bad())?;
    let beyond = url.path() != "/" || url.query().is_some() || url.fragment().is_some();
    if beyond {
        return Err(bad());
    }
    Proxy::all(url).map_err(|_may_quote_it| bad())
}

fn client(name: &str, provider: &Provider) -> Result<Client, Error> {
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
        // Of the environment: whoever sets a variable would see the conversations.
        .no_proxy()
        .no_gzip()
        .tcp_nodelay(true);
    let client = match &provider.proxy {
        Some(url) => client.proxy(proxy(name, url)?),
        None => client,
    };
    client.build().map_err(|error| Error::Client(error.to_string()))
}
