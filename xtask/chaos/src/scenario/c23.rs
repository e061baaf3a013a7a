//! Sessions are erased while they speak, wait or rest, with workers killed in
//! between, and their ids are used again: nothing of what was erased returns.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::model::{Call, Ending};
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::client::{Asked, Client};
use crate::score::Score;
use crate::sitting::question;
use crate::stage::{Plan, Stage};
use crate::story::stories;
use crate::watcher::{Manner, Watcher};

/// Sessions at a time, and how often each is erased.
const ERASURES: (usize, usize) = (12, 8);
/// Tokens of an answer, and milliseconds between them.
const ANSWER: (usize, u64) = (60, 15);
/// How long an erasure may take while workers die.
const PATIENCE: Duration = Duration::from_mins(1);

/// A session that is erased again and again.
struct Session {
    client: Client,
    id: String,
    watcher: Watcher,
    dice: StdRng,
    troubles: Vec<String>,
    /// From the request to its answer.
    took: Vec<Duration>,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C23", ground.seed);
    let mut stage = Stage::start(ground.binary, Plan::FULL).await?;
    let life = Lifecycle::new();
    let mut sessions = Vec::new();
    for at in 0..ERASURES.0 {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let id = format!("e{at}");
        let manner = Manner { restless: 0, seed: ground.seed };
        let watcher = Watcher::start(client.clone(), id.clone(), manner, &life);
        let dice = StdRng::seed_from_u64(ground.seed + at as u64);
        sessions.push(Session {
            client,
            id,
            watcher,
            dice,
            troubles: Vec::new(),
            took: Vec::new(),
        });
    }
    let erased = futures::future::join_all(sessions.iter_mut().map(Session::erase_often));
    let (erased, killed) = tokio::join!(erased, kill_workers(&mut stage));
    killed?;
    score.faults.insert("erasure".to_owned(), erased.len() * ERASURES.1);
    score.fault("workers killed");
    for session in &mut sessions {
        session.rests().await?;
        session.heard_nothing_erased();
    }
    stage.model.settle().await;
    closed(&stage.model.calls(), &mut score);
    for session in &mut sessions {
        score.violations.append(&mut session.troubles);
    }
    let took: Vec<_> = sessions.into_iter().flat_map(|it| it.took).collect();
    score.times("erasure", &took);
    Ok(score)
}

async fn kill_workers(stage: &mut Stage) -> Result<()> {
    for at in 0..3 {
        sleep(Duration::from_secs(2)).await;
        let workers = stage.workers.len();
        let worker = &mut stage.workers[at % workers];
        worker.kill().await?;
        worker.restart().await?;
    }
    Ok(())
}

/// No call to the model outlives its session for long.
fn closed(calls: &[Call], score: &mut Score) {
    let open = calls.iter().filter(|it| it.ending == Ending::Open).count();
    score.expect(open == 0, || format!("{open} calls to the model are open"));
    let hung_up = calls.iter().filter(|it| it.ending == Ending::HungUp).count();
    score.figure("calls", format!("{hung_up} of {} closed in the middle", calls.len()));
    score.expect(hung_up > 0, || "no turn was erased while it spoke".to_owned());
}

impl Session {
    fn wrong(&mut self, what: impl std::fmt::Display) {
        self.troubles.push(format!("{}: {what}", self.id));
    }

    async fn erase_often(&mut self) {
        for nth in 0..ERASURES.1 {
            let name = format!("{}n{nth}", self.id);
            let asked = self.ask(&name).await;
            if !matches!(asked, Asked::Accepted(_)) {
                self.wrong(format_args!("{name} was not accepted: {asked:?}"));
                continue;
            }
            // Before it begins, while it speaks, and after its end.
            let longest = 3 * ANSWER.0 as u64 * ANSWER.1 / 2;
            sleep(Duration::from_millis(self.dice.random_range(0..longest))).await;
            self.erase(&name).await;
        }
    }

    async fn ask(&mut self, name: &str) -> Asked {
        let edge = self.client.some_edge(&mut self.dice);
        self.client.ask(edge, &self.id, name, &question(name, ANSWER.0, ANSWER.1)).await
    }

    async fn erase(&mut self, name: &str) {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            let edge = self.client.some_edge(&mut self.dice);
            match self.client.delete(edge, &self.id).await {
                Ok(true) => break,
                // A try before may have done it and lost its answer.
                Ok(false) if tries > 1 => break,
                Ok(false) => return self.wrong(format_args!("{name}: there was nothing to erase")),
                Err(why) if began.elapsed() > PATIENCE => {
                    return self.wrong(format_args!("{name} cannot be erased: {why:#}"));
                }
                Err(_not_yet) => sleep(Duration::from_millis(100)).await,
            }
        }
        self.took.push(began.elapsed());
        for edge in 0..self.client.edges() {
            match self.client.state(edge, &self.id).await {
                Ok(state) if state["status"] == "not_found" => {}
                other => self.wrong(format_args!("{name}, erased, is {other:?} at {edge}")),
            }
        }
    }

    /// The id once more, to its end: only this is there then.
    async fn rests(&mut self) -> Result<()> {
        let name = format!("{}last", self.id);
        let Asked::Accepted(turn) = self.ask(&name).await else {
            self.wrong("the last question was not accepted");
            return Ok(());
        };
        let ended = |it: &testkit::sse::Frame| it.is("completed") && it.json()["turnId"] == *turn;
        if !self.watcher.hears(PATIENCE, ended).await {
            self.wrong("the last question had no end");
            return Ok(());
        }
        for edge in 0..self.client.edges() {
            let history = self.client.history(edge, &self.id).await.context("a log that rests")?;
            let (order, turns) = stories(&history);
            let told = turns.get(&turn).map(|it| it.tokens(&name));
            if order.iter().any(|it| *it != turn) || told != Some(Ok(ANSWER.0)) {
                self.wrong(format_args!("its log holds {order:?}, and of the last turn {told:?}"));
            }
        }
        Ok(())
    }

    /// After `deleted` a reader hears no more of a turn that it had heard of.
    fn heard_nothing_erased(&mut self) {
        let (mut known, mut erased) = (BTreeSet::new(), BTreeSet::new());
        for heard in self.watcher.notes().heard {
            if heard.frame.is("deleted") {
                erased.append(&mut known);
                continue;
            }
            let Some(turn) = heard.frame.json()["turnId"].as_str().map(str::to_owned) else {
                continue;
            };
            if erased.contains(&turn) {
                self.wrong(format_args!("turn {turn} spoke after it was erased: {heard:?}"));
            }
            known.insert(turn);
        }
    }
}
