//! A gateway with many readers dies. How long until each of them hears the next
//! frame from another one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::sse::Frame;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::client::Client;
use crate::load::{Load, Plan as Asking};
use crate::oracle;
use crate::score::Score;
use crate::stage::{Plan, Stage};
use crate::watcher::Heard;

/// Sessions, and readers of each.
const READERS: (usize, usize) = (10, 20);
/// How often a gateway dies, each in its turn.
const KILLS: usize = 6;
/// How long a reader may hear nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reader that stays with its gateway until that breaks, and then goes to the
/// next one at once.
struct Loyal(Arc<watch::Sender<Told>>);

/// What it was told, by which gateway, and at which it is.
#[derive(Default)]
struct Told {
    frames: Vec<(usize, Heard)>,
    edge: usize,
    connects: usize,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("gateway-kill", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Plan { agents: 2, ..Plan::SMALL }).await?;
    let asking = Asking {
        sessions: READERS.0,
        tokens: 40..=80,
        every_ms: 40..=60,
        cancels: 0,
        watchers: 1,
        ..Asking::default()
    };
    let load = Load::start(&stage.edges(), asking, "k", ground.seed)?;
    let life = Lifecycle::new();
    let mut readers = Vec::new();
    for at in 0..READERS.0 * READERS.1 {
        let session = at % READERS.0;
        // Which user a session has, the load decides so.
        let client = Client::new(stage.edges(), format!("user{}", session / 2))?;
        readers.push(Loyal::start(client, format!("k{session}"), at, &life));
    }
    let mut times = Vec::new();
    for nth in 0..KILLS {
        sleep(Duration::from_millis(dice.random_range(2500..4000))).await;
        let gateway = nth % 2;
        let orphans: Vec<_> = readers.iter().filter(|it| it.0.borrow().edge == gateway).collect();
        score.expect(!orphans.is_empty(), || format!("gateway {gateway} had no readers"));
        let killed = Instant::now();
        stage.gateways[gateway].kill().await?;
        score.fault("gateway killed");
        let news = orphans.iter().map(|it| it.next(gateway, killed));
        for heard in futures::future::join_all(news).await {
            score.expect(heard.is_some(), || "a reader heard nothing after a kill".to_owned());
            times.extend(heard);
        }
        stage.gateways[gateway].restart().await?;
        stage.aim()?;
    }
    let tales = load.stop().await;
    stage.model.settle().await;
    for (at, reader) in readers.iter().enumerate() {
        let log = tales[at % READERS.0].histories.first();
        reader.judge(log.map(Vec::as_slice).unwrap_or_default(), &mut score).await;
    }
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    score.times("kill to next frame", &times);
    Ok(score)
}

impl Loyal {
    fn start(client: Client, session: String, at: usize, life: &Lifecycle) -> Self {
        let edge = at % client.edges();
        let told = Arc::new(watch::Sender::new(Told { edge, ..Told::default() }));
        let reader = Self(Arc::clone(&told));
        life.spawn(Box::pin(async move {
            let mut last: Option<String> = None;
            loop {
                let edge = told.borrow().edge;
                if let Ok(mut events) = client.events(edge, &session, last.as_deref()).await {
                    told.send_modify(|it| it.connects += 1);
                    while let Ok(Some(frame)) = events.next().await {
                        last = frame.id.clone().or(last);
                        let heard = Heard { at: Instant::now(), frame };
                        told.send_modify(|it| it.frames.push((edge, heard)));
                    }
                }
                told.send_modify(|it| it.edge = (edge + 1) % client.edges());
                sleep(Duration::from_millis(10)).await;
            }
        }));
        reader
    }

    /// How long after this gateway was killed another one told a frame.
    async fn next(&self, gateway: usize, killed: Instant) -> Option<Duration> {
        let new = |it: &(usize, Heard)| it.0 != gateway && it.1.at > killed;
        let mut told = self.0.subscribe();
        let told = told.wait_for(|it| it.frames.iter().rev().take(50).any(new));
        let told = tokio::time::timeout(PATIENCE, told).await.ok()?.ok()?;
        let first = told.frames.iter().find(|it| new(it))?;
        Some(first.1.at.saturating_duration_since(killed))
    }

    /// Compares what it heard with the log.
    async fn judge(&self, log: &[Frame], score: &mut Score) {
        let mut told = self.0.subscribe();
        let all = told.wait_for(|it| it.frames.len() >= log.len());
        // What is missing then shows in the comparison.
        drop(tokio::time::timeout(PATIENCE, all).await);
        let told = self.0.borrow();
        let same = told.frames.iter().map(|it| &it.1.frame).eq(log);
        score.expect(same, || {
            format!("a reader heard {} frames, the log has {}", told.frames.len(), log.len())
        });
        score.connects += told.connects;
    }
}
