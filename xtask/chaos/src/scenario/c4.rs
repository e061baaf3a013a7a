//! A worker stops between the end of a turn and the job's acknowledgement, for
//! two leases: either its words do not get out, or it stands still. Its job is
//! handed to another, who finds the end stored.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::{join_all, select_all};
use process::Lifecycle;
use testkit::proxy::Direction;
use tokio::time::{Instant, sleep};

use super::{Ground, LEASE};
use crate::client::{Asked, Client};
use crate::copies;
use crate::oracle;
use crate::score::Score;
use crate::sitting::{Sitting, tell};
use crate::stage::{Plan as Fleet, Stage};
use crate::story::is_end;
use crate::watcher::Manner;

/// How often; every second time the worker stands still.
const ROUNDS: usize = 6;
/// Turns that end at about the same time.
const SESSIONS: usize = 12;
/// Tokens of an answer, and milliseconds between them.
const ANSWER: (usize, u64) = (60, 25);
/// Every word to and from the worker takes this long, so that readers know of
/// an end before the worker does.
const LATE: Duration = Duration::from_millis(300);
/// From the first end that is heard to the stop; well below `LATE`.
const MORE: Duration = Duration::from_millis(60);
/// How long a turn may take to end, and the queue to be empty.
const PATIENCE: Duration = Duration::from_secs(30);
/// The wire between the first worker and its server.
const WIRE: &str = "worker0-nats0";

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C4", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::SMALL).await?;
    let life = Lifecycle::new();
    let mut sittings = Vec::new();
    for at in 0..SESSIONS {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let manner = Manner { restless: 0, seed: ground.seed ^ at as u64 };
        sittings.push(Sitting::new(client.clone(), "s").watched(client, manner, &life));
    }
    let (mut stopped, mut redelivered) = (0, 0);
    for round in 0..ROUNDS {
        let before = copies::deliveries(stage.node(0)).await?;
        stopped += end_unacknowledged(&mut stage, &sittings, round, &mut score).await?;
        empty(&mut stage, &mut score).await?;
        let handed_out = copies::deliveries(stage.node(0)).await? - before;
        redelivered += handed_out.saturating_sub(SESSIONS as u64);
    }
    let tales = tell(&sittings).await;
    life.abort();
    stage.model.settle().await;
    let calls = stage.model.calls();
    oracle::judge(&tales, &calls, &mut score);
    score.fenced = stage.fenced();
    let extra = calls.len().saturating_sub(score.accepted);
    score.expect(extra == 0, || format!("{extra} answers were generated twice"));
    let hits = stopped as u64;
    score.expect(hits > 0 && redelivered >= hits, || {
        format!("{hits} acknowledgements were held back, but {redelivered} jobs handed out again")
    });
    score.figure("unacked", format!("{stopped} ends, {redelivered} jobs handed out again"));
    score.figure("generations", format!("{extra} extra"));
    Ok(score)
}

/// One round; how many turns had ended, unacknowledged, when the worker stopped.
async fn end_unacknowledged(
    stage: &mut Stage,
    sittings: &[Sitting],
    round: usize,
    score: &mut Score,
) -> Result<usize> {
    // Whoever takes the jobs is the one who will be stopped.
    stage.workers[1].kill().await?;
    let name = format!("q{round}");
    let asked = join_all(sittings.iter().map(|it| it.ask(round, &name, ANSWER))).await;
    let turns: Vec<_> = sittings.iter().zip(asked.iter().filter_map(turn_of)).collect();
    ensure!(turns.len() == sittings.len(), "a question was not accepted: {asked:?}");
    // Until they have begun; the second worker comes too late for them.
    join_all(turns.iter().map(|(it, turn)| it.says(turn, "text"))).await;
    stage.workers[1].restart().await?;
    if let Some(wire) = stage.link(WIRE) {
        wire.delay(LATE);
    }
    let ends = turns.iter().map(|(it, turn)| Box::pin(it.ends(turn, PATIENCE)));
    select_all(ends).await;
    sleep(MORE).await;
    let ended = turns.iter().filter(|(it, turn)| has_ended(it, turn)).count();
    stop(stage, round).await?;
    let how = if round.is_multiple_of(2) { "its words held" } else { "itself held" };
    score.fault(&format!("worker stopped between end and acknowledgement, {how}"));
    join_all(turns.iter().map(|(it, turn)| it.ends(turn, PATIENCE))).await;
    Ok(ended)
}

fn turn_of(asked: &Asked) -> Option<&str> {
    match asked {
        Asked::Accepted(turn) => Some(turn),
        Asked::Refused(_) | Asked::Unknown => None,
    }
}

fn has_ended(sitting: &Sitting, turn: &str) -> bool {
    let notes = sitting.notes();
    let mut heard = notes.iter().flat_map(|it| &it.heard);
    heard.any(|it| is_end(&it.frame) && it.frame.json()["turnId"] == *turn)
}

/// The first worker's words do not get out, or it stands still; for two leases.
async fn stop(stage: &mut Stage, round: usize) -> Result<()> {
    let wire = |stage: &Stage| stage.link(WIRE).cloned();
    if round.is_multiple_of(2) {
        if let Some(wire) = wire(stage) {
            wire.stall(Direction::Out);
        }
        sleep(2 * LEASE).await;
    } else {
        stage.workers[0].process().pause()?;
        sleep(2 * LEASE).await;
        stage.workers[0].process().resume()?;
    }
    if let Some(wire) = wire(stage) {
        wire.mend();
    }
    Ok(())
}

/// Waits until no job is left.
async fn empty(stage: &mut Stage, score: &mut Score) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while copies::held(stage.node(0), "JOBS").await?.is_none_or(|it| it.messages > 0) {
        if Instant::now() > deadline {
            score.violation("jobs whose turns have ended stay in the queue".to_owned());
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
