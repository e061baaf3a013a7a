//! Many jobs wait while there is no worker at all; then the workers come back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use futures::stream;
use testkit::cost;
use tokio::time::{Instant, sleep};

use super::Ground;
use crate::client::Client;
use crate::copies;
use crate::oracle;
use crate::score::{Score, show};
use crate::sitting::{Sitting, question, tell};
use crate::stage::{Plan as Fleet, Stage};

/// Jobs for each second that the scenario is given.
const RATE: u64 = 60;
/// Jobs of a session; as many as its queue takes.
const DEPTH: usize = 8;
/// Sessions that ask, or are read, at the same time.
const AT_ONCE: usize = 64;
/// How long nothing happens, all jobs waiting.
const AWAY: Duration = Duration::from_secs(10);
/// How long the queue may stay as long as it is, before it counts as stuck.
const STUCK: Duration = Duration::from_secs(30);

pub(super) async fn run(ground: Ground) -> Result<Score> {
    let mut score = Score::new("C29", ground.seed);
    let mut stage = Stage::start(ground.binary, Fleet::SMALL).await?;
    let before = memory(&mut stage)?;
    for worker in &mut stage.workers {
        worker.kill().await?;
    }
    score.fault("all workers killed");
    let sessions = usize::try_from(ground.time.as_secs() * RATE)?.div_ceil(DEPTH).max(1);
    let client = Client::new(stage.edges(), "many")?;
    let sittings: Vec<_> =
        (0..sessions).map(|at| Sitting::new(client.clone(), format!("m{at}"))).collect();
    let began = Instant::now();
    stream::iter(&sittings).for_each_concurrent(AT_ONCE, fill).await;
    let queueing = began.elapsed();
    sleep(AWAY).await;
    let jobs = waiting(&mut stage).await?;
    let full = memory(&mut stage)?;
    let idle = processor(&mut stage);
    for worker in &mut stage.workers {
        worker.restart().await?;
    }
    let (draining, most) = drain(&mut stage).await?;
    let used = processor(&mut stage).saturating_sub(idle);
    let mut tales = Vec::new();
    for some in sittings.chunks(AT_ONCE) {
        tales.extend(tell(some).await);
    }
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), &mut score);
    let wanted = sessions * DEPTH;
    score.expect(jobs == wanted as u64, || format!("{jobs} jobs waited, of {wanted}"));
    let rate = |time: Duration| format!("{}/s", wanted as u128 * 1000 / time.as_millis().max(1));
    let (asked, done) = (rate(queueing), rate(draining));
    score.figure("queued", format!("{jobs} jobs in {}, {asked}", show(queueing)));
    let each = used / wanted as u64;
    score.figure("drained", format!("in {}, {done}, {each} µs of processor a job", show(draining)));
    let handed_out = copies::deliveries(stage.node(0)).await?;
    score.figure("handed out", format!("{handed_out} times"));
    score.figure("memory", format!("{before}; full: {full}; most while draining: {most}"));
    Ok(score)
}

/// Fills a session's queue.
async fn fill(sitting: &Sitting) {
    for nth in 0..DEPTH {
        let name = format!("{}q{nth}", sitting.session);
        let mut body = question(&name, 1, 0);
        body["admission"] = "enqueue".into();
        let Sitting { client, session, .. } = sitting;
        let asked = client.ask(nth, session, &sitting.key(&name), &body).await;
        sitting.note(&name, 1, asked);
    }
}

async fn waiting(stage: &mut Stage) -> Result<u64> {
    let held = copies::held(stage.node(0), "JOBS").await?;
    Ok(held.context("the queue is there")?.messages)
}

/// Waits until no job is left: how long that took, and the most memory.
async fn drain(stage: &mut Stage) -> Result<(Duration, Memory)> {
    let began = Instant::now();
    let (mut most, mut left, mut moved) = (Memory::default(), u64::MAX, began);
    while left > 0 {
        sleep(Duration::from_millis(200)).await;
        let now = waiting(stage).await?;
        if now < left {
            (left, moved) = (now, Instant::now());
        }
        ensure!(moved.elapsed() < STUCK, "{left} jobs wait and nobody takes them");
        most = most.max(memory(stage)?);
    }
    Ok((began.elapsed(), most))
}

/// Processor time that all running processes have used so far, in µs.
fn processor(stage: &mut Stage) -> u64 {
    let node = stage.node(0).pid();
    let pids = stage.parts().map(|it| it.process().pid()).chain(node);
    pids.filter_map(|pid| cost::of(pid).ok()).map(|it| it.cpu).sum()
}

/// Resident memory, in MiB, of each kind of process.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    nats: u64,
    gateways: u64,
    workers: u64,
    agents: u64,
}

impl Memory {
    fn max(self, other: Self) -> Self {
        Self {
            nats: self.nats.max(other.nats),
            gateways: self.gateways.max(other.gateways),
            workers: self.workers.max(other.workers),
            agents: self.agents.max(other.agents),
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nats, gateways, workers, agents } = self;
        write!(f, "nats {nats}, gateways {gateways}, workers {workers}, agents {agents} MiB")
    }
}

fn memory(stage: &mut Stage) -> Result<Memory> {
    let resident = |pid: u32| -> Result<u64> { Ok(cost::of(pid)?.memory / 1024) };
    let nats = resident(stage.node(0).pid().context("it runs")?)?;
    let mut of = |parts: fn(&mut Stage) -> &mut Vec<crate::stage::Part>| -> Result<u64> {
        // A killed worker takes none.
        let parts = parts(stage).iter_mut();
        Ok(parts.filter_map(|it| resident(it.process().pid()).ok()).sum())
    };
    Ok(Memory {
        nats,
        gateways: of(|it| &mut it.gateways)?,
        workers: of(|it| &mut it.workers)?,
        agents: of(|it| &mut it.agents)?,
    })
}
