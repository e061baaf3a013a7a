//! How far a run of scenarios is, for who waits for it: a line on a terminal that
//! is written over, else a line now and then.
#![expect(clippy::print_stderr, reason = "the scorecards alone go to standard output")]

use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use process::environment;
use tokio::time::{Instant, interval_at};

/// How often the line on a terminal is written anew.
const OFTEN: Duration = Duration::from_millis(500);
/// How often a line is written elsewhere.
const SELDOM: Duration = Duration::from_secs(30);

/// How far it is.
#[derive(Debug)]
pub(crate) struct Far {
    /// The scenario that runs.
    pub(crate) name: &'static str,
    /// Which one it is, from 1.
    pub(crate) number: usize,
    /// How many there are.
    pub(crate) all: usize,
    /// How long it lasts, where that is planned.
    pub(crate) planned: Option<Duration>,
    /// How many promises were broken before.
    pub(crate) broken: usize,
}

impl Far {
    fn words(&self, took: Duration) -> String {
        let Self { name, number, all, planned, broken } = self;
        let planned = planned.map(|it| format!(" of {} s", it.as_secs())).unwrap_or_default();
        let took = took.as_secs();
        format!("{name} ({number} of {all}): {took} s{planned}; {broken} violations before it")
    }
}

/// Runs a scenario, and tells how far it is.
pub(crate) async fn told<T>(far: &Far, running: impl Future<Output = T>) -> T {
    let colourless = environment::get("NO_COLOR").is_some();
    let dumb = environment::get("TERM").as_deref() == Some("dumb");
    let drawn = std::io::stderr().is_terminal() && !colourless && !dumb;
    let bar = drawn.then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
    let (began, every) = (Instant::now(), if drawn { OFTEN } else { SELDOM });
    let mut ticks = interval_at(began + every, every);
    let mut running = pin!(running);
    let done = loop {
        tokio::select! {
            biased;
            done = &mut running => break done,
            _ = ticks.tick() => show(bar.as_ref(), far.words(began.elapsed())),
        }
    };
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done
}

fn show(bar: Option<&ProgressBar>, words: String) {
    match bar {
        Some(bar) => {
            bar.set_style(indicatif::ProgressStyle::default_spinner());
            bar.set_message(words);
            bar.tick();
        }
        None => eprintln!("{words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_which_one_runs_for_how_long_and_what_was_broken() {
        let far = Far { name: "C1", number: 2, all: 23, planned: None, broken: 0 };
        assert_eq!(far.words(Duration::from_secs(7)), "C1 (2 of 23): 7 s; 0 violations before it");
        let far = Far { planned: Some(Duration::from_mins(3)), broken: 1, ..far };
        let told = "C1 (2 of 23): 9 s of 180 s; 1 violations before it";
        assert_eq!(far.words(Duration::from_secs(9)), told);
    }
}
