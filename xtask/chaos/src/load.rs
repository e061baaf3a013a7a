//! Sessions that ask, one question after the other, with cancels, repeated
//! submits and queued questions among them, and readers of each.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use testkit::model::Script;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::{Asked, Client};
use crate::sitting::{Sitting, Tale};
use crate::watcher::{Manner, Notes};

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

/// Sessions under way.
#[derive(Debug)]
pub struct Load {
    drivers: Vec<Driver>,
    stop: watch::Sender<bool>,
    life: Lifecycle,
}

#[derive(Debug, Clone)]
struct Driver {
    sitting: Sitting,
    plan: Arc<Plan>,
    done: Arc<watch::Sender<bool>>,
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
            let mut sitting = Sitting::new(client.clone(), session);
            for nth in 0..plan.watchers.max(1) {
                let seed = seed ^ ((at as u64) << 20) ^ ((nth as u64) << 50);
                let manner = Manner { restless: plan.restless, seed };
                sitting = sitting.watched(client.clone(), manner, &life);
            }
            let plan = Arc::clone(&plan);
            let driver = Driver { sitting, plan, done: Arc::new(watch::Sender::new(false)) };
            let dice = StdRng::seed_from_u64(seed.wrapping_add(at as u64));
            life.spawn(Box::pin(driver.clone().drive(dice, stop.subscribe())));
            drivers.push(driver);
        }
        Ok(Self { drivers, stop, life })
    }

    /// What a reader of each session has so far.
    pub fn notes(&self) -> Vec<Notes> {
        self.drivers.iter().filter_map(|it| it.sitting.notes().into_iter().next()).collect()
    }

    /// Why questions had to be asked again.
    pub fn again(&self) -> Vec<String> {
        self.drivers.iter().flat_map(|it| it.sitting.client.again()).collect()
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
        let tales = self.drivers.iter().map(|it| it.sitting.tell());
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
        let first = self.ask(&format!("{}q{nth}", self.sitting.session), "reject", dice).await;
        let mut asked = vec![first];
        if lucky(dice, self.plan.queued) {
            asked
                .push(self.ask(&format!("{}q{nth}b", self.sitting.session), "enqueue", dice).await);
        }
        if lucky(dice, self.plan.cancels) {
            self.cancel(asked.last(), dice).await;
        }
        for (turn, tokens) in asked.into_iter().flatten() {
            let patience =
                PATIENCE + Duration::from_millis(tokens as u64 * self.plan.every_ms.end());
            self.sitting.ends(&turn, patience).await;
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
        let Sitting { client, session, .. } = &self.sitting;
        let (key, edge) = (self.sitting.key(name), client.some_edge(dice));
        let (asked, again) = tokio::join!(client.ask(edge, session, &key, &body), async {
            if !lucky(dice, self.plan.doubles) {
                return None;
            }
            Some(client.ask(edge + 1, session, &key, &body).await)
        });
        if let Some(again) = again.filter(|it| *it != asked) {
            self.sitting
                .trouble(format!("{name}, asked twice at once, is {asked:?} and {again:?}"));
        }
        self.sitting.note(name, tokens, asked.clone());
        match asked {
            Asked::Accepted(turn) => Some((turn, tokens)),
            Asked::Refused(_) | Asked::Unknown => None,
        }
    }

    async fn cancel(&self, turn: Option<&Option<(String, usize)>>, dice: &mut StdRng) {
        let Some(Some((turn, tokens))) = turn else { return };
        let most = *tokens as u64 * self.plan.every_ms.end();
        sleep(Duration::from_millis(dice.random_range(0..=most))).await;
        let Sitting { client, session, .. } = &self.sitting;
        let stopped = client.cancel(client.some_edge(dice), session, turn).await;
        self.sitting.note_stop(turn, stopped, process::clock::now());
    }
}

fn lucky(dice: &mut StdRng, percent: u32) -> bool {
    dice.random_ratio(percent.min(100), 100)
}
