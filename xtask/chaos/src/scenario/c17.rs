//! Readers that stand still, and one that reads a byte a second, of a session
//! with very long answers, among many normal ones at the same gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use process::Lifecycle;
use testkit::cost;
use testkit::sse::Frame;
use tokio::sync::Mutex;
use tokio::time::{Instant, interval, sleep};

use super::Ground;
use crate::client::Client;
use crate::load::{Load, Plan as Asking};
use crate::oracle;
use crate::raw::{Raw, frames};
use crate::score::{Score, percentile, show, spread};
use crate::sitting::{Sitting, Tale, tell};
use crate::stage::{Plan, Stage};
use crate::watcher::Manner;

/// Normal sessions, each with a reader.
const NORMAL: usize = 200;
/// Readers that read nothing.
const STALLED: usize = 100;
/// Tokens of a long answer, and bytes of each: 2.4 MB.
const LONG: (usize, usize) = (600, 4_100);
/// Milliseconds between the tokens of each long answer. The first ones show
/// what stalled readers do to others; they fill what the system holds for a
/// reader that does not read. The last ones are said in the largest entries,
/// which is when a reader takes the most memory.
const PACED: [u64; 2] = [10, 10];
const HASTY: [u64; 2] = [0, 0];
/// Bytes that the system may take before the reader reads.
const WINDOW: u32 = 4_096;
/// How long a stalled reader may live after everything was said.
const LET_GO: Duration = Duration::from_secs(45);
/// Memory that one of them may take, in KiB.
const BOUND: u64 = 1_024;
/// How long a long answer may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// The silence after which a drained reader has everything.
const QUIET: Duration = Duration::from_secs(3);

/// The gateway that is measured.
#[derive(Debug, Clone, Copy)]
struct Gate {
    address: SocketAddr,
    pid: u32,
}

/// The readers that are no good, and when they began and stopped to be fed at a
/// measured pace.
struct Crowd {
    stalled: Vec<Raw>,
    slow: Slow,
    among: Instant,
    hasty: Instant,
}

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C17", ground.seed);
    let mut fleet = Stage::start(ground.binary, Plan::SMALL).await?;
    let (life, edges) = (Lifecycle::new(), fleet.edges());
    let manner = Manner { restless: 0, seed: ground.seed };
    let long = Sitting::new(Client::new(edges.clone(), "long")?, "long");
    let long = long.watched(Client::new(edges[1..].to_vec(), "long")?, manner, &life);
    // All at the gateway with the stalled readers.
    let load = Load::start(&edges[..1], normal(), "n", ground.seed)?;
    warm_up(&long).await?;
    // The same is said, with no reader at this gateway.
    let alone = Instant::now();
    ask_all(&long, &PACED, "a").await;
    let state = long.client.state(1, &long.session).await?;
    let after = state["position"].as_str().context("the session is not empty")?;

    let gateway = &mut fleet.gateways[0];
    let address = gateway.address()?.context("a gateway listens")?;
    let gate = Gate { address, pid: gateway.process().pid() };
    let mut crowd = feed(gate, &long, after, &mut score).await?;
    let mut tales = load.stop().await;
    others(&tales, [alone, crowd.among, crowd.hasty], &mut score);
    tales.extend(tell(std::slice::from_ref(&long)).await);
    let told = tales.last().and_then(|it| it.histories.first()).context("no gateway tells")?;
    let mut got = Vec::new();
    crowd.stalled[0].drain(&mut got, QUIET).await;
    for (who, got) in [("a stalled reader", got), ("the slow reader", crowd.slow.stop().await)] {
        resumes((&long.client, told), after, (who, &got), &mut score).await?;
    }
    fleet.model.settle().await;
    oracle::judge(&tales, &fleet.model.calls(), &mut score);
    Ok(score)
}

/// Opens the readers that are no good, says more than the system holds for
/// them, and waits until they were let go.
async fn feed(gate: Gate, long: &Sitting, after: &str, score: &mut Score) -> Result<Crowd> {
    let (sockets, before) = (sockets(gate.pid)?, cost::of(gate.pid)?.memory);
    let among = Instant::now();
    let mut stalled = stall(gate.address, after, score).await?;
    let slow = Slow::start(gate.address, after).await?;
    score.fault("reader of 1 B/s");
    ask_all(long, &PACED, "p").await;
    let between = cost::of(gate.pid)?.memory;
    takes("short entries", between.saturating_sub(before), STALLED, score);
    let hasty = Instant::now();
    stalled.extend(stall(gate.address, after, score).await?);
    ask_all(long, &HASTY, "h").await;
    let (said, full) = (Instant::now(), cost::of(gate.pid)?.memory);
    takes("large entries", full.saturating_sub(between), STALLED, score);
    takes("all", full.saturating_sub(before), stalled.len(), score);
    let left = || Ok::<_, anyhow::Error>(self::sockets(gate.pid)?.saturating_sub(sockets));
    while left()? > 0 && said.elapsed() < LET_GO {
        sleep(Duration::from_millis(200)).await;
    }
    let (left, after) = (left()?, show(said.elapsed()));
    score.figure("stalled readers", format!("{left} of {} left {after} later", stalled.len()));
    score.expect(left < STALLED / 10, || format!("{left} stalled readers were not let go"));
    Ok(Crowd { stalled, slow, among, hasty })
}

/// What the readers at the same gateway noticed.
fn others(tales: &[Tale], [alone, among, hasty]: [Instant; 3], score: &mut Score) {
    let pauses = [pauses(tales, alone, among), pauses(tales, among, hasty)];
    score.figure("others' pauses, alone", spread(&pauses[0]));
    score.figure("others' pauses, among stalled", spread(&pauses[1]));
    let [alone, among] = pauses.map(|it| percentile(&it, 99).as_secs_f64());
    score.figure("others' p99", format!("{:+.0} %", (among / alone - 1.0) * 100.0));
}

/// As many readers that read nothing as are measured at once.
async fn stall(gateway: SocketAddr, after: &str, score: &mut Score) -> Result<Vec<Raw>> {
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Raw::open(gateway, ("long", "long", after), Some(WINDOW)).await?);
        score.fault("reader that reads nothing");
    }
    Ok(stalled)
}

/// What one of so many takes of so many KiB.
fn takes(what: &str, memory: u64, readers: usize, score: &mut Score) {
    let each = memory / readers as u64;
    score.figure(&format!("memory per stalled reader, {what}"), format!("{each} KiB"));
    score.expect(each <= BOUND, || format!("a stalled reader takes {each} KiB, with {what}"));
}

fn normal() -> Asking {
    Asking {
        sessions: NORMAL,
        tokens: 20..=40,
        every_ms: 250..=250,
        cancels: 0,
        doubles: 0,
        queued: 0,
        questions: None,
        watchers: 1,
        restless: 0,
    }
}

/// One long answer, read by a normal reader of the gateway that is measured,
/// and by the one that stays.
async fn warm_up(long: &Sitting) -> Result<()> {
    let Sitting { client, session, .. } = long;
    let mut reader = client.events(0, session, None).await?;
    let read = async { reader.read_until(crate::story::is_end).await };
    let ((), read) = tokio::join!(ask_all(long, &HASTY[..1], "w"), read);
    read.map(drop)
}

/// Long answers, one after the other.
async fn ask_all(long: &Sitting, paces: &[u64], mark: &str) {
    for (nth, every_ms) in paces.iter().enumerate() {
        // A token is its question's name and two numbers.
        let name = format!("{mark}{nth}{}", "x".repeat(LONG.1 - 8));
        long.answered(1, &name, (LONG.0, *every_ms), PATIENCE).await;
    }
}

/// Open sockets of a process.
fn sockets(pid: u32) -> Result<usize> {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    let targets = open.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    Ok(targets.filter(|it| it.to_string_lossy().starts_with("socket:")).count())
}

/// Pauses within turns that the first readers saw in a stretch of time.
fn pauses(tales: &[Tale], from: Instant, to: Instant) -> Vec<Duration> {
    let pairs = tales.iter().filter_map(|it| it.watched.first()).flat_map(|it| it.heard.windows(2));
    let within = pairs.filter(|it| it[0].at >= from && it[1].at < to && it[0].frame.is("text"));
    within.map(|it| it[1].at.duration_since(it[0].at)).collect()
}

/// What a reader got before it was dropped, and what the other gateway adds,
/// are the log.
async fn resumes(
    (client, log): (&Client, &[Frame]),
    after: &str,
    (who, got): (&str, &[u8]),
    score: &mut Score,
) -> Result<()> {
    let body = got.windows(4).position(|it| it == b"\r\n\r\n").context("no head came")? + 4;
    let mut told = frames(&got[body..])?;
    score.figure(who, format!("had {} frames, {} bytes", told.len(), got.len()));
    let last = told.last().and_then(|it| it.id.clone()).unwrap_or_else(|| after.to_owned());
    let end = log.last().and_then(|it| it.id.clone());
    if Some(&last) != end.as_ref() {
        let mut rest = client.events(1, "long", Some(&last)).await?;
        told.extend(rest.read_until(|it| it.id == end).await?);
    }
    let of_after =
        |it: &Frame| it.id.as_ref().is_some_and(|it| it.split('.').next() == Some(after));
    let from = log.iter().rposition(of_after).context("the log has what came before")? + 1;
    let same = log[from..] == told[..];
    score.expect(same, || format!("{who} does not have the log after it resumed"));
    Ok(())
}

/// Reads one byte a second.
struct Slow {
    reading: Arc<Mutex<(Raw, Vec<u8>)>>,
    life: Lifecycle,
}

impl Slow {
    async fn start(gateway: SocketAddr, after: &str) -> Result<Self> {
        let raw = Raw::open(gateway, ("long", "long", after), Some(WINDOW)).await?;
        let (reading, life) = (Arc::new(Mutex::new((raw, Vec::new()))), Lifecycle::new());
        let reads = Arc::clone(&reading);
        life.spawn(async move {
            let mut seconds = interval(Duration::from_secs(1));
            loop {
                seconds.tick().await;
                let (raw, heard) = &mut *reads.lock().await;
                raw.take(heard, 1);
            }
        });
        Ok(Self { reading, life })
    }

    /// What it got in all, with what was still on the way.
    async fn stop(self) -> Vec<u8> {
        self.life.abort();
        let (raw, heard) = &mut *self.reading.lock().await;
        raw.drain(heard, QUIET).await;
        std::mem::take(heard)
    }
}
