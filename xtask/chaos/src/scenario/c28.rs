//! The wall clock of one worker jumps an hour ahead, an hour back, and home
//! again, while it works. Nothing may come of it: only time that passes counts.
//!
//! Needs libfaketime (Debian: `apt-get install faketime`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::{Ground, judged};
use crate::load::{Load, Plan};
use crate::score::{Score, percentile, show};
use crate::stage::{Plan as Fleet, Stage};

/// Where distributions put the library that tells a process another time.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];
/// Where the clock jumps to, in seconds from the true time.
const JUMPS: [i64; 6] = [3600, -3600, 0, -3600, 3600, 0];
/// How long it stays there; longer than a lease.
const STAYS: Duration = Duration::from_secs(5);
/// Seconds of a day.
const DAY: i64 = 86_400;

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C28", ground.seed);
    let folder = tempfile::tempdir()?;
    let clock = folder.path().join("clock");
    jump(&clock, 0)?;
    let mut stage = Stage::start(ground.binary, Fleet { workers: 1, ..Fleet::SMALL }).await?;
    stage.one_more_worker(environment(&clock)?).await?;
    let plan = Plan { watchers: 1, ..Plan::default() };
    let load = Load::start(&stage.edges(), plan, "t", ground.seed)?;
    let mut seen = 0;
    for by in JUMPS {
        sleep(STAYS / 2).await;
        jump(&clock, by)?;
        // The library looks at the file once a second.
        sleep(STAYS / 2).await;
        seen += usize::from(by != 0 && tells(&mut stage, by));
        score.fault(&format!("clock {by:+} s"));
    }
    sleep(STAYS).await;
    judged(&stage, load, &mut score).await;
    let jumps = JUMPS.iter().filter(|it| **it != 0).count();
    score.expect(seen == jumps, || {
        format!("the worker's own lines show {seen} of {jumps} jumps: not what was meant")
    });
    let taken_over = score.taken_over;
    score.expect(taken_over == 0, || format!("{taken_over} turns changed hands without a fault"));
    score.figure("jumps", format!("{seen} seen in the worker's log"));
    score.figure("longest pause", show(percentile(&score.pauses, 100)));
    Ok(score)
}

/// What makes a process believe the clock in this file, and the true passing of
/// time.
fn environment(clock: &Path) -> Result<Vec<(String, String)>> {
    let library =
        LIBRARIES.iter().map(PathBuf::from).find(|it| it.is_file()).with_context(|| {
            format!(
                "libfaketime is not installed (`apt-get install faketime`): none of {LIBRARIES:?}"
            )
        })?;
    let (library, clock) = (library.display().to_string(), clock.display().to_string());
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", clock.as_str()),
        ("FAKETIME_CACHE_DURATION", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        // Its lines bear its own time.
        ("RUST_LOG", "info,h2::codec::framed_write=debug"),
    ];
    Ok(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

fn jump(clock: &Path, by: i64) -> Result<()> {
    // Replaced at once: half a file would be another time.
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{by:+}\n"))?;
    Ok(std::fs::rename(new, clock)?)
}

/// Whether the last lines of the worker are that far from the true time.
fn tells(stage: &mut Stage, by: i64) -> bool {
    let Some(worker) = stage.workers.last_mut() else { return false };
    let lines = worker.process().output().stderr;
    let told = lines.iter().rev().take(50).find_map(|it| time_of_day(it));
    let now = i64::try_from(process::clock::now().as_secs()).unwrap_or_default();
    told.is_some_and(|told| {
        (told - now - by).rem_euclid(DAY).min((now + by - told).rem_euclid(DAY)) < 60
    })
}

/// The seconds since midnight of a line that begins with
/// `2026-01-31T23:59:59`.
fn time_of_day(line: &str) -> Option<i64> {
    let mut parts = line.split_once('T')?.1.get(..8)?.split(':').map(str::parse::<i64>);
    let mut next = || parts.next()?.ok();
    Some(next()? * 3600 + next()? * 60 + next()?)
}
