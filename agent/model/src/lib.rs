//! The port to what answers: a prompt in, a stream of what it says out; and the
//! providers behind it.
//!
//! Dropping the stream stops the work behind it. Retries nothing, and knows
//! nothing of turns, transcripts or readers.

mod calls;
mod chat;
mod connection;
mod dashscope;
mod embeddings;
mod fault;
mod finish;
mod models;
mod openai;
mod place;
mod reach;
mod reply;
mod sse;
mod used;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use proto::{Citation, Failed, Message, ToolCall, Usage};
use secrecy::SecretString;
use serde_json::Value;

use crate::connection::Connection;
pub use embeddings::Embeddings;
pub use models::Models;
pub use reach::{Found, Reach};

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
    /// Where the text just said comes from. Its number is the conversation's to
    /// give, which marks the place.
    Citation(Citation),
    /// More of a tool call that is not whole yet came: nothing to show, but no
    /// silence either. Said each time that something of a call comes.
    Composing,
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
#[derive(Clone)]
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
    /// Sent with every request as they are, as `enable_thinking`; never what the
    /// request itself is made of.
    pub extra: serde_json::Map<String, Value>,
    /// The http or https proxy that it is reached through, with the name and
    /// password that this may want; without one it is reached directly, whatever
    /// the environment says.
    pub proxy: Option<SecretString>,
}

impl Provider {
    /// Whether this can be set up under this name: everything but that it is
    /// there and answers.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        Connection::new(name, self.clone()).map(drop)
    }
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
            proxy: None,
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("protocol", &self.protocol)
            .field("base_url", &self.base_url.as_deref().map(place::shown))
            .field("key", &self.key)
            .field("models", &self.models)
            .field("window", &self.window)
            .field("max_output", &self.max_output)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
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
    /// The provider of that name needs a key.
    #[error("{}", no_key(.0))]
    NoKey(String),
    /// The key cannot be sent.
    #[error("the provider `{0}` cannot be used: its key holds characters that no key has")]
    BadKey(String),
    /// The configuration sets what only a prompt may.
    #[error("the provider `{provider}` may not set `{field}`: every request has its own")]
    Reserved {
        /// Its name.
        provider: String,
        /// In `extra`, or as `max_output_field`.
        field: String,
    },
    /// The base URL cannot be used.
    #[error("the URL `{url}` cannot be used: {reason}")]
    BadUrl {
        /// As configured, without what is secret in it.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy of that provider cannot be used.
    #[error("the proxy of the provider `{0}` must be an http or https URL of a host")]
    BadProxy(String),
    /// No HTTP client.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Providers that need no configuration but the environment's, and what to set.
const WITH_KEY: [(&str, &str); 2] = [
    ("openai", "set OPENAI_API_KEY, or OPENAI_BASE_URL for a local server"),
    ("dashscope", "set DASHSCOPE_API_KEY"),
];

fn no_key(provider: &str) -> String {
    let usual = WITH_KEY.iter().find(|(name, _)| *name == provider);
    let remedy = usual.map_or("its configuration needs key_env or key_file", |it| it.1);
    format!("the provider `{provider}` has no key: {remedy}")
}
