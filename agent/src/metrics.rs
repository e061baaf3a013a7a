//! What an agent counts and measures. Where OpenTelemetry's conventions for
//! generative AI have a name, it is theirs, as Prometheus spells it.
//!
//! Labels are names that the operator has configured, and this program's own
//! words. A model that a request was free to make up is `other`.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use process::metrics::{Counter, Gauge, Held, Histogram, Metric};
use proto::Usage;
use proto::ask_event::Kind;
use tokio::time::Instant;

/// Bounds that the conventions give, in seconds and in tokens.
const SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];
const TOKENS: &[f64] =
    &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

static OPERATION: Histogram<4> = Histogram::new(
    "gen_ai_client_operation_duration_seconds",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"],
    SECONDS,
    "from a question to a model to the end of its answer; without an error `error_type` is empty",
);
static FIRST_CHUNK: Histogram<3> = Histogram::new(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"],
    SECONDS,
    "from a question to a model to the first piece of its answer",
);
static TOKEN_USAGE: Histogram<4> = Histogram::new(
    "gen_ai_client_token_usage",
    ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
    TOKENS,
    "tokens of one question to a model, `input` and `output`, as its provider counts them",
);
static TOOL: Histogram<2> = Histogram::new(
    "gen_ai_execute_tool_duration_seconds",
    ["gen_ai_tool_name", "error_type"],
    SECONDS,
    "calls of tools; without an error `error_type` is empty",
);
static INVOKE: Histogram<2> = Histogram::new(
    "gen_ai_invoke_agent_duration_seconds",
    ["ending", "error_type"],
    SECONDS,
    "whole turns: `completed`, `interrupted`, `failed`, `cancelled`, `superseded` by another run, \
     or `abandoned` by everybody",
);
static RUNNING: Gauge = Gauge::new("weir_agent_turns_running", [], "turns under way");
pub(crate) static REATTACHES: Counter = Counter::new(
    "weir_agent_reattaches_total",
    [],
    "calls for turns that run already, or have ended a short while ago",
);
static RETRIES: Counter<2> = Counter::new(
    "weir_model_retries_total",
    ["gen_ai_provider_name", "gen_ai_request_model"],
    "questions asked again of a model that had failed before its first word",
);
static FALLBACKS: Counter<2> = Counter::new(
    "weir_model_fallbacks_total",
    ["gen_ai_provider_name", "gen_ai_request_model"],
    "questions given to the next model because this one could not be used",
);

/// All of them.
pub const METRICS: &[Metric] = &[
    OPERATION.metric(),
    FIRST_CHUNK.metric(),
    TOKEN_USAGE.metric(),
    TOOL.metric(),
    INVOKE.metric(),
    RUNNING.metric(),
    REATTACHES.metric(),
    RETRIES.metric(),
    FALLBACKS.metric(),
];

/// The models that may be told by their names.
static NAMES: RwLock<BTreeSet<String>> = RwLock::new(BTreeSet::new());

/// These models are configured.
pub(crate) fn configured(names: impl Iterator<Item = String>) {
    NAMES.write().unwrap_or_else(PoisonError::into_inner).extend(names);
}

/// A model's provider and its name there, as far as they may be told.
fn told(name: &str) -> (String, String) {
    let (provider, model) = name.split_once('/').unwrap_or(("weir", name));
    let known = NAMES.read().unwrap_or_else(PoisonError::into_inner).contains(name);
    (provider.to_owned(), if known { model } else { "other" }.to_owned())
}

/// The model is asked once more.
pub(crate) fn again(model: &str) {
    let (provider, model) = told(model);
    RETRIES.add(1, [&provider, &model]);
}

/// The next model is asked instead.
pub(crate) fn instead(model: &str) {
    let (provider, model) = told(model);
    FALLBACKS.add(1, [&provider, &model]);
}

/// A question to a model, measured until it has ended or is broken off.
#[derive(Debug)]
pub(crate) struct Asking {
    provider: String,
    model: String,
    began: Instant,
    first: bool,
    over: bool,
}

impl Asking {
    /// Asks this model.
    pub(crate) fn begin(model: &str) -> Self {
        let (provider, model) = told(model);
        Self { provider, model, began: Instant::now(), first: true, over: false }
    }

    /// A piece of the answer has come.
    pub(crate) fn piece(&mut self) {
        if std::mem::take(&mut self.first) {
            FIRST_CHUNK.time(self.began.elapsed(), ["chat", &self.provider, &self.model]);
        }
    }

    /// So many tokens were read and written.
    pub(crate) fn used(&self, usage: &Usage) {
        for (kind, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            TOKEN_USAGE.record(tokens.into(), ["chat", &self.provider, &self.model, kind]);
        }
    }

    /// The answer has ended, or failed with this code.
    pub(crate) fn ended(&mut self, error: Option<&'static str>) {
        if !std::mem::replace(&mut self.over, true) {
            let error = error.unwrap_or_default();
            let labels = ["chat", self.provider.as_str(), self.model.as_str(), error];
            OPERATION.time(self.began.elapsed(), labels);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.ended(Some("cancelled"));
    }
}

/// A call of a tool, measured until it is dropped.
#[derive(Debug)]
pub(crate) struct Calling<'a> {
    tool: &'a str,
    began: Instant,
    error: &'static str,
}

impl<'a> Calling<'a> {
    /// Calls this tool, which is configured.
    pub(crate) fn begin(tool: &'a str) -> Self {
        Self { tool, began: Instant::now(), error: "cancelled" }
    }

    /// It has answered.
    pub(crate) fn ended(mut self, output: &tool::Output) {
        self.error = match (output.unknown, output.is_error) {
            (true, _) => "outcome_unknown",
            (false, true) => "tool_error",
            (false, false) => "",
        };
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        TOOL.time(self.began.elapsed(), [self.tool, self.error]);
    }
}

/// A turn, measured until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    began: Instant,
    ending: (&'static str, String),
    _counted: Held,
}

impl Running {
    /// A turn begins.
    pub(crate) fn begin() -> Self {
        let ending = ("abandoned", String::new());
        Self { began: Instant::now(), ending, _counted: RUNNING.hold([]) }
    }

    /// The turn has ended so; with nothing when another run has it now.
    pub(crate) fn ended(&mut self, end: Option<&Kind>) {
        self.ending = match end.map(|it| proto::event::Kind::from(it.clone())) {
            None => ("superseded", String::new()),
            Some(proto::event::Kind::Failed(failed)) => ("failed", known(&failed.code)),
            Some(end) => (end.name(), String::new()),
        };
    }
}

fn known(code: &str) -> String {
    let known = proto::code::ALL.iter().find(|it| **it == code);
    known.map_or_else(|| "other".to_owned(), |it| (*it).to_owned())
}

impl Drop for Running {
    fn drop(&mut self) {
        INVOKE.time(self.began.elapsed(), [self.ending.0, &self.ending.1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_model_that_is_configured_is_told_by_its_name() {
        configured(["openai/small", "extractive", "open/<name>"].into_iter().map(str::to_owned));
        for (name, provider, model) in [
            ("openai/small", "openai", "small"),
            ("extractive", "weir", "extractive"),
            ("open/made-up-by-a-client", "open", "other"),
            ("openai/small/er", "openai", "other"),
        ] {
            assert_eq!(told(name), (provider.to_owned(), model.to_owned()), "{name}");
        }
        assert_eq!(known("token_limit"), "token_limit");
        assert_eq!(known("what a remote side made up"), "other");
    }
}
