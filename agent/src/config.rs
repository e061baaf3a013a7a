//! What an agent is made of, and how that is read: from one file, or from the
//! environment alone.
//!
//! Refuses, in one line, whatever it does not know or cannot use. No secret
//! stands in the file, and none is printed.

mod check;
mod environment;
mod error;
mod file;
mod print;
mod read;
mod resolve;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

pub use error::Error;
pub use model::{Found, Protocol, Provider, Reach};
pub use tool::mcp;

use self::environment::KNOWN;
use crate::extractive::EXTRACTIVE;

/// How long a call of an MCP server may be silent where the file does not say.
const MCP_TIMEOUT: Duration = Duration::from_mins(1);

/// What an agent is made of.
#[derive(Debug, Clone)]
pub struct Config {
    /// `extractive` or `provider/name`; by default the first provider that has
    /// a key, else `extractive`.
    pub model: Option<String>,
    /// Models that are asked, in order, when the one before could not be used
    /// and had said nothing yet.
    pub fallback: Vec<String>,
    /// Where models are, under the names that requests use for them.
    pub providers: BTreeMap<String, Provider>,
    /// The operator's instructions; those of a request stand behind them.
    pub system: Option<String>,
    /// How long a turn runs on without a reader, and how long an ended turn is
    /// kept for one.
    pub grace: Duration,
    /// How long a turn waits for its model.
    pub times: Times,
    /// What a turn may use.
    pub limits: Limits,
    /// What the agent knows.
    pub knowledge: Knowledge,
    /// Servers whose tools the agent has, under the names that prefix them.
    pub servers: BTreeMap<String, mcp::Server>,
    /// The operator's word on the servers' tools, as a file of their
    /// fingerprints; what was seen first is believed without one.
    pub pins: Option<PathBuf>,
    /// Which tools may be called.
    pub tools: Tools,
    /// How long a human may take to decide; without end when absent.
    pub review_expires: Option<Duration>,
    /// What is remembered about users.
    pub memory: Memory,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            model: None,
            fallback: Vec::new(),
            providers: BTreeMap::new(),
            system: None,
            grace: Duration::from_secs(30),
            times: Times::default(),
            limits: Limits::default(),
            knowledge: Knowledge::default(),
            servers: BTreeMap::new(),
            pins: None,
            tools: Tools::default(),
            review_expires: Some(Duration::from_hours(7 * 24)),
            memory: Memory::default(),
        }
    }
}

impl Config {
    /// The name of the model that answers when none is asked for: the configured
    /// one, else one of the first provider that has a key (`openai` before
    /// `dashscope` before others by name), else `extractive`.
    pub fn standard(&self) -> String {
        let known = KNOWN.iter().map(|it| (it.name, Some(it.model)));
        let others = self.providers.keys().map(|it| (it.as_str(), None));
        let first = known.chain(others).find_map(|(name, usual)| {
            let provider = self.providers.get(name).filter(|it| it.key.is_some())?;
            let usual = usual.filter(|it| offers(provider, it));
            let model = usual.or(provider.models.first().map(String::as_str))?;
            Some(format!("{name}/{model}"))
        });
        self.model.clone().or(first).unwrap_or_else(|| EXTRACTIVE.to_owned())
    }
}

/// Whether a provider offers this model.
fn offers(provider: &Provider, model: &str) -> bool {
    provider.models.is_empty() || provider.models.iter().any(|it| it == model)
}

/// How long a turn waits for its model. Each wait that ends in vain ends the turn
/// as `failed`, with its own code (see [`proto::code`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For its first word, over all tries of one model (`first_token_timeout`). 2
    /// minutes: a model that thinks without showing it may take more than one.
    pub first_token: Duration,
    /// From one word to the next, of a tool call too (`token_timeout`). A minute:
    /// a model that has begun pauses for seconds, even between thinking and
    /// speaking.
    pub between_tokens: Duration,
    /// For the whole turn, tools included (`turn_timeout`). 10 minutes.
    pub turn: Duration,
    /// How often a model that failed before its first word is asked again: 2.
    pub retries: u32,
    /// The pause before that, twice as long each time: 250 ms at first.
    pub retry_pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            first_token: Duration::from_mins(2),
            between_tokens: Duration::from_mins(1),
            turn: Duration::from_mins(10),
            retries: 2,
            retry_pause: Duration::from_millis(250),
        }
    }
}

/// What a turn may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls of the model (`step_limit`): 16.
    pub steps: u32,
    /// Tokens read and written over all steps, as far as the provider counts
    /// them (`token_limit`): 1,000,000.
    pub tokens: u64,
    /// Tool calls in one step; the model is told of those that are not made: 16.
    pub calls: usize,
    /// Tool calls that run at once: 4.
    pub parallel: usize,
    /// The most of a tool's result that is kept, in bytes: 32 KiB, and 128 KiB at
    /// most. A turn's results have their own limit, all together.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 16, tokens: 1_000_000, calls: 16, parallel: 4, output: 32 * 1024 }
    }
}

/// What the agent knows.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// Folders of documents; none means the built-in documentation.
    pub folders: Vec<PathBuf>,
}

/// Which tools may be called.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// For tools that no rule names; by default those that only read are
    /// allowed and everything else is reviewed.
    pub otherwise: Option<Verdict>,
    /// What holds for tools whose name matches; `*` stands for any letters. The
    /// rule with the most letters beside `*` counts.
    pub rules: BTreeMap<String, Verdict>,
}

/// What is to become of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// A human decides.
    Review,
    /// It is not made, and the model is told so.
    Deny,
}

/// What is remembered about users.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The most that is put before the model of what is known about the user,
    /// in bytes; 0 for nothing.
    pub budget: usize,
    /// The model of embeddings, as `provider/name`; without it memories are
    /// found by their words alone.
    pub embeddings: Option<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { budget: 2 * 1024, embeddings: None }
    }
}
