//! The leader of the log stands still for eight seconds. Then two servers stand
//! still, the third is killed and started, and another two stand still. What
//! was acknowledged must be readable on every server.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{Ground, judged};
use crate::copies;
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::watcher::recoveries;

/// How long the leader is held.
const HELD: Duration = Duration::from_secs(8);
/// How long each of the steps lasts in which two are held.
const STEP: Duration = Duration::from_secs(3);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C6", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let plan = Plan { sessions: 16, tokens: 40..=160, watchers: 1, ..Plan::default() };
    let load = Load::start(&stage.edges(), plan, "d", ground.seed)?;
    sleep(STEP).await;
    let mut struck = vec![Instant::now()];
    let leader = stage.leader().await?;
    stage.node(leader).pause()?;
    sleep(HELD).await;
    stage.node(leader).resume()?;
    stage.cluster()?.ready().await?;
    score.fault("leader of the log held");
    for _ in 0..2 {
        sleep(STEP).await;
        let killed = stage.leader().await?;
        struck.push(Instant::now());
        swap(&mut stage, killed).await?;
        score.fault("two held, one killed, swapped");
    }
    sleep(STEP).await;
    let recovered = recoveries(&load.notes(), &struck);
    judged(&stage, load, &mut score).await;
    score.expect(!recovered.is_empty(), || "no hold was felt by any stream".to_owned());
    score.times("no append", &recovered);
    let compared = copies::compare(&mut stage, &mut score).await?;
    score.figure("copies", format!("{compared} messages, told by each server in turn"));
    Ok(score)
}

/// At no time two of them run that could agree, but each of them runs alone
/// with what it has.
async fn swap(stage: &mut Stage, killed: usize) -> Result<()> {
    let (one, other) = ((killed + 1) % 3, (killed + 2) % 3);
    stage.node(one).pause()?;
    stage.node(other).pause()?;
    stage.node(killed).kill().await?;
    stage.node(killed).launch().await?;
    sleep(STEP).await;
    stage.node(one).resume()?;
    stage.node(killed).pause()?;
    sleep(STEP).await;
    stage.node(other).resume()?;
    sleep(STEP).await;
    stage.node(killed).resume()?;
    stage.cluster()?.ready().await
}
