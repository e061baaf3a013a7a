//! Each nats-server in its turn lets its clients go, ends, and starts again,
//! while everybody asks and reads. No client may notice more than a pause.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{Ground, judged};
use crate::load::{Load, Plan};
use crate::score::{Score, percentile, show};
use crate::stage::{Plan as Fleet, Stage};

/// How long all three are there before the next goes.
const BETWEEN: Duration = Duration::from_secs(3);
/// Short answers, so that questions meet every moment; readers that stay.
const PLAN: Plan = Plan {
    sessions: 16,
    tokens: 10..=60,
    every_ms: 10..=40,
    cancels: 10,
    doubles: 5,
    queued: 10,
    questions: None,
    watchers: 1,
    restless: 0,
};

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C9", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), PLAN, "r", ground.seed)?;
    for at in 0..stage.nodes() {
        sleep(BETWEEN).await;
        let node = stage.node(at);
        node.retire()?;
        node.ended().await?;
        node.restart().await?;
        stage.cluster()?.ready().await?;
        score.fault("server retired and started");
    }
    sleep(BETWEEN).await;
    let again = load.again();
    judged(&stage, load, &mut score).await;
    for why in &again {
        score.violation(format!("a question had to be asked again: {why}"));
    }
    let reconnects = score.connects.saturating_sub(PLAN.sessions * PLAN.watchers);
    score.expect(reconnects == 0, || format!("{reconnects} readers lost their connection"));
    let longest = percentile(&score.pauses, 100).max(percentile(&score.first, 100));
    score.figure("longest stall", show(longest));
    score.figure("reconnects", format!("{reconnects}, questions asked again {}", again.len()));
    Ok(score)
}
