//! What a process counts and measures. Each metric is one constant: its name,
//! its labels, what it means.
//!
//! Records nothing, and builds no name and no label, until [`install()`] was
//! called: a process that nobody scrapes pays for one look at a flag. Refuses
//! nothing at run time; how many labels a metric has is checked when it is
//! compiled. What may be a label is for its caller to bound: never what clients
//! choose freely.

mod install;
mod own;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::metrics::{Key, Label, Level, Metadata};

pub use install::{Recorder, install};
pub use own::METRICS;

/// One number of a [`Counter`], for who counts often.
pub type Count = ::metrics::Counter;

/// From a millisecond to the longest answer, in seconds.
pub const SECONDS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 900.0,
];

/// Whether anything is recorded.
static RECORDING: AtomicBool = AtomicBool::new(false);

const METADATA: Metadata<'static> = Metadata::new("weir", Level::INFO, None);

fn is_recording() -> bool {
    RECORDING.load(Ordering::Relaxed)
}

/// One metric as it is described: to whoever scrapes it, and in the documents.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name, with its unit, as Prometheus has it.
    pub name: &'static str,
    /// What kind of numbers it has.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts or measures, in a sentence.
    pub meaning: &'static str,
}

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// How it is now.
    Gauge,
    /// How many values were at most so large: the bounds, in growing order.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its name, as Prometheus has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// A number that only grows.
#[derive(Debug)]
pub struct Counter<const N: usize = 0> {
    name: &'static str,
    labels: [&'static str; N],
    meaning: &'static str,
}

impl<const N: usize> Counter<N> {
    /// A counter; its name ends with `_total`.
    pub const fn new(name: &'static str, labels: [&'static str; N], meaning: &'static str) -> Self {
        Self { name, labels, meaning }
    }

    /// How it is described.
    pub const fn metric(&'static self) -> Metric {
        let Self { name, labels, meaning } = self;
        Metric { name, kind: Kind::Counter, labels, meaning }
    }

    /// Counts so many more, under these values of its labels.
    pub fn add(&self, count: u64, values: [&str; N]) {
        if is_recording() {
            self.with(values).increment(count);
        }
    }

    /// The same for who counts often: one of its numbers, to be kept.
    pub fn with(&self, values: [&str; N]) -> Count {
        if !is_recording() {
            return Count::noop();
        }
        let key = key(self.name, self.labels, values);
        ::metrics::with_recorder(|it| it.register_counter(&key, &METADATA))
    }
}

/// A number that says how it is now.
#[derive(Debug)]
pub struct Gauge<const N: usize = 0> {
    name: &'static str,
    labels: [&'static str; N],
    meaning: &'static str,
}

impl<const N: usize> Gauge<N> {
    /// A gauge.
    pub const fn new(name: &'static str, labels: [&'static str; N], meaning: &'static str) -> Self {
        Self { name, labels, meaning }
    }

    /// How it is described.
    pub const fn metric(&'static self) -> Metric {
        let Self { name, labels, meaning } = self;
        Metric { name, kind: Kind::Gauge, labels, meaning }
    }

    /// Says how it is.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which nothing here reaches")]
    pub fn set(&self, value: u64, values: [&str; N]) {
        if is_recording() {
            self.with(values).set(value as f64);
        }
    }

    /// One more, until what is returned is dropped.
    pub fn hold(&self, values: [&str; N]) -> Held {
        let gauge = self.with(values);
        gauge.increment(1.0);
        Held(gauge)
    }

    fn with(&self, values: [&str; N]) -> ::metrics::Gauge {
        if !is_recording() {
            return ::metrics::Gauge::noop();
        }
        let key = key(self.name, self.labels, values);
        ::metrics::with_recorder(|it| it.register_gauge(&key, &METADATA))
    }
}

/// One of what a gauge counts.
#[derive(Debug)]
#[must_use = "it counts for as long as it lives"]
pub struct Held(::metrics::Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Numbers of which one wants to know how they are spread.
#[derive(Debug)]
pub struct Histogram<const N: usize = 0> {
    name: &'static str,
    labels: [&'static str; N],
    buckets: &'static [f64],
    meaning: &'static str,
}

impl<const N: usize> Histogram<N> {
    /// A histogram with these bounds, in growing order.
    pub const fn new(
        name: &'static str,
        labels: [&'static str; N],
        buckets: &'static [f64],
        meaning: &'static str,
    ) -> Self {
        Self { name, labels, buckets, meaning }
    }

    /// How it is described.
    pub const fn metric(&'static self) -> Metric {
        let Self { name, labels, buckets, meaning } = self;
        Metric { name, kind: Kind::Histogram(buckets), labels, meaning }
    }

    /// Measures a time, in seconds.
    pub fn time(&self, took: Duration, values: [&str; N]) {
        self.record(took.as_secs_f64(), values);
    }

    /// Measures something.
    pub fn record(&self, value: f64, values: [&str; N]) {
        if is_recording() {
            let key = key(self.name, self.labels, values);
            ::metrics::with_recorder(|it| it.register_histogram(&key, &METADATA)).record(value);
        }
    }
}

fn key<const N: usize>(name: &'static str, labels: [&'static str; N], values: [&str; N]) -> Key {
    if N == 0 {
        return Key::from_static_name(name);
    }
    let pairs = labels.into_iter().zip(values);
    let labels = pairs.map(|(label, value)| Label::new(label, value.to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    static ASKED: Counter<1> = Counter::new("test_asked_total", ["kind"], "questions");
    static OPEN: Gauge = Gauge::new("test_open", [], "open things");
    static TOOK: Histogram = Histogram::new("test_took_seconds", [], &[0.1, 1.0], "how long");

    #[test]
    fn what_is_recorded_is_told_with_its_labels_escaped_and_only_once_it_is_installed() {
        ASKED.add(7, ["before"]);
        let before = OPEN.hold([]);
        let table = [ASKED.metric(), OPEN.metric(), TOOK.metric()];
        let recorder = install("test", &[&table]);
        drop(before);
        assert!(recorder.text().contains("\ntest_open 0\n"), "one without labels is there at once");

        ASKED.add(2, ["a\"b\\c\nd"]);
        let (one, two) = (OPEN.hold([]), OPEN.hold([]));
        drop(one);
        for seconds in [0.05, 0.5, 5.0] {
            TOOK.time(Duration::from_secs_f64(seconds), []);
        }
        let text = recorder.text();
        for line in [
            "# HELP test_asked_total questions",
            "# TYPE test_asked_total counter",
            r#"test_asked_total{kind="a\"b\\c\nd"} 2"#,
            "test_open 1",
            r#"test_took_seconds_bucket{le="0.1"} 1"#,
            r#"test_took_seconds_bucket{le="1"} 2"#,
            r#"test_took_seconds_bucket{le="+Inf"} 3"#,
            "test_took_seconds_count 3",
            "# TYPE weir_build_info gauge",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("before"), "{text}");
        drop(two);
    }
}
