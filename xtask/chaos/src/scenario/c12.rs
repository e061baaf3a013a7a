//! A gateway dies between storing a question and saying so. The client asks
//! again, with the same key, at the other one: still one turn.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::join_all;
use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::proxy::{Direction, Proxy};
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::client::Client;
use crate::oracle;
use crate::score::Score;
use crate::sitting::{Sitting, question, tell};
use crate::stage::{Plan, Stage};
use crate::watcher::Manner;

/// How often the gateway is killed, half of the times with its answers held
/// back until everything is stored, half of the times at any moment.
const ROUNDS: usize = 16;
/// Sessions that ask each time.
const SESSIONS: usize = 20;
/// Tokens of an answer, and milliseconds between them.
const ANSWER: (usize, u64) = (8, 5);
/// How long everything may take to be stored, and a turn to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Questions, by what the gateway had done when it died.
#[derive(Debug, Default)]
struct Tries {
    answered: usize,
    stored: usize,
    lost: usize,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C12", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Plan::SMALL).await?;
    let (life, mut tries) = (Lifecycle::new(), Tries::default());
    let mut sittings = Vec::new();
    for at in 0..SESSIONS {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let manner = Manner { restless: 0, seed: ground.seed ^ at as u64 };
        sittings.push(Sitting::new(client.clone(), "s").watched(client, manner, &life));
    }
    for round in 0..ROUNDS {
        let held = round % 2 == 0;
        let wait = (!held).then(|| Duration::from_micros(dice.random_range(0..12_000)));
        kill_while_asked(&mut stage, &sittings, (round, wait), &mut tries).await?;
        score.fault("gateway killed before it answered");
    }
    let tales = tell(&sittings).await;
    stage.model.settle().await;
    let calls = stage.model.calls();
    oracle::judge(&tales, &calls, &mut score);
    let twice = calls.len().saturating_sub(score.accepted);
    score.expect(twice == 0, || format!("the model was asked {twice} times too often"));
    let Tries { answered, stored, lost } = tries;
    score.expect(stored >= ROUNDS * SESSIONS / 4, || {
        format!("only {stored} questions were stored and not answered: the fault was missed")
    });
    score.figure("duplicates", twice);
    score.figure(
        "killed while",
        format!("{stored} were stored and not answered, {lost} not stored, {answered} answered"),
    );
    Ok(score)
}

/// Every session asks at the first gateway, which is killed: at once after
/// `wait`, or else when all questions are stored, with its answers held back.
async fn kill_while_asked(
    stage: &mut Stage,
    sittings: &[Sitting],
    (round, wait): (usize, Option<Duration>),
    tries: &mut Tries,
) -> Result<()> {
    let link = Arc::clone(stage.link("client-gateway0").context("each gateway has a link")?);
    let name = format!("q{round}");
    let first = join_all(sittings.iter().map(|it| ask_once(it, &name)));
    let gateway = &mut stage.gateways[0];
    let killed = async {
        match wait {
            Some(wait) => sleep(wait).await,
            None => stored_all(sittings, &name, &link).await?,
        }
        gateway.kill().await?;
        link.cut();
        anyhow::Ok(())
    };
    if wait.is_none() {
        link.stall(Direction::Back);
    }
    let (first, killed) = tokio::join!(first, killed);
    killed?;
    let stored = join_all(sittings.iter().map(|it| is_stored(it, &name))).await;
    for (first, stored) in first.iter().zip(stored) {
        match (first, stored) {
            (true, _) => tries.answered += 1,
            (false, true) => tries.stored += 1,
            (false, false) => tries.lost += 1,
        }
    }
    join_all(sittings.iter().map(|it| it.answered(1, &name, ANSWER, PATIENCE))).await;
    stage.gateways[0].restart().await?;
    stage.aim()?;
    link.mend();
    Ok(())
}

/// Whether the first gateway gave an answer.
async fn ask_once(sitting: &Sitting, name: &str) -> bool {
    let body = question(name, ANSWER.0, ANSWER.1);
    let Sitting { client, session, .. } = sitting;
    client.ask_once(0, session, &sitting.key(name), &body).await.is_ok()
}

/// Waits until the other gateway knows all questions.
async fn stored_all(sittings: &[Sitting], name: &str, link: &Proxy) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for sitting in sittings {
        while !is_stored(sitting, name).await {
            anyhow::ensure!(Instant::now() < deadline, "{name} was never stored ({link:?})");
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}

/// Whether the other gateway knows the question: it waits, or a reader at that
/// gateway has heard of it.
async fn is_stored(sitting: &Sitting, name: &str) -> bool {
    let Ok(frames) = sitting.client.history(1, &sitting.session).await else { return false };
    let asked = format!("\\\"name\\\":\\\"{name}\\\"");
    let told = frames.iter().any(|it| it.data.as_ref().is_some_and(|it| it.contains(&asked)));
    let state = sitting.client.state(1, &sitting.session).await;
    told || state.is_ok_and(|it| it["unfinished"].as_u64() > Some(0))
}
