//! A worker is killed every three seconds, and comes back at once, while 200
//! turns are worked on.

use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use super::{Ground, judged};
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::watcher::recoveries;

/// The time from one kill to the next.
const EVERY: Duration = Duration::from_secs(3);
/// 200 turns.
const PLAN: Plan = Plan {
    sessions: 20,
    tokens: 60..=140,
    every_ms: 20..=40,
    cancels: 0,
    doubles: 0,
    queued: 0,
    questions: Some(10),
    watchers: 1,
    restless: 0,
};

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C2", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), PLAN, "k", ground.seed)?;
    let mut struck = Vec::new();
    {
        let mut finished = Box::pin(load.finish());
        loop {
            tokio::select! {
                biased;
                () = &mut finished => break,
                () = sleep(EVERY) => {}
            }
            let at = dice.random_range(0..stage.workers.len());
            struck.push(Instant::now());
            stage.workers[at].kill().await?;
            stage.workers[at].restart().await?;
            score.fault("worker killed");
        }
    }
    let recovered = recoveries(&load.notes(), &struck);
    judged(&stage, load, &mut score).await;
    score.expect(!recovered.is_empty(), || "no kill met a turn".to_owned());
    score.times("recovery", &recovered);
    Ok(score)
}
