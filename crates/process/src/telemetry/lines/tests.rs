//! What stands in the log.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::{Dispatch, info_span};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::*;
use crate::trace::{Context as Place, Hops, follow};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// Keeps what is written.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged of this in a format, under a filter.
fn logged(format: Format, filter: &str, happens: impl FnOnce()) -> String {
    let kept = Kept::default();
    let writer = kept.clone();
    let log =
        layer(format, move || writer.clone(), false).with_filter(Lines(EnvFilter::new(filter)));
    let subscriber = tracing_subscriber::registry();
    let hops = Hops.with_filter(filter_fn(is_hop));
    let subscriber = Dispatch::from(subscriber.with(hops).with(log));
    tracing::dispatcher::with_default(&subscriber, happens);
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn within_a_turn(happens: impl FnOnce()) {
    let caller = Place::parse(&format!("00-{TRACE_ID}-b7ad6b7169203331-01"), "");
    let span = info_span!("hop", otel.kind = "server", weir.turn_id = "t-1", weir.noise = 7);
    follow(span, caller).in_scope(happens);
}

#[test]
fn lines_within_a_turn_carry_its_id_and_the_traces_whatever_the_filter() {
    for filter in ["info", "error"] {
        let text = logged(Format::Text, filter, || {
            within_a_turn(|| tracing::error!(count = 3, "it broke"));
            tracing::error!("alone");
        });
        let lines: Vec<_> = text.lines().collect();
        let end = format!(": it broke count=3 turn.id=t-1 trace.id={TRACE_ID}");
        assert!(lines[0].contains("ERROR") && lines[0].ends_with(&end), "{text}");
        assert!(lines[1].ends_with(": alone"), "{text}");
        assert!(!text.contains("noise"), "{text}");
    }
}

#[test]
fn a_json_line_has_the_same_in_fields_of_their_own() {
    let text = logged(Format::Json, "info", || {
        within_a_turn(|| tracing::warn!(count = 3, level = "x", ok = true, "it broke"));
        within_a_turn(|| tracing::info!(turn.id = "t-2", "of another"));
        tracing::debug!("not shown");
    });
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(
        (lines[0]["level"].as_str(), lines[0]["message"].as_str()),
        (Some("WARN"), Some("it broke"))
    );
    assert_eq!(
        (lines[0]["turn.id"].as_str(), lines[0]["trace.id"].as_str()),
        (Some("t-1"), Some(TRACE_ID))
    );
    assert_eq!(lines[0]["fields"], serde_json::json!({ "count": 3, "level": "x", "ok": true }));
    assert!(lines[0]["timestamp"].as_str().is_some_and(|it| it.contains('T')));
    assert_eq!(lines[1]["turn.id"], "t-2");
}

#[test]
fn no_value_forges_a_line_or_commands_a_terminal() {
    let hostile = "a\nERROR b\r\u{1b}[2J\u{9b}31m\u{7}\u{2028}c\u{0}";
    for format in [Format::Text, Format::Json] {
        let text = logged(format, "info", || {
            tracing::info!(shown = %hostile, told = hostile, debug = ?hostile, "{hostile}");
            let error = io::Error::other(hostile);
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::info!(error, "broken");
            let span = info_span!("hop", otel.kind = "server", weir.turn_id = hostile);
            span.in_scope(|| tracing::info!("within"));
        });
        assert_eq!(text.lines().count(), 3, "{text:?}");
        let commands = |it: char| it.is_control() && it != '\n';
        assert!(!text.contains(commands), "{text:?}");
        for line in text.lines() {
            assert!(line.starts_with('2') || line.starts_with('{'), "{line:?}");
        }
    }
}
