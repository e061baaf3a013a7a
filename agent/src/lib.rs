//! The agent: `weir.v1.KnowledgeAgent` over gRPC, with health and reflection.
//!
//! Holds only live buffers, which may be lost at the price of a `rewind`; what
//! must last is in `Records`. Chooses nothing about delivery and calls nobody
//! back.

mod answer;
mod buffer;
mod cut;
mod engine;
mod knowledge;
mod model;
mod reader;
mod registry;
mod request;
mod server;
mod transcript;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::Records;
use futures::{Stream, StreamExt as _};
use process::Lifecycle;
use proto::DESCRIPTORS;
use proto::knowledge_agent_server::KnowledgeAgentServer;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::engine::Engine;
use crate::knowledge::Library;
use crate::model::extractive::Extractive;
use crate::model::openai::Provider;
use crate::model::{EXTRACTIVE, Models, openai_name};
use crate::registry::{Limits, Registry};
use crate::server::Service;
pub use crate::server::incoming;
use crate::transcript::Transcripts;

/// The model when a key is configured and no model is named.
const DEFAULT_OPENAI: &str = "openai/gpt-4o-mini";

/// Instructions when neither the configuration nor the request brings any.
const DEFAULT_SYSTEM: &str = "You are a helpful assistant. Answer in the language of the question.";

/// Turns that run at once, over all connections.
const MAX_RUNNING: usize = 10_000;

/// Ended turns that are kept for callers that were cut, and their bytes.
const MAX_ENDED: usize = 10_000;
const MAX_ENDED_BYTES: usize = 128 * 1024 * 1024;

/// What an agent is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// `extractive` or `openai/<name>`; by default the first that has a key,
    /// else `extractive`.
    pub model: Option<String>,
    /// Folders of Markdown and text to answer from; none means the built-in
    /// documentation.
    pub knowledge: Vec<PathBuf>,
    /// The OpenAI-compatible endpoint.
    pub openai: OpenAi,
    /// Instructions for questions that bring none.
    pub system: Option<String>,
    /// How long a turn runs on without a reader, and how long an ended turn is
    /// kept for one.
    pub grace: Duration,
    /// How long a turn waits for its model.
    pub times: Times,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: None,
            knowledge: Vec::new(),
            openai: OpenAi::default(),
            system: None,
            grace: Duration::from_secs(30),
            times: Times::default(),
        }
    }
}

/// How long a turn waits for its model. Each wait that ends in vain ends the turn
/// as `failed`, with its own code (see [`proto::code`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For its first word, over all tries (`first_token_timeout`). 2 minutes: a
    /// model that thinks without showing it may take more than one.
    pub first_token: Duration,
    /// From one word to the next (`token_timeout`). A minute: a model that has
    /// begun pauses for seconds, even between thinking and speaking.
    pub between_tokens: Duration,
    /// For the whole answer, however fast it comes (`turn_timeout`). 10 minutes.
    pub turn: Duration,
    /// How often a model that failed before its first word is asked again: 2.
    pub retries: u32,
    /// The pause before that, twice as long each time: 250 ms at first.
    pub retry_pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_token: Duration::from_secs(2 * 60),
            between_tokens: Duration::from_secs(60),
            turn: Duration::from_secs(10 * 60),
            retries: 2,
            retry_pause: Duration::from_millis(250),
        }
    }
}

/// An OpenAI-compatible endpoint.
#[derive(Debug, Clone, Default)]
pub struct OpenAi {
    /// The key; only a local server with its own base URL goes without.
    pub key: Option<SecretString>,
    /// Where the API is, up to and with `/v1`; OpenAI's own when absent.
    pub base_url: Option<String>,
}

/// Why an agent cannot start or serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such model.
    #[error("unknown model `{0}`; allowed are `extractive` and `openai/<name>`")]
    UnknownModel(String),
    /// The model needs a key.
    #[error("model `{0}` needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server")]
    NoKey(String),
    /// The key cannot be sent.
    #[error("the OpenAI key holds characters that no key has")]
    BadKey(#[source] reqwest::header::InvalidHeaderValue),
    /// The base URL cannot be used.
    #[error("the OpenAI base URL `{url}` cannot be used: {reason}")]
    BadUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Knowledge that cannot be read.
    #[error("knowledge in {}: {reason}", path.display())]
    Knowledge {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The knowledge cannot be indexed.
    #[error("the knowledge cannot be indexed: {0}")]
    Index(String),
    /// No HTTP client for the model.
    #[error("no HTTP client: {0}")]
    Client(String),
    /// The contract's descriptors cannot be served.
    #[error("no reflection: {0}")]
    Reflection(String),
    /// The transport failed.
    #[error("gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A running agent. Clones share everything.
#[derive(Debug, Clone)]
pub struct Agent {
    service: Service,
    health: HealthReporter,
    model: Arc<str>,
}

impl Agent {
    /// Checks the configuration, reads the knowledge that is needed and builds
    /// its index. Transcripts live in `records`; turns are tasks of `life`.
    pub async fn new(
        config: Config,
        records: Arc<dyn Records>,
        life: Lifecycle,
    ) -> Result<Self, Error> {
        let name = standard(&config)?;
        let provider = Provider::new(&config.openai)?.map(Arc::new);
        let extractive = Arc::new(Extractive::new(Library::new(config.knowledge.clone())));
        let mut model = name.clone();
        if name == EXTRACTIVE || !config.knowledge.is_empty() {
            let index = extractive.load().await?;
            if name == EXTRACTIVE {
                model = format!(
                    "{name} ({} documents, {} passages)",
                    index.documents(),
                    index.passages()
                );
            }
        } else if let Some(provider) = &provider {
            model = format!("{name} at {}", provider.place());
        }
        let models = Models::new(&name, extractive, provider).ok_or(Error::UnknownModel(name))?;
        let registry = Registry::new(Limits {
            running: MAX_RUNNING,
            ended: MAX_ENDED,
            ended_bytes: MAX_ENDED_BYTES,
            grace: config.grace,
        });
        let engine = Engine {
            transcripts: Transcripts::new(records),
            system: config.system.unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()),
            times: config.times,
        };
        Ok(Self {
            service: Service { engine: Arc::new(engine), models: Arc::new(models), registry, life },
            health: HealthReporter::new(),
            model: model.into(),
        })
    }

    /// The model that answers by default, for people.
    pub fn model(&self) -> String {
        self.model.to_string()
    }

    /// Serves on these connections until the drain: then health says so, no
    /// connection is taken, and running streams go on to their end. May be
    /// called for several kinds of connections. That none comes any more does
    /// not end it; only the drain does.
    pub async fn serve<IO, S>(&self, incoming: S) -> Result<(), Error>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S: Stream<Item = std::io::Result<IO>> + Send + 'static,
    {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let refused = |error: tonic_reflection::server::Error| Error::Reflection(error.to_string());
        self.say(ServingStatus::Serving).await;
        // An incoming stream that ends would begin a shutdown.
        let incoming = incoming.chain(futures::stream::pending());
        server::transport()
            .add_service(self.service.clone().server())
            .add_service(HealthServer::new(HealthService::from_health_reporter(
                self.health.clone(),
            )))
            .add_service(reflection().build_v1().map_err(refused)?)
            .add_service(reflection().build_v1alpha().map_err(refused)?)
            .serve_with_incoming_shutdown(incoming, self.drained())
            .await?;
        Ok(())
    }

    async fn drained(&self) {
        self.service.life.draining().await;
        self.say(ServingStatus::NotServing).await;
    }

    async fn say(&self, status: ServingStatus) {
        let name = <KnowledgeAgentServer<Service> as tonic::server::NamedService>::NAME;
        self.health.set_service_status("", status).await;
        self.health.set_service_status(name, status).await;
    }
}

/// The configured model's name, checked.
fn standard(config: &Config) -> Result<String, Error> {
    let has_key = config.openai.key.is_some();
    let name = match &config.model {
        Some(name) => name.as_str(),
        None if has_key => DEFAULT_OPENAI,
        None => EXTRACTIVE,
    };
    if name != EXTRACTIVE {
        openai_name(name).ok_or_else(|| Error::UnknownModel(name.to_owned()))?;
        if !has_key && config.openai.base_url.is_none() {
            return Err(Error::NoKey(name.to_owned()));
        }
    }
    Ok(name.to_owned())
}
