//! Cancels at random times, every other one aimed at the end of the answer:
//! exactly one end each, no token after it, and the call to the model closed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Result;
use process::Lifecycle;
use process::clock::now;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::model::{Call, Ending};
use tokio::time::{Instant, sleep, sleep_until};

use super::Ground;
use crate::client::{Asked, Client, Stopped};
use crate::oracle;
use crate::score::Score;
use crate::sitting::{Sitting, Tale, tell};
use crate::stage::{Plan, Stage};
use crate::story::{is_end, stories};
use crate::watcher::Manner;

/// Sessions at a time, and questions of each.
const TURNS: (usize, usize) = (25, 40);
/// How far before and behind the expected end an aimed cancel may fall, in
/// milliseconds: it takes its time to arrive.
const NEAR: (u64, u64) = (80, 20);
/// How long a turn may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cancel.
struct Sent {
    /// The question that it was about.
    name: String,
    /// When it was sent, since the Unix epoch.
    at: Duration,
    /// From when to when it was under way.
    flight: RangeInclusive<Instant>,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C22", ground.seed);
    let stage = Stage::start(ground.binary, Plan { agents: 2, ..Plan::SMALL }).await?;
    let life = Lifecycle::new();
    let mut sittings = Vec::new();
    for at in 0..TURNS.0 {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let manner = Manner { restless: 0, seed: ground.seed };
        let session = format!("c{at}");
        sittings.push(Sitting::new(client.clone(), session).watched(client, manner, &life));
    }
    let seeds = (ground.seed..).map(StdRng::seed_from_u64);
    let cancels = sittings.iter().zip(seeds).map(|(sitting, dice)| cancel_all(sitting, dice));
    let sent: Vec<_> = futures::future::join_all(cancels).await.into_iter().flatten().collect();
    let tales = tell(&sittings).await;
    stage.model.settle().await;
    let calls = stage.model.calls();
    let by_name = sent.iter().map(|it| (it.name.as_str(), it)).collect();
    races(&tales, &by_name, &mut score);
    closed(&calls, &by_name, &mut score);
    let took = sent.iter().map(|it| it.flight.end().duration_since(*it.flight.start()));
    score.times("cancel to answer", &took.collect::<Vec<_>>());
    oracle::judge(&tales, &calls, &mut score);
    score.faults.insert("cancel".to_owned(), sent.len());
    Ok(score)
}

/// Asks one question after the other and stops each.
async fn cancel_all(sitting: &Sitting, mut dice: StdRng) -> Vec<Sent> {
    let mut sent = Vec::new();
    for nth in 0..TURNS.1 {
        let name = format!("{}q{nth}", sitting.session);
        let answer = (dice.random_range(5..30), dice.random_range(5..20));
        let lasts = answer.0 as u64 * answer.1;
        let after = if nth % 2 == 0 {
            dice.random_range(0..=lasts)
        } else {
            (lasts + dice.random_range(0..=NEAR.0 + NEAR.1)).saturating_sub(NEAR.0)
        };
        let asked = Instant::now();
        let Asked::Accepted(turn) = sitting.ask(nth, &name, answer).await else {
            sitting.trouble(format!("{name} was not accepted"));
            continue;
        };
        sleep_until(asked + Duration::from_millis(after)).await;
        let Sitting { client, session, .. } = sitting;
        let (at, from) = (now(), Instant::now());
        let stopped = client.cancel(client.some_edge(&mut dice), session, &turn).await;
        sent.push(Sent { name, at, flight: from..=Instant::now() });
        sitting.note_stop(&turn, stopped, now());
        sitting.ends(&turn, PATIENCE).await;
        sleep(Duration::from_millis(dice.random_range(0..5))).await;
    }
    sent
}

/// How the races went: what the cancel was told and how the turn ended, and how
/// many turns ended while it was under way.
fn races(tales: &[Tale], sent: &BTreeMap<&str, &Sent>, score: &mut Score) {
    let (mut ways, mut close) = (BTreeMap::<String, usize>::new(), BTreeMap::<_, usize>::new());
    for tale in tales {
        let (_, turns) = stories(tale.histories.first().map(Vec::as_slice).unwrap_or_default());
        for question in &tale.questions {
            let (Asked::Accepted(turn), Some((stopped, _))) = (&question.asked, &question.stopped)
            else {
                continue;
            };
            let end = turns.get(turn).and_then(|it| it.ends.first()).cloned().unwrap_or_default();
            let told = match stopped {
                Stopped::Accepted => "accepted".to_owned(),
                Stopped::Ended(_) => "too late".to_owned(),
                Stopped::Refused(status) => status.to_string(),
                Stopped::Unknown => "unanswered".to_owned(),
            };
            let heard = tale.watched.iter().flat_map(|it| &it.heard);
            let mut ends =
                heard.filter(|it| is_end(&it.frame) && it.frame.json()["turnId"] == *turn);
            let flight = sent.get(question.name.as_str()).map(|it| &it.flight);
            if ends.any(|it| flight.is_some_and(|flight| flight.contains(&it.at))) {
                *close.entry(end.clone()).or_default() += 1;
            }
            *ways.entry(format!("{told}, {end}")).or_default() += 1;
        }
    }
    for end in ["accepted, cancelled", "too late, completed"] {
        score.expect(ways.get(end).is_some_and(|it| *it > 50), || {
            format!("the race hardly ever ended as {end:?}: {ways:?}")
        });
    }
    score.figure("cancels", format!("{ways:?}"));
    score.figure("ended while a cancel was under way", format!("{close:?}"));
}

/// How long after a cancel was sent the call to the model was closed.
fn closed(calls: &[Call], sent: &BTreeMap<&str, &Sent>, score: &mut Score) {
    let mut times = Vec::new();
    for call in calls.iter().filter(|it| it.ending == Ending::HungUp) {
        let (Some(name), Some(ended)) = (name(call), call.ended) else { continue };
        match sent.get(name.as_str()) {
            Some(sent) => times.push(ended.saturating_sub(sent.at)),
            None => score.violation(format!("the model's call for {name} was closed by nobody")),
        }
    }
    score.expect(!times.is_empty(), || "no call to the model was closed".to_owned());
    score.times("cancel to closed", &times);
}

/// The name of the question that a call is about.
fn name(call: &Call) -> Option<String> {
    let messages = call.body["messages"].as_array()?;
    let question = messages.iter().rev().find(|it| it["role"] == "user")?;
    let script: serde_json::Value = serde_json::from_str(question["content"].as_str()?).ok()?;
    Some(script["name"].as_str()?.to_owned())
}
