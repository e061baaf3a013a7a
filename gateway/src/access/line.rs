//! The line in the log. Under `gateway::access`, so that it can be filtered;
//! questions about health are for those who debug.

use std::time::Duration;

use http::Version;

use super::{Ended, Record};

/// Routes that are asked all the time and tell nothing.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Text of clients is a string to the log, which quotes and escapes it.
macro_rules! write {
    ($level:ident, $record:ident, $ended:ident, $took:ident) => {
        tracing::event!(
            target: "gateway::access",
            tracing::Level::$level,
            request.id = $record.seen.name.as_str(),
            http.method = $record.seen.method,
            http.route = $record.seen.route.as_str(),
            http.status = $record.status.map(|it| it.as_u16()),
            http.version = version($record.seen.version),
            ended = $ended.name(),
            seconds = rounded($took),
            first_byte = $record.first.map(rounded),
            bytes = $record.bytes,
            peer = $record.seen.peer.map(tracing::field::display),
            client = $record.seen.client.map(tracing::field::display),
            turn.id = $record.seen.turn.get().map(tracing::field::display),
            agent = $record.seen.agent.as_deref(),
            "request"
        )
    };
}

pub(super) fn write(record: &Record, (ended, took): (Ended, Duration)) {
    if HEALTH.contains(&record.seen.route.as_str()) {
        write!(DEBUG, record, ended, took);
    } else {
        write!(INFO, record, ended, took);
    }
}

/// In seconds, to the tenth of a millisecond.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10_000.0
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _later => "other",
    }
}
