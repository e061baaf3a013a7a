//! Readers that are cut at any frame and go on at another gateway have, joined,
//! the bytes of the log.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use process::Lifecycle;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use testkit::sse::{Frame, raw};

use super::Ground;
use crate::client::{Asked, Client};
use crate::oracle;
use crate::score::Score;
use crate::sitting::{Sitting, tell};
use crate::stage::{Plan, Stage};
use crate::watcher::Manner;

/// Sessions, and readers of each that are cut again and again while it runs.
const READERS: (usize, usize) = (10, 100);
/// Tokens of each answer, and milliseconds between them.
const ANSWER: (usize, u64) = (60, 100);
/// Answers of each session.
const ANSWERS: usize = 2;
/// Tokens of the answer that is cut everywhere, and milliseconds between them:
/// slow enough that hardly two are stored as one event.
const LONG: (usize, u64) = (240, 15);
/// Frames that it must have.
const FRAMES: usize = 200;
/// Cuts at a time.
const AT_ONCE: usize = 8;
/// How long a turn may take.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C14", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let stage = Stage::start(ground.binary, Plan::SMALL).await?;
    let life = Lifecycle::new();
    let cut = Sitting::new(Client::new(stage.edges(), "cut")?, "long");
    let equal = cut_everywhere(&cut, &mut score).await?;
    score.figure("cut at every frame", equal);

    let mut sittings = Vec::new();
    for at in 0..READERS.0 {
        let client = Client::new(stage.edges(), format!("user{at}"))?;
        let mut sitting = Sitting::new(client.clone(), "s");
        for _ in 0..READERS.1 {
            let manner = Manner { restless: 20, seed: dice.random() };
            sitting = sitting.watched(client.clone(), manner, &life);
        }
        sittings.push(sitting);
    }
    futures::future::join_all(sittings.iter().map(ask)).await;
    let mut tales = tell(&sittings).await;
    let readers = tales.iter().map(|it| it.watched.len()).sum::<usize>();
    tales.extend(tell(&[cut]).await);
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    let cuts = score.connects.saturating_sub(readers);
    score.faults.insert("reader cut and resumed".to_owned(), cuts);
    score.expect(cuts > readers, || format!("{readers} readers were cut only {cuts} times"));
    score.figure("readers", format!("{readers}, cut {cuts} times"));
    Ok(score)
}

async fn ask(sitting: &Sitting) {
    for nth in 0..ANSWERS {
        sitting.answered(nth, &format!("q{nth}"), ANSWER, PATIENCE).await;
    }
}

/// Cuts a reader of one gateway behind each frame of an answer, and resumes at
/// the other one: how many were equal.
async fn cut_everywhere(sitting: &Sitting, score: &mut Score) -> Result<String> {
    let asked = sitting.ask(0, "long", LONG).await;
    ensure!(matches!(asked, Asked::Accepted(_)), "the long question was {asked:?}");
    let Sitting { client, session, .. } = sitting;
    let mut events = client.events(0, session, None).await?;
    let log = events.read_until(crate::story::is_end).await?;
    ensure!(log.len() >= FRAMES, "the answer has {} frames only", log.len());
    let whole = raw(&log);
    let cuts = stream::iter(1..log.len()).map(|at| joined(client, session, at, &log));
    let joined: Vec<_> = cuts.buffer_unordered(AT_ONCE).try_collect().await?;
    let equal = joined.iter().filter(|it| **it == whole).count();
    score.expect(equal == joined.len(), || {
        format!("{} of {} cut readings differ from the log", joined.len() - equal, joined.len())
    });
    Ok(format!("{equal}/{} equal", joined.len()))
}

/// What a reader has that was cut behind so many frames.
async fn joined(client: &Client, session: &str, at: usize, log: &[Frame]) -> Result<Vec<u8>> {
    let mut events = client.events(at, session, None).await?;
    let mut frames = Vec::new();
    for _ in 0..at {
        frames.push(events.next().await?.context("the stream ended")?);
    }
    events.cut();
    let last = frames.last().and_then(|it| it.id.clone());
    let mut events = client.events(at + 1, session, last.as_deref()).await?;
    let end = log.last().and_then(|it| it.id.clone());
    frames.extend(events.read_until(|it| it.id == end).await?);
    Ok(raw(&frames))
}
