//! The table.

#![expect(clippy::print_stdout, reason = "a command's output")]

use hdrhistogram::Histogram;

use crate::load::{Load, Measured, float};
use crate::page::{Seen, Span};
use crate::servers::{Kind, MODEL};
use testkit::cost::Cost;

/// One run of the pipeline and what it is compared with.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub(crate) kind: Kind,
    pub(crate) load: &'a Load,
    pub(crate) direct: &'a Measured,
    pub(crate) weir: &'a Measured,
}

/// The lines by which a starter knows that the model serves.
pub(crate) fn serving(url: &str) {
    println!("model     {url}\nready");
}

/// Says what the next lines are about.
pub(crate) fn head(load: &Load) {
    let Load { sessions, tokens, every, ramp } = load;
    let pace =
        every.map_or("flat out".to_owned(), |it| format!("{:.0} tokens/s", 1.0 / it.as_secs_f64()));
    println!("\n{sessions} sessions x {tokens} tokens, {pace}, begun over {} ms", ramp.as_millis());
    println!(
        "{:<10}{:>9}{:>9}{:>11}{:>11}{:>11}{:>12}{:>11}{:>10}",
        "",
        "p50 ms",
        "p99 ms",
        "first p50",
        "first p99",
        "tokens/s",
        "completed",
        "µs/token",
        "KiB/open"
    );
}

/// The load read straight from the model.
pub(crate) fn direct(load: &Load, direct: &Measured) {
    row("direct", direct, None);
    parts(load, direct);
    failures(direct);
}

/// The load through the pipeline.
pub(crate) fn weir(report: &Report<'_>) {
    let Report { kind, load, direct, weir } = report;
    let name = match kind {
        Kind::Nats => "nats",
        Kind::Embedded => "embedded",
    };
    let servers = || weir.costs.iter().filter(|(name, _)| *name != MODEL);
    let cpu = servers().map(|(_, cost)| cost.cpu).sum();
    let memory = servers().map(|(_, cost)| cost.memory).sum();
    row(name, weir, Some((Cost { cpu, memory }, load.sessions)));
    ratio(direct, weir);
    parts(load, weir);
    failures(weir);
}

/// What the servers said.
pub(crate) fn logs(logs: &[(&str, Vec<String>)]) {
    for (name, lines) in logs {
        for line in lines {
            println!("  {name}: {line}");
        }
    }
}

/// How the page drew a long answer.
pub(crate) fn page(seen: &Seen) {
    let (pace, took) = (1.0 / seen.every.as_secs_f64(), seen.took.as_secs_f64());
    let schedule = seen.schedule.as_secs_f64();
    println!(
        "\n1 answer x {} tokens with Markdown, {pace:.0} tokens/s, shown in {took:.1} s \
         (said in {schedule:.1} s)",
        seen.tokens
    );
    println!(
        "{:<12}{:>9}{:>11}{:>11}{:>11}{:>13}{:>13}",
        "tokens", "frames", "frame p50", "frame p99", "frame max", "tasks >50ms", "longest ms"
    );
    for (name, Span { frames, tasks }) in &seen.spans {
        println!(
            "{name:<12}{:>9}{:>11.1}{:>11.1}{:>11.1}{:>13}{:>13.1}",
            frames.len(),
            share(frames, 0.50),
            share(frames, 0.99),
            share(frames, 1.0),
            tasks.len(),
            share(tasks, 1.0),
        );
    }
    let [start, end] = seen.heap.map(|it| it / f64::from(1 << 20));
    println!("heap        {start:.1} MiB before, {end:.1} MiB after; {:.0} nodes", seen.nodes);
}

/// The value that this share of all does not exceed; 0 for none.
fn share(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let below = (0..count).take_while(|it| f64::from(*it) < f64::from(count) * share).count();
    sorted.get(below.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn row(name: &str, measured: &Measured, servers: Option<(Cost, u32)>) {
    let tokens = measured.token.len();
    let (cpu, memory) = servers.map_or(("-".to_owned(), "-".to_owned()), |(cost, sessions)| {
        let memory = per(cost.memory, sessions.into());
        (format!("{:.1}", per(cost.cpu, tokens)), format!("{memory:.1}"))
    });
    let failed: u32 = measured.failures.values().sum();
    println!(
        "{name:<10}{:>9.2}{:>9.2}{:>11.2}{:>11.2}{:>11.0}{:>12}{cpu:>11}{memory:>10}",
        at(&measured.token, 50.0),
        at(&measured.token, 99.0),
        at(&measured.first, 50.0),
        at(&measured.first, 99.0),
        measured.rate(),
        format!("{}/{}", measured.completed, measured.completed + failed),
    );
}

fn ratio(direct: &Measured, weir: &Measured) {
    let times = |of: fn(&Measured) -> f64| of(weir) / of(direct);
    println!(
        "{:<10}{:>9.1}{:>9.1}{:>11.1}{:>11.1}{:>11.2}",
        "  / direct",
        times(|it| at(&it.token, 50.0)),
        times(|it| at(&it.token, 99.0)),
        times(|it| at(&it.first, 50.0)),
        times(|it| at(&it.first, 99.0)),
        times(Measured::rate),
    );
}

/// What each process used, per token and per session.
fn parts(load: &Load, measured: &Measured) {
    let tokens = measured.token.len();
    let part = |(name, cost): &(&str, Cost)| {
        let memory = per(cost.memory, load.sessions.into());
        format!("{name} {:.1} µs {memory:.1} KiB", per(cost.cpu, tokens))
    };
    let parts: Vec<_> = measured.costs.iter().map(part).collect();
    let (parts, generator) = (parts.join(", "), per(measured.generator, tokens));
    let others = measured.others;
    println!("{:<10}{parts}, generator {generator:.1} µs; others {others:.2} processors", "");
}

fn failures(measured: &Measured) {
    for (why, count) in measured.failures.iter().take(5) {
        println!("  {count} sessions: {why}");
    }
}

/// A percentile in milliseconds.
fn at(histogram: &Histogram<u64>, percentile: f64) -> f64 {
    float(histogram.value_at_percentile(percentile)) / 1000.0
}

fn per(amount: u64, count: u64) -> f64 {
    float(amount) / float(count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut histogram = Histogram::new_with_bounds(1, 120_000_000, 3).unwrap();
        for it in 1..=100 {
            histogram.record(it * 1000).unwrap();
        }
        assert!((at(&histogram, 50.0) - 50.0).abs() < 0.1);
        assert!((at(&histogram, 99.0) - 99.0).abs() < 0.1);
        assert!((per(3, 2) - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_share_of_none_is_none_and_the_whole_is_the_most() {
        let values: Vec<_> = (1..=100).rev().map(f64::from).collect();
        let shares = [0.5, 0.99, 1.0].map(|it| share(&values, it));
        assert_eq!(shares.map(|it| format!("{it:.1}")), ["50.0", "99.0", "100.0"]);
        assert!(share(&[], 0.5).abs() < f64::EPSILON);
        assert!((share(&[7.0], 0.01) - 7.0).abs() < f64::EPSILON);
    }
}
