//! A worker stands still in the middle of its turns for two leases, and wakes
//! with words in its hands. Others have gone on; the log refuses what it says.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{Ground, LEASE, judged};
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::watcher::recoveries;

/// How often a worker is held; each in its turn.
const ROUNDS: usize = 6;
/// Answers that last longer than a round, so that the agent still speaks to
/// the sleeper when others go on.
const PLAN: Plan = Plan {
    sessions: 12,
    tokens: 500..=600,
    every_ms: 20..=25,
    cancels: 0,
    doubles: 0,
    queued: 0,
    questions: None,
    watchers: 2,
    restless: 0,
};

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C1", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), PLAN, "p", ground.seed)?;
    let (mut struck, mut woken) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        sleep(LEASE).await;
        let at = round % stage.workers.len();
        let worker = &mut stage.workers[at];
        struck.push(Instant::now());
        worker.process().pause()?;
        sleep(2 * LEASE).await;
        worker.process().resume()?;
        score.fault("worker held for two leases");
        // What it has to say, it says at once.
        sleep(Duration::from_secs(1)).await;
        let fenced = stage.fenced();
        woken += usize::from(fenced > score.fenced);
        score.fenced = fenced;
    }
    let recovered = recoveries(&load.notes(), &struck);
    judged(&stage, load, &mut score).await;
    let fenced = score.fenced;
    score.expect(fenced > 0, || "no zombie had anything to write: not what was meant".to_owned());
    score.expect(!recovered.is_empty(), || "no turn was taken over".to_owned());
    score.times("takeover", &recovered);
    score.figure("zombies", format!("{woken} of {ROUNDS} sleepers wrote, {fenced} writes refused"));
    Ok(score)
}
