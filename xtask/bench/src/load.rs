//! The load: so many sessions at once, each one question on a connection of
//! its own, and what their readers saw.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use process::clock;
use serde_json::json;
use testkit::model::Script;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::reader::{DIRECT, Dialect, Reader, WEIR};
use testkit::cost::{self, Cost, Process};

/// How long after its last token a session may still take.
const LATE: Duration = Duration::from_mins(1);
/// How often the memory of the servers is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is asked of the sessions.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) sessions: u32,
    /// Tokens of each session.
    pub(crate) tokens: u32,
    /// Time between two tokens; none: as fast as they are read.
    pub(crate) every: Option<Duration>,
    /// The time over which the sessions begin.
    pub(crate) ramp: Duration,
}

/// Where it is asked.
#[derive(Debug)]
pub(crate) struct Target {
    base: Uri,
    dialect: Dialect,
    native: bool,
    /// Makes the sessions of this target its own.
    run: u128,
}

/// What the readers saw and the servers used.
#[derive(Debug)]
pub(crate) struct Measured {
    /// µs from a token's emission to its receipt.
    pub(crate) token: Histogram<u64>,
    /// µs from the question to the first token.
    pub(crate) first: Histogram<u64>,
    pub(crate) completed: u32,
    /// Why sessions did not complete, and how many.
    pub(crate) failures: BTreeMap<String, u32>,
    /// From the first question to the last token.
    pub(crate) took: Duration,
    /// What each process used: µs in the run, and KiB at most above its start.
    pub(crate) costs: Vec<(&'static str, Cost)>,
    /// µs that this process, the generator, used.
    pub(crate) generator: u64,
    /// Processors that everything else on the machine kept busy, the kernel's
    /// own work included: far above 0.2, the figures say little.
    pub(crate) others: f64,
}

/// What one session saw.
#[derive(Debug, Default)]
struct Seen {
    latencies: Vec<u32>,
    first: Option<Duration>,
    failure: Option<String>,
}

impl Target {
    /// The model itself; its base URL has the version path.
    pub(crate) fn direct(base: &str) -> Result<Self> {
        Self::new(base, DIRECT, false)
    }

    /// A gateway.
    pub(crate) fn weir(base: &str) -> Result<Self> {
        Self::new(base.trim_end_matches('/'), WEIR, true)
    }

    fn new(base: &str, dialect: Dialect, native: bool) -> Result<Self> {
        let base = base.parse()?;
        let run = clock::now().as_micros();
        Ok(Self { base, dialect, native, run })
    }

    fn request(&self, number: u32, script: &Script) -> Result<Request<Full<Bytes>>> {
        let question = script.question();
        let (path, body) = if self.native {
            let session = format!("/v1/sessions/bench-{}-{number}/turns", self.run);
            (session, json!({"userId": format!("bench-{number}"), "input": question}))
        } else {
            let messages = json!([{"role": "user", "content": question}]);
            let body = json!({"model": "script", "stream": true, "messages": messages});
            ("/v1/chat/completions".to_owned(), body)
        };
        let request = Request::post(path)
            .header(header::HOST, self.authority()?)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream");
        Ok(request.body(Full::new(body.to_string().into()))?)
    }

    fn authority(&self) -> Result<&str> {
        Ok(self.base.authority().context("a URL has a host")?.as_str())
    }
}

impl Load {
    /// A few sessions, so that what is built on first use is built.
    pub(crate) fn warm_up(&self) -> Self {
        Self {
            sessions: self.sessions.min(8),
            tokens: 20,
            every: Some(Duration::from_millis(5)),
            ramp: Duration::ZERO,
        }
    }

    fn script(&self) -> Script {
        let every = self.every.unwrap_or_default().as_millis();
        Script {
            tokens: usize::try_from(self.tokens).ok(),
            every_ms: u64::try_from(every).unwrap_or(u64::MAX),
            stamp: true,
            ..Script::default()
        }
    }

    /// How long the sessions speak at least.
    pub(crate) fn length(&self) -> Duration {
        self.every.unwrap_or_default() * self.tokens
    }

    /// Drives all sessions to their end, and looks at what `servers` use.
    pub(crate) async fn drive(&self, target: &Target, servers: &[Process]) -> Result<Measured> {
        let myself = Process { name: "generator", pid: std::process::id() };
        let before = costs(servers)?;
        let (generator, machine) = (myself.cost()?.cpu, cost::machine()?);
        let start = Instant::now();
        let mut sessions = JoinSet::new();
        let (target, script) = (Arc::new(target.clone()), Arc::new(self.script()));
        for number in 0..self.sessions {
            let begin = start + self.ramp * number / self.sessions;
            let end = begin + self.length() + LATE;
            let (target, script) = (Arc::clone(&target), Arc::clone(&script));
            sessions.spawn(session(target, script, number, (begin, end)));
        }
        let mut measured = Measured::new()?;
        let mut peak = before.clone();
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                seen = sessions.join_next() => match seen {
                    Some(seen) => measured.add(&seen?, self.tokens)?,
                    None => break,
                },
                _ = look.tick() => grow(&mut peak, &costs(servers)?),
            }
        }
        measured.took = start.elapsed();
        measured.generator = myself.cost()?.cpu.saturating_sub(generator);
        grow(&mut peak, &costs(servers)?);
        let machine = cost::machine()?.saturating_sub(machine);
        measured.costs = used(servers, &before, &peak);
        measured.leave_others(machine);
        Ok(measured)
    }
}

impl Clone for Target {
    fn clone(&self) -> Self {
        Self { base: self.base.clone(), ..*self }
    }
}

fn costs(servers: &[Process]) -> Result<Vec<Cost>> {
    servers.iter().map(Process::cost).collect()
}

fn grow(peak: &mut [Cost], now: &[Cost]) {
    for (peak, now) in peak.iter_mut().zip(now) {
        *peak = Cost { cpu: now.cpu, memory: peak.memory.max(now.memory) };
    }
}

fn used(servers: &[Process], before: &[Cost], peak: &[Cost]) -> Vec<(&'static str, Cost)> {
    let spans = before.iter().zip(peak).map(|(before, peak)| Cost {
        cpu: peak.cpu.saturating_sub(before.cpu),
        memory: peak.memory.saturating_sub(before.memory),
    });
    servers.iter().map(|it| it.name).zip(spans).collect()
}

impl Measured {
    fn new() -> Result<Self> {
        // Up to two minutes, to three digits.
        let histogram = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        Ok(Self {
            token: histogram.clone(),
            first: histogram,
            completed: 0,
            failures: BTreeMap::new(),
            took: Duration::ZERO,
            costs: Vec::new(),
            generator: 0,
            others: 0.0,
        })
    }

    fn add(&mut self, seen: &Seen, tokens: u32) -> Result<()> {
        for latency in &seen.latencies {
            self.token.saturating_record((*latency).max(1).into());
        }
        if let Some(first) = seen.first {
            self.first.record(u64::try_from(first.as_micros())?.max(1))?;
        }
        let short = seen.latencies.len() != usize::try_from(tokens)?;
        let count = || format!("{} of {tokens} tokens", seen.latencies.len());
        match seen.failure.clone().or_else(|| short.then(count)) {
            Some(failure) => *self.failures.entry(failure).or_default() += 1,
            None => self.completed += 1,
        }
        Ok(())
    }

    /// Of what the machine used, takes away what was measured.
    fn leave_others(&mut self, machine: u64) {
        let servers: u64 = self.costs.iter().map(|(_, cost)| cost.cpu).sum();
        let others = machine.saturating_sub(servers + self.generator);
        self.others = float(others) / 1e6 / self.took.as_secs_f64();
    }

    /// Tokens received a second, over the whole run.
    pub(crate) fn rate(&self) -> f64 {
        float(self.token.len()) / self.took.as_secs_f64()
    }
}

/// A count as a number to divide.
pub(crate) fn float(count: u64) -> f64 {
    // Exact below 2^32, and counts stay below.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

async fn session(
    target: Arc<Target>,
    script: Arc<Script>,
    number: u32,
    (begin, end): (Instant, Instant),
) -> Seen {
    tokio::time::sleep_until(begin).await;
    let mut seen = Seen::default();
    let read = tokio::time::timeout_at(end, read(&target, &script, number, &mut seen)).await;
    seen.failure = match read {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{error:#}")),
        Err(_) => Some("did not end in time".to_owned()),
    };
    seen
}

async fn read(target: &Target, script: &Script, number: u32, seen: &mut Seen) -> Result<()> {
    let request = target.request(number, script)?;
    let asked = Instant::now();
    let stream = TcpStream::connect(target.authority()?).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection lives in this task: one task a session, nothing to hand
    // over. Its end shows in the body, after all that came before it.
    let connection = async {
        drop(connection.await);
        std::future::pending().await
    };
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        if status != 200 {
            let problem = body.collect().await?.to_bytes();
            bail!("{status} {}", String::from_utf8_lossy(&problem));
        }
        let mut reader = Reader::new(target.dialect);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            let now = u64::try_from(clock::now().as_micros())?;
            reader.feed(&data, |stamp| {
                seen.first.get_or_insert_with(|| asked.elapsed());
                let latency = now.saturating_sub(stamp);
                seen.latencies.push(latency.try_into().unwrap_or(u32::MAX));
            });
            if reader.ended {
                return Ok(());
            }
        }
        ensure!(reader.ended, "the stream ended without saying so");
        Ok(())
    };
    tokio::select! {
        biased;
        ended = exchange => ended,
        never = connection => never,
    }
}
