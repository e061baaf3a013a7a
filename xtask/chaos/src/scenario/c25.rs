//! More is asked than the fleet can answer, up to three times as much. What is
//! too much is refused at once with a time to try again; what was accepted is
//! answered; and soon after, everything is as before.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tokio::time::{Instant, interval_at};

use super::Ground;
use crate::client::{Asked, Client};
use crate::oracle;
use crate::score::{Score, show};
use crate::sitting::{Sitting, Tale, question, tell};
use crate::stage::{Plan, Stage};
use crate::story::is_end;
use crate::watcher::Manner;

/// Sessions that ask, whatever is still waiting.
const SESSIONS: usize = 16;
/// Turns that one of two workers has room for.
const SLOTS: usize = 4;
/// Tokens of an answer, and milliseconds between them.
const ANSWER: (usize, u64) = (10, 50);
/// How long the capacity is measured.
const MEASURED: Duration = Duration::from_secs(6);
/// Offered load, in capacities, and for how long.
const LOADS: [(u32, Duration); 3] =
    [(1, Duration::from_secs(8)), (2, Duration::from_secs(8)), (3, Duration::from_secs(30))];
/// How long a turn may wait and run, and how soon everything is as before.
const PATIENCE: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(10));

/// What became of the questions of one phase.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    refused: usize,
    /// Refusals that did not say when to try again, and other answers.
    wrong: Vec<String>,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C25", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let stage = Stage::start(ground.binary, Plan { slots: Some(SLOTS), ..Plan::SMALL }).await?;
    let life = Lifecycle::new();
    let mut sittings = Vec::new();
    for at in 0..=SESSIONS {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let manner = Manner { restless: 0, seed: dice.random() };
        let session = format!("o{at}");
        sittings.push(Sitting::new(client.clone(), session).watched(client, manner, &life));
    }
    let (fresh, busy) = sittings.split_last().context("there are sessions")?;
    let capacity = capacity(busy).await;
    score.figure("capacity", format!("{capacity:.1} turns/s"));
    let mut windows = Vec::new();
    for (times, lasts) in LOADS {
        let from = Instant::now();
        let rate = capacity * f64::from(times);
        let tally = offer(busy, rate, (times, from + lasts)).await;
        windows.push((times, from, from + lasts));
        shed(&tally, times, &mut score);
    }
    let recovered = recovery(fresh).await;
    match recovered {
        Some(after) => score.figure("recovery", show(after)),
        None => score.violation(format!("not as before {} after", show(PATIENCE.1))),
    }
    let tales = tell(&sittings).await;
    stage.model.settle().await;
    goodput(&tales, &windows, &mut score);
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    Ok(score)
}

/// Turns a second when each session asks as soon as it was answered.
async fn capacity(sittings: &[Sitting]) -> f64 {
    let until = Instant::now() + MEASURED;
    let ask = |sitting: Sitting| async move {
        let mut turns = 0_u32;
        while Instant::now() < until {
            let asked = sitting.ask(0, &format!("{}c{turns}", sitting.session), ANSWER).await;
            let Asked::Accepted(turn) = asked else { break };
            sitting.ends(&turn, PATIENCE.0).await;
            turns += 1;
        }
        turns
    };
    let turns: u32 = join_all(sittings.iter().cloned().map(ask)).await.into_iter().sum();
    f64::from(turns) / MEASURED.as_secs_f64()
}

/// Offers so many questions a second, whatever becomes of them.
async fn offer(sittings: &[Sitting], rate: f64, (times, until): (u32, Instant)) -> Tally {
    let sessions = u32::try_from(sittings.len()).unwrap_or(u32::MAX);
    let every = Duration::from_secs_f64(f64::from(sessions) / rate.max(1.0));
    let ask = |(at, sitting): (u32, &Sitting)| {
        let sitting = sitting.clone();
        async move {
            let mut tally = Tally::default();
            let mut ticks = interval_at(Instant::now() + every * at / sessions, every);
            for nth in 0.. {
                if ticks.tick().await > until {
                    break;
                }
                one(&sitting, &format!("{}x{times}n{nth}", sitting.session), &mut tally).await;
            }
            tally
        }
    };
    let mut all = Tally::default();
    for tally in join_all((0..).zip(sittings).map(ask)).await {
        all.accepted += tally.accepted;
        all.refused += tally.refused;
        all.wrong.extend(tally.wrong);
    }
    all
}

/// One question, queued behind those that wait.
async fn one(sitting: &Sitting, name: &str, tally: &mut Tally) {
    let mut body = question(name, ANSWER.0, ANSWER.1);
    body["admission"] = "enqueue".into();
    let Sitting { client, session, .. } = sitting;
    let answer = client.submit(name.len(), session, &sitting.key(name), &body).await;
    let asked = match answer {
        Ok(response) if response.status().is_success() => {
            tally.accepted += 1;
            let said: Value = response.json().await.unwrap_or_default();
            Asked::Accepted(said["turnId"].as_str().unwrap_or_default().to_owned())
        }
        Ok(response) => {
            let status = response.status().as_u16();
            let retry = response.headers().get("retry-after").cloned();
            tally.refused += 1;
            if !matches!(status, 429 | 503) || retry.is_none() {
                tally.wrong.push(format!("{name} was answered {status}, retry-after {retry:?}"));
            }
            // Of a 503 it is not known whether it was stored.
            if status == 503 { Asked::Unknown } else { Asked::Refused(status) }
        }
        Err(why) => {
            tally.wrong.push(format!("{name} was not answered: {why:#}"));
            Asked::Unknown
        }
    };
    sitting.note(name, ANSWER.0, asked);
}

fn shed(tally: &Tally, times: u32, score: &mut Score) {
    let Tally { accepted, refused, wrong } = tally;
    let offered = accepted + refused;
    let percent = 100 * refused / offered.max(1);
    score.figure(
        &format!("shed at {times}x"),
        format!("{percent} %, {refused} of {offered} offered"),
    );
    for wrong in wrong {
        score.violation(wrong.clone());
    }
    if times >= 3 {
        score.fault("offered three times the capacity");
        score.expect(percent >= 30, || format!("only {percent} % were refused at {times}x"));
    }
}

/// How long until a session that did not ask before is answered as in quiet.
async fn recovery(sitting: &Sitting) -> Option<Duration> {
    let since = Instant::now();
    let quiet = 2 * Duration::from_millis(ANSWER.0 as u64 * ANSWER.1);
    for nth in 0.. {
        let asked = Instant::now();
        let name = format!("{}r{nth}", sitting.session);
        if let Asked::Accepted(turn) = sitting.ask(nth, &name, ANSWER).await {
            sitting.ends(&turn, PATIENCE.0).await;
        }
        if asked.elapsed() <= quiet {
            return Some(asked.duration_since(since));
        }
        if since.elapsed() > PATIENCE.1 {
            return None;
        }
    }
    None
}

/// Turns that ended in each phase, by the second, and how long they took.
fn goodput(tales: &[Tale], windows: &[(u32, Instant, Instant)], score: &mut Score) {
    for (times, from, to) in windows {
        let notes = tales.iter().filter_map(|it| it.watched.first());
        let heard = notes.flat_map(|it| &it.heard);
        let ends = heard.filter(|it| is_end(&it.frame) && (*from..*to).contains(&it.at)).count();
        let lasts = to.duration_since(*from).as_secs_f64();
        let per_second = f64::from(u32::try_from(ends).unwrap_or(u32::MAX)) / lasts;
        score.figure(&format!("goodput at {times}x"), format!("{per_second:.1} turns/s"));
    }
}
