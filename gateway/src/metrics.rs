//! What the edge counts and measures.
//!
//! Labels are what the edge itself chose: route templates, methods that exist,
//! statuses, reasons. Never a path, a user, a session, a turn, or a header.

use broker::Broker;
use process::metrics::{Counter, Gauge, Histogram, Metric, SECONDS};
use proto::event;

pub(crate) static REQUESTS: Counter<4> = Counter::new(
    "weir_http_requests_total",
    ["method", "route", "status", "ended"],
    "requests that have ended, with their bodies: `complete`, `cut` by the edge, or `left` by the \
     client, with status 499 when that was before an answer began",
);
pub(crate) static REQUESTS_OPEN: Gauge =
    Gauge::new("weir_http_requests_open", [], "requests under way, streams among them");
pub(crate) static DURATION: Histogram<2> = Histogram::new(
    "weir_http_request_duration_seconds",
    ["method", "route"],
    SECONDS,
    "from a request's head to the last byte of its answer; a stream's whole life",
);
pub(crate) static FIRST_BYTE: Histogram<1> = Histogram::new(
    "weir_http_time_to_first_byte_seconds",
    ["route"],
    SECONDS,
    "from a request's head to the first byte of its answer's body",
);
pub(crate) static SENT: Counter<1> = Counter::new(
    "weir_http_response_bytes_total",
    ["route"],
    "bytes of answers' bodies, as they are handed to connections",
);

pub(crate) static CONNECTIONS: Gauge =
    Gauge::new("weir_connections_open", [], "connections of clients");
pub(crate) static CONNECTIONS_REFUSED: Counter = Counter::new(
    "weir_connections_refused_total",
    [],
    "connections closed at once, of addresses that have as many as they may",
);
pub(crate) static SLOW: Counter = Counter::new(
    "weir_slow_readers_total",
    [],
    "connections and streams ended because their client took nothing for too long",
);

pub(crate) static STREAMS: Gauge<1> =
    Gauge::new("weir_streams_open", ["route"], "streams of events under way");
pub(crate) static FIRST_EVENT: Histogram<1> = Histogram::new(
    "weir_stream_time_to_first_event_seconds",
    ["route"],
    SECONDS,
    "from a request's head to the first event of its stream",
);
pub(crate) static EVENTS: Counter<1> =
    Counter::new("weir_stream_events_total", ["route"], "events told to readers of streams");
pub(crate) static RESUMES: Counter =
    Counter::new("weir_stream_resumes_total", [], "requests that go on after a `Last-Event-ID`");
pub(crate) static GAPS: Counter<1> = Counter::new(
    "weir_stream_gaps_total",
    ["reason"],
    "readers told that entries are missing: `expired`, `other_log` or `unknown_position`",
);
pub(crate) static CUTS: Counter<1> = Counter::new(
    "weir_stream_cuts_total",
    ["reason"],
    "streams cut by the edge before their end: `draining`, `log`, `gap` or `credential`",
);

pub(crate) static QUESTIONS: Counter<1> = Counter::new(
    "weir_questions_total",
    ["standing"],
    "questions taken: `new`, or `repeated` with an idempotency key",
);
static DEPTH: Gauge = Gauge::new(
    "weir_queue_depth",
    [],
    "jobs of all sessions that wait or are worked on, as the broker counts them; each gateway \
     tells the same number",
);

/// All of them.
pub const METRICS: &[Metric] = &[
    REQUESTS.metric(),
    REQUESTS_OPEN.metric(),
    DURATION.metric(),
    FIRST_BYTE.metric(),
    SENT.metric(),
    CONNECTIONS.metric(),
    CONNECTIONS_REFUSED.metric(),
    SLOW.metric(),
    STREAMS.metric(),
    FIRST_EVENT.metric(),
    EVENTS.metric(),
    RESUMES.metric(),
    GAPS.metric(),
    CUTS.metric(),
    QUESTIONS.metric(),
    DEPTH.metric(),
];

/// Looks at what only the broker knows.
pub async fn look(broker: &Broker) {
    match broker.queue.depth().await {
        Ok(depth) => DEPTH.set(depth, []),
        Err(error) => tracing::debug!(%error, "the queue's depth is not known"),
    }
}

/// A reader is told of a gap.
pub(crate) fn gap(gap: &event::Kind) {
    let event::Kind::Gap(gap) = gap else { return };
    let reasons = ["expired", "other_log", "unknown_position"];
    let known = reasons.into_iter().find(|it| *it == gap.reason);
    GAPS.add(1, [known.unwrap_or("other")]);
}
