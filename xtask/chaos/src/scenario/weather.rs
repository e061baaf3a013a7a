//! Every kind of fault, one after the other, under mixed load.

use anyhow::Result;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::Ground;
use crate::load::{Load, Plan};
use crate::score::Score;
use crate::stage::{Plan as Fleet, Stage};
use crate::{nemesis, oracle};

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("weather", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), Plan::default(), "w", ground.seed)?;
    nemesis::rage(&mut stage, Instant::now() + ground.time, &mut dice, &mut score).await?;
    let tales = load.stop().await;
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    score.fenced = stage.fenced();
    Ok(score)
}
