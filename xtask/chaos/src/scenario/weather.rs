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
    // The link to the model breaks, too, and an agent may not repeat what was shown.
    score.tolerated = &["model_cut", "model_unavailable", "first_token_timeout", "token_timeout"];
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::FULL).await?;
    let load = Load::start(&stage.edges(), Plan::default(), "w", ground.seed)?;
    nemesis::rage(&mut stage, Instant::now() + ground.time, &mut dice, &mut score).await?;
    let tales = load.stop().await;
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    score.fenced = stage.fenced();
    let completed = score.ends.get("completed").copied().unwrap_or_default();
    score.expect(2 * completed > score.asked, || "too few questions were answered".to_owned());
    Ok(score)
}
