//! A reader that is cut at random and goes on, at some gateway, from the last
//! id it has. What it hears, joined, must be what the log holds.

use std::sync::Arc;
use std::time::Duration;

use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::sse::{Frame, Sse};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::Client;

/// A frame and when it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// What.
    pub frame: Frame,
}

/// What a reader has so far.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// Every frame with data, over all connections.
    pub heard: Vec<Heard>,
    /// How often it connected.
    pub connects: usize,
}

/// For each pause of more than a second within a turn in which one of these
/// moments fell: how long after the first of them the turn went on.
pub fn recoveries(notes: &[Notes], struck: &[Instant]) -> Vec<Duration> {
    notes.iter().flat_map(|it| it.recoveries(struck)).collect()
}

impl Notes {
    fn recoveries(&self, struck: &[Instant]) -> Vec<Duration> {
        let turn = |it: &Heard| it.frame.json()["turnId"].clone();
        let went_on = |pair: &[Heard]| {
            let [before, after] = pair else { return None };
            if after.at - before.at < Duration::from_secs(1) || turn(before) != turn(after) {
                return None;
            }
            // What was on its way at that moment still came.
            let began = before.at.checked_sub(Duration::from_millis(250))?;
            let moment = struck.iter().find(|it| (began..after.at).contains(it))?;
            Some(after.at - *moment)
        };
        self.heard.windows(2).filter_map(went_on).collect()
    }
}

/// A reader of one session.
#[derive(Debug, Clone)]
pub struct Watcher {
    notes: Arc<watch::Sender<Notes>>,
}

/// How a reader behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// On average it leaves after so many frames; 0 is never.
    pub restless: u32,
    /// What its choices follow.
    pub seed: u64,
}

impl Watcher {
    /// Watches a session from its start until the lifecycle ends.
    pub fn start(client: Client, session: String, manner: Manner, life: &Lifecycle) -> Self {
        let notes = Arc::new(watch::Sender::default());
        let watching = watch_on(client, session, manner, Arc::clone(&notes));
        life.spawn(Box::pin(watching));
        Self { notes }
    }

    /// What it has so far.
    pub fn notes(&self) -> Notes {
        self.notes.borrow().clone()
    }

    /// Waits until a frame satisfies `seen`; `false` after this long.
    pub async fn hears(
        &self,
        within: Duration,
        seen: impl Fn(&Frame) -> bool + Send + Sync,
    ) -> bool {
        let mut notes = self.notes.subscribe();
        let mut looked = 0;
        let heard = notes.wait_for(|it| {
            let found = it.heard[looked..].iter().any(|it| seen(&it.frame));
            looked = it.heard.len();
            found
        });
        tokio::time::timeout(within, heard).await.is_ok_and(|it| it.is_ok())
    }
}

async fn watch_on(
    client: Client,
    session: String,
    manner: Manner,
    notes: Arc<watch::Sender<Notes>>,
) {
    let mut dice = StdRng::seed_from_u64(manner.seed);
    let mut last: Option<String> = None;
    loop {
        let edge = client.some_edge(&mut dice);
        if let Ok(events) = client.events(edge, &session, last.as_deref()).await {
            notes.send_modify(|it| it.connects += 1);
            let stays = match manner.restless {
                0 => usize::MAX,
                most => dice.random_range(1..=2 * most as usize),
            };
            listen(events, stays, &mut last, &notes).await;
        }
        sleep(Duration::from_millis(dice.random_range(10..200))).await;
    }
}

/// Hears up to so many frames, or until the connection breaks.
async fn listen(
    mut events: Sse,
    stays: usize,
    last: &mut Option<String>,
    notes: &watch::Sender<Notes>,
) {
    for _ in 0..stays {
        let Ok(Some(frame)) = events.next().await else { return };
        if let Some(id) = &frame.id {
            *last = Some(id.clone());
        }
        let heard = Heard { at: Instant::now(), frame };
        notes.send_modify(|it| it.heard.push(heard));
    }
}
