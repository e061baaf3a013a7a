//! All three nats-servers are killed at once and started again.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::{Ground, judged};
use crate::copies;
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::watcher::recoveries;

/// How often.
const ROUNDS: usize = 3;
/// How long they run in between.
const BETWEEN: Duration = Duration::from_secs(5);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C8", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let plan = Plan { sessions: 24, tokens: 60..=160, watchers: 1, ..Plan::default() };
    let load = Load::start(&stage.edges(), plan, "a", ground.seed)?;
    let (mut struck, mut first) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        sleep(BETWEEN).await;
        struck.push(Instant::now());
        for at in 0..stage.nodes() {
            stage.node(at).kill().await?;
        }
        for at in 0..stage.nodes() {
            stage.node(at).launch().await?;
        }
        stage.cluster()?.ready().await?;
        score.fault("all three servers killed");
    }
    sleep(BETWEEN).await;
    let notes = load.notes();
    for at in &struck {
        first.extend(recoveries(&notes, std::slice::from_ref(at)).into_iter().min());
    }
    judged(&stage, load, &mut score).await;
    let met = first.len();
    score.expect(met == ROUNDS, || format!("only {met} of {ROUNDS} kills were felt"));
    score.times("first frame", &first);
    score.times("no append", &recoveries(&notes, &struck));
    let compared = copies::compare(&mut stage, &mut score).await?;
    score.figure("copies", format!("{compared} messages, told by each server in turn"));
    Ok(score)
}
