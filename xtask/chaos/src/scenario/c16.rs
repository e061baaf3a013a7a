//! Between nats-servers and two of three gateways, live messages are lost: one
//! in ten, and always the one that ends a turn. Readers miss nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use process::Lifecycle;
use prost::Message as _;
use proto::Entry;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::Ground;
use crate::client::Client;
use crate::oracle;
use crate::score::{Score, show};
use crate::sitting::{Sitting, Tale, tell};
use crate::stage::{Plan, Stage};
use crate::story::is_end;
use crate::watcher::Manner;

/// Gateways whose live messages are lost; one more loses nothing.
const LOSSY: usize = 2;
/// Sessions, and questions of each.
const SESSIONS: usize = 20;
const QUESTIONS: usize = 4;
/// Tokens of an answer, and milliseconds between them.
const ANSWER: (usize, u64) = (60, 30);
/// How late the end of a turn may be heard: the reader asks the log after 5 s of
/// silence; the rest is for a busy machine.
const LATE: Duration = Duration::from_millis(5500);
/// How long a turn may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// Messages that were lost.
#[derive(Debug, Default)]
struct Lost {
    ends: AtomicUsize,
    others: AtomicUsize,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C16", ground.seed);
    let plan = Plan { gateways: LOSSY + 1, ..Plan::SMALL };
    let mut stage = Stage::start(ground.binary, plan).await?;
    let lost = Arc::new(Lost::default());
    for at in 0..LOSSY {
        if let Some(link) = stage.link(&format!("gateway{at}-nats0")) {
            link.sift(loser(ground.seed + at as u64, Arc::clone(&lost)));
        }
        // Its connection must be one that was made after that.
        stage.gateways[at].roll().await?;
    }
    stage.aim()?;
    let life = Lifecycle::new();
    let mut sittings = Vec::new();
    for at in 0..SESSIONS {
        let user = format!("user{at}");
        let client = Client::new(stage.edges(), &user)?;
        let mut sitting = Sitting::new(client, format!("l{at}"));
        // The one that loses nothing comes first: it tells when to go on.
        for edge in stage.edges().into_iter().rev() {
            let manner = Manner { restless: 0, seed: ground.seed };
            sitting = sitting.watched(Client::new(vec![edge], &user)?, manner, &life);
        }
        sittings.push(sitting);
    }
    futures::future::join_all(sittings.iter().map(ask)).await;
    let tales = tell(&sittings).await;
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    lateness(&tales, &mut score);
    report(&lost, &mut score);
    Ok(score)
}

/// Loses one live message in ten, and each that ends a turn.
fn loser(seed: u64, lost: Arc<Lost>) -> impl Fn(&str, &[u8]) -> bool + Send + Sync {
    let dice = Mutex::new(StdRng::seed_from_u64(seed));
    move |subject, payload| {
        if !subject.starts_with("live.") {
            return true;
        }
        if Entry::decode(payload).is_ok_and(|it| it.ending().is_some()) {
            lost.ends.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let unlucky = dice.lock().unwrap_or_else(PoisonError::into_inner).random_ratio(1, 10);
        lost.others.fetch_add(usize::from(unlucky), Ordering::Relaxed);
        !unlucky
    }
}

async fn ask(sitting: &Sitting) {
    for nth in 0..QUESTIONS {
        // Every other question follows at once, so that the lost end of the
        // turn before it is met from the next one's beginning, too.
        let name = format!("{}q{nth}", sitting.session);
        sitting.answered(nth, &name, ANSWER, PATIENCE).await;
        if nth % 2 == 1 {
            tokio::time::sleep(LATE).await;
        }
    }
}

/// How much later than the reader that loses nothing the others heard a frame.
fn lateness(tales: &[Tale], score: &mut Score) {
    let (mut ends, mut others) = (Vec::new(), Vec::new());
    for tale in tales {
        let Some((prompt, lossy)) = tale.watched.split_first() else { continue };
        let of = |it: &crate::watcher::Heard| Some((it.frame.id.clone()?, it.at));
        let told: HashMap<String, Instant> = prompt.heard.iter().filter_map(of).collect();
        for heard in lossy.iter().flat_map(|it| &it.heard) {
            let before = heard.frame.id.as_ref().and_then(|it| told.get(it));
            let late = before.map(|it| heard.at.saturating_duration_since(*it));
            let all = if is_end(&heard.frame) { &mut ends } else { &mut others };
            all.extend(late);
        }
    }
    for late in ends.iter().chain(&others).filter(|it| **it > LATE) {
        score.violation(format!("a frame was heard {} late", show(*late)));
    }
    score.times("ends late by", &ends);
    score.times("others late by", &others);
}

fn report(lost: &Lost, score: &mut Score) {
    let (ends, others) = (lost.ends.load(Ordering::Relaxed), lost.others.load(Ordering::Relaxed));
    score.faults.insert("lost end of a turn".to_owned(), ends);
    score.faults.insert("lost live message".to_owned(), others);
    let all = SESSIONS * QUESTIONS * LOSSY;
    score.expect(ends >= all && others > all, || {
        format!("only {ends} ends of {all} and {others} other messages were lost")
    });
}
