//! Sessions that ask, one question after the other, with cancels, repeated
//! submits and queued questions among them, and readers of each.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::sse::Frame;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::{Asked, Client, Stopped};
use crate::story::is_end;
use crate::watcher::{Manner, Notes, Watcher};

/// How long an accepted turn may take to end before that is a violation, on
/// top of the time its tokens take.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What the sessions do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many sessions.
    pub sessions: usize,
    /// Tokens of an answer.
    pub tokens: RangeInclusive<usize>,
    /// Milliseconds between tokens.
    pub every_ms: RangeInclusive<u64>,
    /// Of a hundred questions, so many are stopped at a random moment.
    pub cancels: u32,
    /// Of a hundred questions, so many are asked twice at the same time.
    pub doubles: u32,
    /// Of a hundred questions, so many have another one queued behind.
    pub queued: u32,
    /// Questions of each session; none: until told to stop.
    pub questions: Option<usize>,
    /// Readers of each session.
    pub watchers: usize,
    /// Frames after which a reader leaves, on average; 0 is never.
    pub restless: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sessions: 16,
            tokens: 10..=80,
            every_ms: 10..=40,
            cancels: 15,
            doubles: 10,
            queued: 10,
            questions: None,
            watchers: 2,
            restless: 60,
        }
    }
}

/// A question and what became of it.
#[derive(Debug, Clone)]
pub struct Question {
    /// What its tokens are called.
    pub name: String,
    /// How many tokens the answer has.
    pub tokens: usize,
    /// When it was accepted.
    pub at: Instant,
    /// What became of it.
    pub asked: Asked,
    /// What became of stopping it, if that was tried, and when it was answered.
    pub stopped: Option<(Stopped, Duration)>,
}

/// Everything known of one session at the end.
#[derive(Debug)]
pub struct Tale {
    /// Whose it is.
    pub user: String,
    /// Its id.
    pub session: String,
    /// Its questions, in the order they were accepted.
    pub questions: Vec<Question>,
    /// The log, as each gateway tells it.
    pub histories: Vec<Vec<Frame>>,
    /// What each reader heard.
    pub watched: Vec<Notes>,
    /// What the driver could not do.
    pub troubles: Vec<String>,
}

/// Sessions under way.
#[derive(Debug)]
pub struct Load {
    drivers: Vec<Driver>,
    stop: watch::Sender<bool>,
    life: Lifecycle,
}

#[derive(Debug, Clone)]
struct Driver {
    client: Client,
    session: String,
    plan: Arc<Plan>,
    watchers: Vec<Watcher>,
    said: Arc<Mutex<Said>>,
    done: Arc<watch::Sender<bool>>,
}

#[derive(Debug, Default)]
struct Said {
    questions: Vec<Question>,
    troubles: Vec<String>,
}

impl Load {
    /// Starts all sessions of a plan; `name` sets them apart from others.
    pub fn start(edges: &[String], plan: Plan, name: &str, seed: u64) -> anyhow::Result<Self> {
        let (life, stop) = (Lifecycle::new(), watch::Sender::new(false));
        let plan = Arc::new(plan);
        let mut drivers = Vec::new();
        for at in 0..plan.sessions {
            let session = format!("{name}{at}");
            // Two sessions a user, and the same session id at two users.
            let client = Client::new(edges.to_vec(), format!("user{}", at / 2))?;
            let watcher = |nth: usize| {
                let seed = seed ^ ((at as u64) << 20) ^ ((nth as u64) << 50);
                let manner = Manner { restless: plan.restless, seed };
                Watcher::start(client.clone(), session.clone(), manner, &life)
            };
            let driver = Driver {
                watchers: (0..plan.watchers.max(1)).map(watcher).collect(),
                client: client.clone(),
                session: session.clone(),
                plan: Arc::clone(&plan),
                said: Arc::default(),
                done: Arc::new(watch::Sender::new(false)),
            };
            let dice = StdRng::seed_from_u64(seed.wrapping_add(at as u64));
            life.spawn(Box::pin(driver.clone().drive(dice, stop.subscribe())));
            drivers.push(driver);
        }
        Ok(Self { drivers, stop, life })
    }

    /// What a reader of each session has so far.
    pub fn notes(&self) -> Vec<Notes> {
        self.drivers.iter().filter_map(|it| Some(it.watchers.first()?.notes())).collect()
    }

    /// Why questions had to be asked again.
    pub fn again(&self) -> Vec<String> {
        self.drivers.iter().flat_map(|it| it.client.again()).collect()
    }

    /// Waits until all sessions have asked everything and heard the ends.
    pub async fn finish(&self) {
        for driver in &self.drivers {
            let mut done = driver.done.subscribe();
            // The sender lives in the driver.
            drop(done.wait_for(|it| *it).await);
        }
    }

    /// Lets no more be asked, waits for the ends of all turns, and tells.
    pub async fn stop(self) -> Vec<Tale> {
        self.stop.send_replace(true);
        self.finish().await;
        let tales = self.drivers.iter().map(Driver::tell);
        let tales = futures::future::join_all(tales).await;
        self.life.abort();
        tales
    }
}

impl Driver {
    async fn drive(self, mut dice: StdRng, mut stop: watch::Receiver<bool>) {
        sleep(Duration::from_millis(dice.random_range(0..500))).await;
        for nth in 0..self.plan.questions.unwrap_or(usize::MAX) {
            if *stop.borrow_and_update() {
                break;
            }
            self.one(nth, &mut dice).await;
        }
        self.done.send_replace(true);
    }

    /// One question, sometimes two, to the end.
    async fn one(&self, nth: usize, dice: &mut StdRng) {
        let first = self.ask(&format!("{}q{nth}", self.session), "reject", dice).await;
        let mut asked = vec![first];
        if lucky(dice, self.plan.queued) {
            asked.push(self.ask(&format!("{}q{nth}b", self.session), "enqueue", dice).await);
        }
        if lucky(dice, self.plan.cancels) {
            self.cancel(asked.last(), dice).await;
        }
        for (turn, tokens) in asked.into_iter().flatten() {
            let patience =
                PATIENCE + Duration::from_millis(tokens as u64 * self.plan.every_ms.end());
            if !self.ends(&turn, patience).await {
                self.trouble(format!("turn {turn} had no end after {patience:?}"));
            }
        }
    }

    /// The turn, if it is one, and how many tokens it will have.
    async fn ask(&self, name: &str, admission: &str, dice: &mut StdRng) -> Option<(String, usize)> {
        let tokens = dice.random_range(self.plan.tokens.clone());
        let every_ms = dice.random_range(self.plan.every_ms.clone());
        let script = Script {
            name: Some(name.to_owned()),
            tokens: Some(tokens),
            every_ms,
            ..Script::default()
        };
        let body = json!({ "input": script.question(), "admission": admission });
        let key = format!("{}-{name}", self.client.user);
        let edge = self.client.some_edge(dice);
        let (asked, again) =
            tokio::join!(self.client.ask(edge, &self.session, &key, &body), async {
                if !lucky(dice, self.plan.doubles) {
                    return None;
                }
                Some(self.client.ask(edge + 1, &self.session, &key, &body).await)
            });
        if let Some(again) = again.filter(|it| *it != asked) {
            self.trouble(format!("{name}, asked twice at once, is {asked:?} and {again:?}"));
        }
        self.note(name, tokens, asked.clone());
        match asked {
            Asked::Accepted(turn) => Some((turn, tokens)),
            Asked::Refused(_) | Asked::Unknown => None,
        }
    }

    async fn cancel(&self, turn: Option<&Option<(String, usize)>>, dice: &mut StdRng) {
        let Some(Some((turn, tokens))) = turn else { return };
        let most = *tokens as u64 * self.plan.every_ms.end();
        sleep(Duration::from_millis(dice.random_range(0..=most))).await;
        let stopped = self.client.cancel(self.client.some_edge(dice), &self.session, turn).await;
        let now = process::clock::now();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let question =
            said.questions.iter_mut().find(|it| it.asked == Asked::Accepted(turn.clone()));
        if let Some(question) = question {
            question.stopped = Some((stopped, now));
        }
    }

    async fn ends(&self, turn: &str, within: Duration) -> bool {
        let Some(watcher) = self.watchers.first() else { return false };
        let of_turn = |it: &Frame| is_end(it) && it.json()["turnId"] == *turn;
        watcher.hears(within, of_turn).await
    }

    fn note(&self, name: &str, tokens: usize, asked: Asked) {
        let question =
            Question { name: name.to_owned(), tokens, at: Instant::now(), asked, stopped: None };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).questions.push(question);
    }

    fn trouble(&self, what: String) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).troubles.push(what);
    }

    /// Reads the log at each gateway and gives the readers time to have it all.
    async fn tell(&self) -> Tale {
        let mut histories = Vec::new();
        for edge in 0..self.client.edges() {
            match self.history(edge).await {
                Ok(frames) => histories.push(frames),
                Err(why) => self.trouble(format!("gateway {edge} does not tell the log: {why:#}")),
            }
        }
        let last = histories.first().and_then(|it| it.last()?.id.clone());
        for watcher in &self.watchers {
            let has_all =
                last.is_none() || watcher.hears(Duration::from_secs(20), |it| it.id == last).await;
            if !has_all {
                self.trouble(format!("a reader never came to {last:?}"));
            }
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        Tale {
            user: self.client.user.clone(),
            session: self.session.clone(),
            questions: said.questions,
            histories,
            watched: self.watchers.iter().map(Watcher::notes).collect(),
            troubles: said.troubles,
        }
    }

    /// A gateway may be the one that was killed a moment ago.
    async fn history(&self, edge: usize) -> anyhow::Result<Vec<Frame>> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match self.client.history(edge, &self.session).await {
                Ok(frames) => return Ok(frames),
                Err(why) if Instant::now() > deadline => return Err(why),
                Err(_not_yet) => sleep(Duration::from_millis(500)).await,
            }
        }
    }
}

fn lucky(dice: &mut StdRng, percent: u32) -> bool {
    dice.random_ratio(percent.min(100), 100)
}

/// The question that [`Load`] asks, for scenarios that ask by themselves.
pub fn question(name: &str, tokens: usize, every_ms: u64) -> Value {
    let script =
        Script { name: Some(name.to_owned()), tokens: Some(tokens), every_ms, ..Script::default() };
    json!({ "input": script.question() })
}
