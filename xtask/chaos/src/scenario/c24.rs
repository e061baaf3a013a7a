//! Every part of the fleet is replaced, one after the other, under load, as an
//! upgrade does it: SIGTERM, its end, a new one; nats-servers in lame duck mode.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::load::{Load, Plan as Asking};
use crate::oracle;
use crate::score::{Score, show};
use crate::sitting::Tale;
use crate::stage::{Part, Plan, Stage};
use crate::watcher::Heard;

/// The pause between two replacements.
const PAUSE: Duration = Duration::from_secs(2);

/// A replacement: what, from when to when.
type Window = (&'static str, Instant, Instant);
/// The parts of one role.
type Role = fn(&mut Stage) -> &mut Vec<Part>;

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C24", ground.seed);
    let mut stage = Stage::start(ground.binary, Plan::FULL).await?;
    let asking = Asking { tokens: 40..=200, every_ms: 20..=50, restless: 0, ..Asking::default() };
    let load = Load::start(&stage.edges(), asking, "r", ground.seed)?;
    sleep(Duration::from_secs(3)).await;
    let mut windows = Vec::new();
    let roles: [(&str, Role); 3] = [
        ("gateway", |it| &mut it.gateways),
        ("worker", |it| &mut it.workers),
        ("agent", |it| &mut it.agents),
    ];
    for (role, parts) in roles {
        for at in 0..parts(&mut stage).len() {
            let from = Instant::now();
            let ended = roll(&mut parts(&mut stage)[at], &mut score).await?;
            stage.aim()?;
            windows.push((role, from, Instant::now() + PAUSE));
            score.figure(&format!("{role}{at} drained"), show(ended));
            score.fault(&format!("{role} replaced"));
            sleep(PAUSE).await;
        }
    }
    for at in 0..stage.nodes() {
        let from = Instant::now();
        stage.node(at).retire()?;
        stage.node(at).ended().await?;
        stage.node(at).restart().await?;
        stage.cluster()?.ready().await?;
        windows.push(("nats-server", from, Instant::now() + PAUSE));
        score.fault("nats-server replaced");
        sleep(PAUSE).await;
    }
    let tales = load.stop().await;
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    score.fenced = stage.fenced();
    stalls(&tales, &windows, &mut score);
    score.figure("turns", format!("{} of {} taken over", score.taken_over, score.accepted));
    Ok(score)
}

/// Replaces one process: how long its drain took.
async fn roll(part: &mut Part, score: &mut Score) -> Result<Duration> {
    let since = Instant::now();
    part.process().terminate()?;
    let code = part.process().exit().await?.code();
    let drained = since.elapsed();
    let name = part.name.clone();
    score.expect(code == Some(0), || format!("{name} drained with code {code:?}"));
    part.restart().await?;
    Ok(drained)
}

/// The pauses within turns that readers saw, by what was replaced meanwhile,
/// and between which frames the longest ones were.
fn stalls(tales: &[Tale], windows: &[Window], score: &mut Score) {
    for role in ["gateway", "worker", "agent", "nats-server"] {
        let within = |at: Instant| {
            windows.iter().any(|(what, from, to)| *what == role && (*from..=*to).contains(&at))
        };
        let notes = tales.iter().flat_map(|it| &it.watched);
        let pairs = notes.flat_map(|it| it.heard.windows(2));
        let of_one_turn = pairs.filter(|it| turn(&it[0]) == turn(&it[1]) && within(it[1].at));
        let pause = |it: &[Heard]| it[1].at.duration_since(it[0].at);
        let of_one_turn: Vec<_> = of_one_turn.collect();
        let pauses: Vec<_> = of_one_turn.iter().map(|it| pause(it)).collect();
        score.times(&format!("{role} pauses"), &pauses);
        if let Some(longest) = of_one_turn.iter().max_by_key(|it| pause(it)) {
            let [before, after] = [0, 1].map(|at| longest[at].frame.event.clone());
            let between = [before, after].map(Option::unwrap_or_default).join(" and ");
            score.figure("longest", format!("{}, between {between}", show(pause(longest))));
        }
    }
}

fn turn(heard: &Heard) -> String {
    heard.frame.json()["turnId"].as_str().unwrap_or_default().to_owned()
}
