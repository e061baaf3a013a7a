//! What a worker counts and measures.
//!
//! Labels are its own words and those of the contract; never a user, a session,
//! a turn, or what an agent says of itself.

use std::time::Duration;

use broker::{Outcome, Result};
use process::metrics::{Counter, Gauge, Histogram, Metric, SECONDS};
use proto::{Entry, code, event};

use crate::decide::Step;

pub(crate) static WAIT: Histogram = Histogram::new(
    "weir_queue_wait_seconds",
    [],
    SECONDS,
    "from the moment a question was taken to the moment its turn begins, by the clocks of two \
     machines",
);
static ATTEMPTS: Counter<1> = Counter::new(
    "weir_attempts_total",
    ["step"],
    "what was done about delivered jobs: `begin`, `take_over` from a worker that is gone, `park` \
     behind another turn, `seal` as hopeless, `cancel`, `end_lost`, `acknowledge` what had ended, \
     `leave` what is another's",
);
pub(crate) static SLOTS: Gauge =
    Gauge::new("weir_worker_slots", [], "turns that this worker may work on at once");
pub(crate) static RUNNING: Gauge =
    Gauge::new("weir_worker_turns_running", [], "turns being worked on");
pub(crate) static PARKED: Gauge =
    Gauge::new("weir_worker_turns_parked", [], "turns that wait here for the one before them");
static TURNS: Counter<1> = Counter::new(
    "weir_turns_total",
    ["ending"],
    "turns whose end this worker has stored: `completed`, `interrupted`, `failed` or `cancelled`",
);
static FAILED: Counter<1> = Counter::new(
    "weir_turns_failed_total",
    ["code"],
    "turns whose stored end is `failed`, by its code, as far as the contract knows it",
);

static APPENDS: Counter<1> = Counter::new(
    "weir_appends_total",
    ["outcome"],
    "entries offered to logs: `stored`, `refused` because the log had gone on, or `failed`",
);
static APPEND: Histogram = Histogram::new(
    "weir_append_duration_seconds",
    [],
    SECONDS,
    "from an entry to its certain outcome",
);
static EVENTS: Counter =
    Counter::new("weir_append_events_total", [], "events in the entries that were stored");
pub(crate) static FENCED: Counter = Counter::new(
    "weir_appends_fenced_total",
    [],
    "refused entries of attempts that another worker had taken over",
);
pub(crate) static RETRIES: Counter = Counter::new(
    "weir_agent_retries_total",
    [],
    "calls of agents that broke off and were made again",
);

/// All of them.
pub const METRICS: &[Metric] = &[
    WAIT.metric(),
    ATTEMPTS.metric(),
    SLOTS.metric(),
    RUNNING.metric(),
    PARKED.metric(),
    TURNS.metric(),
    FAILED.metric(),
    APPENDS.metric(),
    APPEND.metric(),
    EVENTS.metric(),
    FENCED.metric(),
    RETRIES.metric(),
];

/// This is done about a delivered job.
pub(crate) fn decided(step: &Step) {
    let step = match step {
        Step::Park => "park",
        Step::Leave => "leave",
        Step::Acknowledge => "acknowledge",
        Step::Begin => "begin",
        Step::TakeOver => "take_over",
        Step::Cancel { .. } => "cancel",
        Step::Seal => "seal",
        Step::EndLost => "end_lost",
    };
    ATTEMPTS.add(1, [step]);
}

/// An entry was offered to the log, with this outcome.
pub(crate) fn appended(entry: &Entry, outcome: &Result<Outcome>, took: Duration) {
    APPEND.time(took, []);
    let outcome = match outcome {
        Ok(Outcome::Stored(_)) => "stored",
        Ok(Outcome::Refused) => "refused",
        Err(_) => "failed",
    };
    APPENDS.add(1, [outcome]);
    if outcome == "stored" {
        EVENTS.add(entry.events.len() as u64, []);
        let mut kinds = entry.events.iter().filter_map(|it| it.kind.as_ref());
        if let Some(end) = kinds.next_back().filter(|it| it.ending().is_some()) {
            ended(end);
        }
    }
}

fn ended(end: &event::Kind) {
    TURNS.add(1, [end.name()]);
    if let event::Kind::Failed(failed) = end {
        let known = code::ALL.iter().find(|it| **it == failed.code);
        FAILED.add(1, [known.copied().unwrap_or("other")]);
    }
}
