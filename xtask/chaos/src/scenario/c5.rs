//! The nats-server that leads the log is killed while 64 answers are told, and
//! comes back after a while; three times.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{Ground, judged};
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::watcher::recoveries;

/// How often.
const KILLS: usize = 3;
/// How long the leader is away.
const AWAY: Duration = Duration::from_secs(8);
/// How long all three are there before the next kill.
const BETWEEN: Duration = Duration::from_secs(4);
/// 64 streams, their readers restless.
const PLAN: Plan = Plan {
    sessions: 64,
    tokens: 100..=200,
    every_ms: 80..=100,
    cancels: 5,
    doubles: 5,
    queued: 5,
    questions: None,
    watchers: 1,
    restless: 60,
};

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C5", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), PLAN, "l", ground.seed)?;
    let mut struck = Vec::new();
    for _ in 0..KILLS {
        sleep(BETWEEN).await;
        let leader = stage.leader().await?;
        struck.push(Instant::now());
        stage.node(leader).kill().await?;
        sleep(AWAY).await;
        stage.node(leader).restart().await?;
        stage.cluster()?.ready().await?;
        score.fault("leader of the log killed");
    }
    let recovered = recoveries(&load.notes(), &struck);
    judged(&stage, load, &mut score).await;
    score.expect(!recovered.is_empty(), || "no kill was felt by any stream".to_owned());
    score.times("no append", &recovered);
    let resumed = score.connects.saturating_sub(PLAN.sessions * PLAN.watchers);
    score.figure("resumed", format!("{resumed} readers"));
    Ok(score)
}
