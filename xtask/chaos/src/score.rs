//! What a run has shown: counts, times, figures, violations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The scorecard of one run.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// Which scenario.
    pub name: String,
    /// What its choices followed.
    pub seed: u64,
    /// Questions, those that became turns, and those without an answer.
    pub asked: usize,
    /// Questions that became turns.
    pub accepted: usize,
    /// Questions that were refused, by status.
    pub refused: BTreeMap<u16, usize>,
    /// Questions whose outcome their client never learned.
    pub unknown: usize,
    /// How turns ended.
    pub ends: BTreeMap<String, usize>,
    /// Faults that were injected.
    pub faults: BTreeMap<String, usize>,
    /// Turns with more than one attempt.
    pub taken_over: usize,
    /// How often text was taken back.
    pub rewinds: usize,
    /// Appends of fenced attempts that the log refused.
    pub fenced: usize,
    /// Connections of readers.
    pub connects: usize,
    /// Calls to the model.
    pub calls: usize,
    /// Codes with which a turn may fail because of what was done to it.
    pub tolerated: &'static [&'static str],
    /// From acceptance to the turn's first frame.
    pub first: Vec<Duration>,
    /// Between two frames of a turn.
    pub pauses: Vec<Duration>,
    /// What this scenario is about, by name.
    pub figures: Vec<(String, String)>,
    /// Broken promises.
    pub violations: Vec<String>,
}

/// Violations that are printed.
const SHOWN: usize = 20;

impl Score {
    /// An empty card.
    pub fn new(name: &str, seed: u64) -> Self {
        Self { name: name.to_owned(), seed, ..Self::default() }
    }

    /// Notes a broken promise.
    pub fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    /// Notes a violation unless `held`.
    pub fn expect(&mut self, held: bool, what: impl FnOnce() -> String) {
        if !held {
            self.violation(what());
        }
    }

    /// Notes a figure.
    pub fn figure(&mut self, name: &str, value: impl fmt::Display) {
        self.figures.push((name.to_owned(), value.to_string()));
    }

    /// Notes the spread of some times as a figure.
    pub fn times(&mut self, name: &str, times: &[Duration]) {
        self.figure(name, spread(times));
    }

    /// Notes a fault.
    pub fn fault(&mut self, what: &str) {
        *self.faults.entry(what.to_owned()).or_default() += 1;
    }

    /// Whether every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// The part of sorted times below which `percent` of them are.
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Count, median, 99th percentile and maximum.
pub fn spread(times: &[Duration]) -> String {
    let [p50, p99, max] = [50, 99, 100].map(|it| show(percentile(times, it)));
    format!("p50 {p50}, p99 {p99}, max {max} of {}", times.len())
}

/// A time for people.
pub fn show(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    }
    format!("{:.2} s", time.as_secs_f64())
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "── {} · seed {} ──", self.name, self.seed)?;
        if self.asked > 0 {
            let Self { asked, accepted, unknown, .. } = self;
            write!(f, "questions    {asked}, accepted {accepted}, unanswered {unknown}")?;
            writeln!(f, ", refused {}", list(&self.refused))?;
            writeln!(f, "ends         {}", list(&self.ends))?;
            let Self { taken_over, rewinds, fenced, calls, .. } = self;
            write!(f, "turns        {taken_over} taken over, {rewinds} rewinds, ")?;
            writeln!(f, "{fenced} fenced appends refused, {calls} model calls")?;
            writeln!(f, "readers      {} connections", self.connects)?;
            writeln!(f, "first frame  {}", spread(&self.first))?;
            writeln!(f, "pauses       {}", spread(&self.pauses))?;
        }
        if !self.faults.is_empty() {
            writeln!(f, "faults       {}", list(&self.faults))?;
        }
        for (name, value) in &self.figures {
            writeln!(f, "{name:<12} {value}")?;
        }
        write!(f, "violations   {}", self.violations.len())?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n  - {violation}")?;
        }
        Ok(())
    }
}

fn list<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
    let words: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_taken() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let at = |percent| percentile(&times, percent).as_millis();
        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
