//! The link to an agent becomes a black hole in the middle of answers, for
//! good. The workers notice, and the turns go on with the other agent.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::proxy::Direction;
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::load::{Load, Plan as Asking};
use crate::oracle;
use crate::score::{Score, show};
use crate::stage::{Plan, Stage};
use crate::watcher::Notes;

/// Sessions, one question each.
const SESSIONS: usize = 24;
/// How long the worker may believe in a dead link.
const NOTICED: Duration = Duration::from_secs(15);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C20", ground.seed);
    let stage = Stage::start(ground.binary, Plan { agents: 2, ..Plan::SMALL }).await?;
    let asking = Asking {
        sessions: SESSIONS,
        // Longer than the silence, so that every answer is in the middle of it.
        tokens: 250..=250,
        every_ms: 80..=80,
        cancels: 0,
        doubles: 0,
        queued: 0,
        questions: Some(1),
        watchers: 1,
        restless: 0,
    };
    let load = Load::start(&stage.edges(), asking, "h", ground.seed)?;
    sleep(Duration::from_secs(3)).await;
    let link = stage.link("workers-agent0").context("each agent has a link")?;
    link.stall(Direction::Both);
    let stalled = Instant::now();
    score.fault("agent link black-holed");
    let tales = load.stop().await;
    stage.model.settle().await;
    let noticed: Vec<_> =
        tales.iter().filter_map(|it| noticed(it.watched.first()?, stalled)).collect();
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    score.expect(!noticed.is_empty() && noticed.len() < SESSIONS, || {
        format!("{} of {SESSIONS} turns lost their agent: the fault was missed", noticed.len())
    });
    for late in noticed.iter().filter(|it| **it > NOTICED) {
        score.violation(format!("a dead agent link was noticed after {}", show(*late)));
    }
    score.times("stall to next word", &noticed);
    Ok(score)
}

/// When a turn that lost its agent was taken back, or failed.
fn noticed(notes: &Notes, stalled: Instant) -> Option<Duration> {
    let mut after = notes.heard.iter().filter(|it| it.at > stalled);
    let word = after.find(|it| it.frame.is("rewind") || it.frame.is("failed"))?;
    Some(word.at.duration_since(stalled))
}
