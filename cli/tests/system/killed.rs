//! kill -9 of `weir up`, again and again, at moments that nobody chose: while it
//! starts, while it answers, while it stores. What was accepted ends exactly
//! once, and a reader that goes on from its last position has the exact text.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use testkit::model::FakeModel;
use testkit::process::Weir;
use testkit::sse::{Frame, Sse, raw};
use tokio::time::{Instant, sleep};

use crate::stage::{Client, is_end, said, tokens, weir};

const KILLS: usize = 20;
const SESSIONS: usize = 4;
const SEED: u64 = 20_261_121;
/// How many processes are ready before they are killed.
const READY: f64 = 0.7;
/// Milliseconds that a process lives from then on, or from its start.
const LIFE: std::ops::Range<u64> = 20..600;
/// Tokens of an answer, and their pace in milliseconds.
const TOKENS: usize = 30;
const PACE: u64 = 8;
/// How long one request is tried while its server is killed and started.
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

fn command(data: &Path, model: &FakeModel, http: SocketAddr) -> tokio::process::Command {
    let http = http.to_string();
    let mut command = weir(&["up", "--http", &http, "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script", "--data"]).arg(data);
    command.env("OPENAI_BASE_URL", model.base_url());
    command
}

/// Kills and starts; the process that is left lives.
async fn torment(mut weir: Weir, start: impl Fn() -> Result<Weir>) -> Result<Weir> {
    let mut random = StdRng::seed_from_u64(SEED);
    for _ in 0..KILLS {
        if random.random_bool(READY) {
            weir.ready().await?;
        }
        sleep(Duration::from_millis(random.random_range(LIFE))).await;
        weir.kill().await?;
        weir = start()?;
    }
    weir.ready().await?;
    Ok(weir)
}

/// One user's session: what it asked, and what it has read of each turn.
struct Talk {
    client: Client,
    session: String,
    turns: BTreeMap<String, Vec<Frame>>,
}

impl Talk {
    /// Asks one question after the other for as long as the server is killed, and
    /// one when it lives; reads each answer to its end.
    async fn run(mut self, over: &AtomicBool) -> Result<Self> {
        for number in 0.. {
            let calm = over.load(Ordering::SeqCst);
            let (turn, position) = self.ask(number).await?;
            let frames = self.read(&turn, position).await?;
            self.turns.insert(turn, frames);
            if calm {
                break;
            }
        }
        Ok(self)
    }

    /// Asks until the question is accepted, always under the same key.
    async fn ask(&self, number: usize) -> Result<(String, String)> {
        let deadline = Instant::now() + PATIENCE;
        let path = format!("/v1/sessions/{}/turns", self.session);
        let body = json!({ "userId": "test_user", "input": tokens(TOKENS, PACE) });
        loop {
            ensure!(Instant::now() < deadline, "nobody accepts a question");
            let request = self.client.post(&path).header("prefer", "respond-async");
            let key = format!("{}-{number}", self.session);
            let Ok(response) = request.header("idempotency-key", key).json(&body).send().await
            else {
                sleep(PAUSE).await;
                continue;
            };
            let status = response.status();
            let Ok(accepted) = response.json::<Value>().await else { continue };
            if status.is_success() {
                let text = |name: &str| accepted[name].as_str().map(str::to_owned);
                return Ok((
                    text("turnId").context("a turn")?,
                    text("position").context("a position")?,
                ));
            }
            ensure!(status.is_server_error(), "{status}: {accepted}");
        }
    }

    /// Reads a turn to its end, over as many connections as it takes.
    async fn read(&self, turn: &str, mut last: String) -> Result<Vec<Frame>> {
        let deadline = Instant::now() + PATIENCE;
        let mut frames = Vec::new();
        loop {
            ensure!(Instant::now() < deadline, "{turn} does not end: {frames:?}");
            let Ok(mut stream) = self.client.resume(&self.session, &last).await else {
                sleep(PAUSE).await;
                continue;
            };
            while let Ok(Some(frame)) = stream.next().await {
                ensure!(!frame.is("gap"), "the log has lost {last}: {frame:?}");
                last = frame.id.clone().with_context(|| format!("{frame:?} has no id"))?;
                if frame.json()["turnId"] != turn {
                    continue;
                }
                let over = is_end(&frame);
                frames.push(frame);
                if over {
                    return Ok(frames);
                }
            }
        }
    }

    /// What was read is what is stored, and each turn began and ended once.
    async fn check(&self) -> Result<usize> {
        let mut stored: BTreeMap<String, Vec<Frame>> = BTreeMap::new();
        let mut events: Sse = self.client.events(&self.session, "start").await?;
        let (mut ends, mut completed) = (0, 0);
        while ends < self.turns.len() {
            let frame = events.next().await?.context("the stream ended")?;
            ends += usize::from(is_end(&frame));
            let turn = frame.json()["turnId"].as_str().context("a turn")?.to_owned();
            stored.entry(turn).or_default().push(frame);
        }
        ensure!(stored.keys().eq(self.turns.keys()), "other turns than those that were accepted");
        for (turn, read) in &self.turns {
            let stored = &stored[turn];
            ensure!(raw(read) == raw(stored), "{turn}: {read:?} is not {stored:?}");
            let count = |kind: &str| stored.iter().filter(|it| it.is(kind)).count();
            ensure!(count("started") == 1, "{turn}: {stored:?}");
            ensure!(stored.iter().filter(|it| is_end(it)).count() == 1, "{turn}: {stored:?}");
            if count("completed") == 1 {
                ensure!(valid_text(stored) == said(TOKENS), "{turn}: {stored:?}");
                completed += 1;
            } else {
                // The one other end: it was killed too often to get anywhere.
                let end = stored.last().context("an end")?.json();
                ensure!(end["failed"]["code"] == "attempts_exhausted", "{turn}: {end}");
            }
        }
        Ok(completed)
    }
}

/// The text that is left when every `rewind` has taken back what it names.
fn valid_text(frames: &[Frame]) -> String {
    let mut said: Vec<(u64, String)> = Vec::new();
    for frame in frames {
        let value = frame.json();
        if frame.is("rewind") {
            let to = value["rewind"]["to"].as_u64().unwrap_or(0);
            said.retain(|(index, _)| *index <= to);
        } else if let Some(text) = value["text"].as_str() {
            said.push((value["index"].as_u64().unwrap_or(0), text.to_owned()));
        }
    }
    said.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn twenty_kills_at_random_moments_lose_and_double_nothing() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    let first = Weir::start(command(data.path(), &model, "127.0.0.1:0".parse()?)).await?;
    let page = first.value("page")?;
    let http = page.trim_start_matches("http://").trim_end_matches('/').parse()?;
    let client = Client::of(&first)?;
    let over = AtomicBool::new(false);
    let talks = (0..SESSIONS).map(|number| {
        let session = format!("s{number}");
        Talk { client: client.clone(), session, turns: BTreeMap::new() }.run(&over)
    });
    let tormented = async {
        let last = torment(first, || Weir::spawn(command(data.path(), &model, http))).await;
        over.store(true, Ordering::SeqCst);
        last
    };
    let (last, talks) = tokio::join!(tormented, futures::future::try_join_all(talks));
    let (_last, talks) = (last?, talks?);

    let (mut turns, mut completed) = (0, 0);
    for talk in &talks {
        completed += talk.check().await?;
        turns += talk.turns.len();
    }
    assert!(turns >= 2 * SESSIONS, "too little happened: {turns} turns");
    assert!(completed >= SESSIONS, "{completed} of {turns} turns were completed");
    Ok(())
}
