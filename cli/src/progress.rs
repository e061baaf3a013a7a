//! How far something is, for whoever waits for it: a bar on a terminal that can
//! show one, else a line of the log now and then. Log lines are written beside
//! the bar, never into it, and it is gone when the work is done.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agent::knowledge::{Progress, Reading};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use process::telemetry::put_aside;
use tokio::time::{Instant, interval_at};

use crate::terminal::Style;

/// Who waits less than this is shown nothing.
const SOON: Duration = Duration::from_millis(200);
/// How often the bar is looked after.
const OFTEN: Duration = Duration::from_millis(100);
/// How often a line is written where there is no bar.
const SELDOM: Duration = Duration::from_secs(10);

/// Does the work, and shows how far the reading of the knowledge is meanwhile.
pub(crate) async fn reading<T>(progress: &Progress, work: impl Future<Output = T>) -> T {
    let far = progress.watch();
    let mut shown = Shown::new(Style::of(&std::io::stderr()));
    let began = Instant::now();
    let mut ticks = match shown {
        Shown::Bar(_) => interval_at(began + SOON, OFTEN),
        Shown::Lines => interval_at(began + SELDOM, SELDOM),
    };
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = ticks.tick() => shown.show(*far.borrow(), began.elapsed()),
        }
    }
}

/// How it is shown.
enum Shown {
    /// None is drawn yet before the first look.
    Bar(Option<Drawn>),
    Lines,
}

impl Shown {
    fn new(style: Style) -> Self {
        if style.is_drawn() { Self::Bar(None) } else { Self::Lines }
    }

    fn show(&mut self, far: Reading, waited: Duration) {
        let told = words(far);
        match self {
            Self::Bar(drawn) => drawn.get_or_insert_with(Drawn::new).show(far, told),
            Self::Lines => tracing::info!(seconds = waited.as_secs(), "{told}"),
        }
    }
}

/// What is done at this moment.
fn words(far: Reading) -> String {
    match far {
        Reading { found: 0, .. } => "looking for documents".to_owned(),
        Reading { found, read } if read < found => format!("reading documents: {read} of {found}"),
        Reading { found, .. } => format!("indexing {found} documents"),
    }
}

/// A bar that log lines pass by; gone when it is dropped.
struct Drawn(ProgressBar);

impl Drawn {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_never| ProgressStyle::default_bar()));
        let beside = bar.clone();
        put_aside(Some(Arc::new(move |write| beside.suspend(&mut *write))));
        Self(bar)
    }

    fn show(&self, Reading { found, read }: Reading, told: String) {
        if found > 0 {
            self.0.set_length(found.try_into().unwrap_or(u64::MAX));
        }
        self.0.set_message(told);
        self.0.set_position(read.try_into().unwrap_or(u64::MAX));
        self.0.tick();
    }
}

impl Drop for Drawn {
    fn drop(&mut self) {
        put_aside(None);
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_has_words() {
        for (found, read, told) in [
            (0, 0, "looking for documents"),
            (3, 1, "reading documents: 1 of 3"),
            (3, 3, "indexing 3 documents"),
        ] {
            assert_eq!(words(Reading { found, read }), told);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_work_is_done_however_long_it_takes() {
        let slow = async {
            tokio::time::sleep(3 * SELDOM).await;
            7
        };
        assert_eq!(reading(&Progress::default(), slow).await, 7);
        assert_eq!(reading(&Progress::default(), async { 8 }).await, 8);
    }
}
