//! The port to what answers: a prompt in, a stream of what it says out; and the
//! providers behind it.
//!
//! Dropping the stream stops the work behind it. Retries nothing, and knows
//! nothing of turns, transcripts or readers.

mod openai;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use proto::{Citation, Failed, Message, ToolCall, Usage};
use secrecy::SecretString;
use serde_json::Value;

/// The longest model name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What a model is asked.
#[derive(Debug, Clone, Default)]
pub struct Prompt {
    /// Instructions.
    pub system: String,
    /// The conversation, oldest first; the last message is the question, or a
    /// tool's result.
    pub messages: Vec<Message>,
    /// The tools that the model may ask for.
    pub tools: Arc<[Tool]>,
}

impl Prompt {
    /// The last thing that the user said.
    pub fn question(&self) -> &str {
        let asked = self.messages.iter().rev().find(|it| it.role == "user");
        asked.map_or("", |it| it.content.as_str())
    }
}

/// What a model is told of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// In `[A-Za-z0-9_-]`, at most 64 bytes.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of an object.
    pub parameters: Value,
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// More of the answer.
    Text(String),
    /// More of the thoughts behind it.
    Reasoning(String),
    /// Where the text just said comes from.
    Citation(Citation),
    /// The model asks for a tool; whole. The id may be empty or repeat another
    /// call's, and the arguments need not be JSON.
    ToolCall(ToolCall),
    /// What the answer used.
    Usage(Usage),
    /// The answer is whole; why it stopped: `stop`, `tool_calls`, `length` or
    /// `content_filter`. Nothing follows.
    Finished(&'static str),
}

/// Why there is no answer: what the client is told, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A stable word for programs, from [`proto::code`].
    pub code: &'static str,
    /// A sentence for people, without secrets.
    pub message: String,
    /// Whether asking the same again may work.
    pub retryable: bool,
    /// How long to wait before that, as the provider says.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure that asking again does not mend.
    pub fn lasting(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, retry_after: None }
    }

    /// A failure that may be gone the next time.
    pub fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::lasting(code, message) }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code.to_owned(),
            message: failure.message,
            retryable: failure.retryable,
        }
    }
}

/// What a model says, ended by [`Said::Finished`] or a [`Failure`].
pub type Answer = BoxStream<'static, Result<Said, Failure>>;

/// Something that answers.
pub trait Model: fmt::Debug + Send + Sync {
    /// As requests name it: `provider/name`.
    fn name(&self) -> &str;

    /// How much the model can read and write in one call, in tokens; `None` when
    /// there is no such bound.
    fn window(&self) -> Option<u32>;

    /// Starts an answer; the work begins when the stream is read.
    fn stream(&self, prompt: Prompt) -> Answer;
}

/// Where models are, and which of them may be used.
#[derive(Debug, Clone)]
pub struct Provider {
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// Where the API is; the protocol's own place when absent.
    pub base_url: Option<String>,
    /// The key; only a server of one's own goes without.
    pub key: Option<SecretString>,
    /// The names that a request may ask for; empty for any.
    pub models: Vec<String>,
    /// How much its models can read and write in one call, in tokens.
    pub window: u32,
    /// The most that one answer may have, in tokens; the provider's own limit
    /// when absent.
    pub max_output: Option<u32>,
    /// How the request names that limit, `max_tokens` where this is empty.
    pub max_output_field: String,
    /// Sent with every request as they are, as `enable_thinking`.
    pub extra: serde_json::Map<String, Value>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            protocol: Protocol::OpenAi,
            base_url: None,
            key: None,
            models: Vec::new(),
            window: 128 * 1024,
            max_output: None,
            max_output_field: String::new(),
            extra: serde_json::Map::new(),
        }
    }
}

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's chat completions, which many servers speak.
    OpenAi,
    /// DashScope's own text generation.
    DashScope,
}

/// Why models cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such model.
    #[error("unknown model `{name}`; allowed are {allowed}")]
    Unknown {
        /// As it was asked for.
        name: String,
        /// What may be asked for, in words.
        allowed: String,
    },
    /// The provider needs a key.
    #[error("the provider `{0}` needs a key, or the URL of a server that needs none")]
    NoKey(String),
    /// The key cannot be sent.
    #[error("the key of the provider `{0}` holds characters that no key has")]
    BadKey(String),
    /// The base URL cannot be used.
    #[error("the URL `{url}` cannot be used: {reason}")]
    BadUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No HTTP client.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// The models that a request may name.
#[derive(Debug)]
pub struct Models {
    standard: String,
    /// Models that need no provider, under their names.
    own: BTreeMap<String, Arc<dyn Model>>,
    providers: BTreeMap<String, Arc<openai::Endpoint>>,
}

impl Models {
    /// Sets the providers up, under their names, and checks that `standard` can
    /// be asked for. `own` models need no provider; each has its own name.
    pub fn new(
        standard: &str,
        own: Vec<Arc<dyn Model>>,
        providers: BTreeMap<String, Provider>,
    ) -> Result<Self, Error> {
        let connect = |(name, provider): (String, Provider)| {
            let endpoint = openai::Endpoint::new(&name, provider)?;
            Ok((name, Arc::new(endpoint)))
        };
        let models = Self {
            standard: standard.to_owned(),
            own: own.into_iter().map(|it| (it.name().to_owned(), it)).collect(),
            providers: providers.into_iter().map(connect).collect::<Result<_, _>>()?,
        };
        match models.named(standard) {
            Some(_) => Ok(models),
            None => Err(Error::Unknown { name: standard.to_owned(), allowed: models.allowed() }),
        }
    }

    /// The model of that name, the standard one when empty; `None` when there
    /// is none.
    pub fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        let name = if name.is_empty() { self.standard.as_str() } else { name };
        if let Some(own) = self.own.get(name) {
            return Some(Arc::clone(own));
        }
        let (provider, model) = name.split_once('/')?;
        let endpoint = self.providers.get(provider)?;
        let known = is_name(model) && endpoint.offers(model);
        known.then(|| openai::OpenAi::shared(Arc::clone(endpoint), model))
    }

    /// What may be named, in words.
    pub fn allowed(&self) -> String {
        let own = self.own.keys().map(|it| format!("`{it}`"));
        let provided = self.providers.iter().map(|(name, it)| it.offered(name));
        own.chain(provided).collect::<Vec<_>>().join(" or ")
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(plain)
}
