//! Thousands of readers of sessions in which nothing happens: what one costs,
//! and that none is dropped or forgotten.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use testkit::cost;
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::client::{Asked, Client};
use crate::raw::Raw;
use crate::score::{Score, show};
use crate::sitting::question;
use crate::stage::{Part, Plan, Stage};

/// Readers, each of a session of its own.
const READERS: usize = 5_000;
/// Readers before the first measurement, so that what the first ones cost
/// once is not counted.
const FIRST: usize = 200;
/// Connections that are made at the same time.
const AT_ONCE: usize = 64;
/// How long nothing happens: time for two comments of 15 s each.
const IDLE: Duration = Duration::from_secs(35);
/// Sessions in which something is asked at the end.
const WOKEN: usize = 20;
/// How long their readers may take to hear it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A reader and what it heard.
struct Idle {
    raw: Raw,
    heard: Vec<u8>,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C18", ground.seed);
    let mut dice = StdRng::seed_from_u64(ground.seed);
    let mut stage = Stage::start(ground.binary, Plan { workers: 1, ..Plan::SMALL }).await?;
    let mut readers = open(&stage, 0..FIRST).await?;
    let before = memory(&mut stage)?;
    let since = Instant::now();
    readers.extend(open(&stage, FIRST..FIRST + READERS).await?);
    score.figure("opened", format!("{READERS} in {}", show(since.elapsed())));
    sleep(Duration::from_secs(3)).await;
    let after = memory(&mut stage)?;
    let each = |name, at: usize, readers: usize| {
        let grown = after[at].saturating_sub(before[at]);
        let tenths = grown * 10 / readers as u64;
        (name, format!("{}.{} KiB", tenths / 10, tenths % 10))
    };
    for (name, each) in [
        each("memory per idle SSE stream, gateway", 0, READERS),
        each("memory per idle SSE stream, nats-server", 1, READERS),
    ] {
        score.figure(name, each);
    }
    let until = Instant::now() + IDLE;
    while Instant::now() < until {
        sleep(Duration::from_secs(1)).await;
        listen(&mut readers);
    }
    let dropped = readers.iter().filter(|it| it.raw.has_ended()).count();
    score.expect(dropped == 0, || {
        format!("{dropped} of {} idle readers were dropped", FIRST + READERS)
    });
    let comments: Vec<_> = readers.iter().map(|it| comments(&it.heard)).collect();
    let fewest = comments.iter().min().copied().unwrap_or_default();
    score.expect(fewest >= 2, || format!("a reader heard {fewest} comments in {}", show(IDLE)));
    score.figure("comments", format!("{} in {}", comments.iter().sum::<usize>(), show(IDLE)));
    let woken = (0..readers.len()).choose_multiple(&mut dice, WOKEN);
    wake(&stage, &mut readers, &woken, &mut score).await?;
    Ok(score)
}

/// Opens these readers, half of them at each gateway.
async fn open(stage: &Stage, which: std::ops::Range<usize>) -> Result<Vec<Idle>> {
    let gateways: Result<Vec<_>> = stage.gateways.iter().map(Part::address).collect();
    let gateways: Option<Vec<_>> = gateways?.into_iter().collect();
    let gateways = gateways.context("gateways listen")?;
    let opening = which.map(|at| {
        let gateway = gateways[at % gateways.len()];
        async move {
            let (user, session) = place(at);
            let mut raw = Raw::open(gateway, (&user, &session, "now"), None).await?;
            raw.head().await.with_context(|| format!("reader {at}"))?;
            anyhow::Ok(Idle { raw, heard: Vec::new() })
        }
    });
    stream::iter(opening).buffered(AT_ONCE).try_collect().await
}

/// Whose session a reader reads.
fn place(reader: usize) -> (String, String) {
    (format!("user{}", reader % 100), format!("idle{reader}"))
}

/// KiB of all gateways together, and of the nats-server.
fn memory(stage: &mut Stage) -> Result<[u64; 2]> {
    let mut gateways = 0;
    for gateway in &mut stage.gateways {
        gateways += cost::of(gateway.process().pid())?.memory;
    }
    let nats = stage.node(0).pid().context("nats-server runs")?;
    Ok([gateways, cost::of(nats)?.memory])
}

fn listen(readers: &mut [Idle]) {
    for Idle { raw, heard } in readers {
        raw.take(heard, 64 * 1024);
    }
}

fn comments(heard: &[u8]) -> usize {
    heard.windows(3).filter(|it| it == b":\n\n").count()
}

/// Asks in some of the sessions; their readers hear the answer to its end.
async fn wake(
    stage: &Stage,
    readers: &mut [Idle],
    woken: &[usize],
    score: &mut Score,
) -> Result<()> {
    for at in woken {
        let (user, session) = place(*at);
        let client = Client::new(stage.edges(), user)?;
        let asked = client.ask(*at, &session, &session, &question("wake", 3, 10)).await;
        score.expect(matches!(asked, Asked::Accepted(_)), || format!("a question was {asked:?}"));
    }
    let ended = |it: &Idle| it.heard.windows(9).any(|it| it == b"completed");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && !woken.iter().all(|at| ended(&readers[*at])) {
        sleep(Duration::from_millis(50)).await;
        listen(readers);
    }
    let heard = woken.iter().filter(|at| ended(&readers[**at])).count();
    score.expect(heard == woken.len(), || {
        format!("{heard} of {} idle readers heard what was asked at last", woken.len())
    });
    score.figure("woken", format!("{heard} of {}", woken.len()));
    Ok(())
}
