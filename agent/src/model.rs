//! The port to what answers: a prompt in, a stream of what it says out.
//!
//! Dropping the stream stops the work behind it. Knows nothing of turns,
//! transcripts or readers.

pub(crate) mod extractive;
pub(crate) mod openai;

use std::fmt;
use std::sync::Arc;

use futures::stream::BoxStream;
use proto::{Citation, Failed, Message, Usage};

use extractive::Extractive;
use openai::{OpenAi, Provider};

/// The name of the model that needs no key and no network.
pub(crate) const EXTRACTIVE: &str = "extractive";

/// The longest model name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// What a model is asked.
#[derive(Debug, Clone)]
pub(crate) struct Prompt {
    /// Instructions.
    pub(crate) system: String,
    /// The conversation, oldest first; the last message is the question.
    pub(crate) messages: Vec<Message>,
}

impl Prompt {
    /// The question.
    pub(crate) fn question(&self) -> &str {
        self.messages.last().map_or("", |it| it.content.as_str())
    }
}

/// One piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Text(String),
    Reasoning(String),
    Citation(Citation),
    Usage(Usage),
    /// The answer is whole; why it stopped. Nothing follows.
    Finished(&'static str),
}

/// Why there is no answer: what the client is told, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// A sentence for people, without secrets.
    pub(crate) message: String,
    /// Whether asking the same again may work.
    pub(crate) retryable: bool,
}

impl Failure {
    /// A failure that asking again does not mend.
    pub(crate) fn lasting(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    /// A failure that may be gone the next time.
    pub(crate) fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true }
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
pub(crate) type Answer = BoxStream<'static, Result<Said, Failure>>;

/// Something that answers.
pub(crate) trait Model: fmt::Debug + Send + Sync {
    /// Starts an answer; the work begins when the stream is read.
    fn stream(&self, prompt: Prompt) -> Answer;
}

/// The models that a request may name.
#[derive(Debug)]
pub(crate) struct Models {
    standard: Arc<dyn Model>,
    extractive: Arc<Extractive>,
    provider: Option<Arc<Provider>>,
}

impl Models {
    /// The models that are set up; `None` when `standard` is not among them.
    pub(crate) fn new(
        standard: &str,
        extractive: Arc<Extractive>,
        provider: Option<Arc<Provider>>,
    ) -> Option<Self> {
        let mut models = Self {
            standard: Arc::<Extractive>::clone(&extractive) as Arc<dyn Model>,
            extractive,
            provider,
        };
        models.standard = models.named(standard)?;
        Some(models)
    }

    /// The model of that name, the configured one when empty; `None` when there
    /// is none.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<dyn Model>> {
        if name.is_empty() {
            return Some(Arc::clone(&self.standard));
        }
        if name == EXTRACTIVE {
            return Some(Arc::<Extractive>::clone(&self.extractive) as Arc<dyn Model>);
        }
        let provider = self.provider.as_ref()?;
        let name = openai_name(name)?;
        Some(Arc::new(OpenAi::new(Arc::clone(provider), name)))
    }

    /// What may be named, in words.
    pub(crate) fn allowed(&self) -> &'static str {
        match self.provider {
            Some(_) => "`extractive` or `openai/<name>`",
            None => "`extractive`",
        }
    }
}

/// The name behind `openai/`, if it is one.
pub(crate) fn openai_name(name: &str) -> Option<&str> {
    let name = name.strip_prefix("openai/")?;
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    (!name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(plain)).then_some(name)
}
