//! The disk of `weir up` is full: a real one, of a few megabytes, in a mount
//! namespace of the process's own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::model::{FakeModel, echo};
use testkit::process::{Weir, command};
use tokio::time::{Instant, sleep};

use crate::stage::{Client, is_end, text};

/// Mounts a small disk at $1, takes most of it with a file, and becomes weir.
const SCRIPT: &str = "mount -t tmpfs -o size=8m tmpfs \"$1\" && \
                      head -c 4m /dev/zero > \"$1/ballast\" && \
                      disk=\"$1\" && shift && exec \"$@\" --data \"$disk/data\"";
/// Bytes of a question.
const QUESTION: usize = 100_000;
/// More questions than the disk has room for.
const QUESTIONS: usize = 400;
/// How long a refusal may take.
const BUDGET: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// A process on a disk that is nearly full.
struct Cramped {
    weir: Weir,
    disk: TempDir,
}

impl Cramped {
    async fn start(model: &FakeModel) -> Result<Self> {
        let disk = tempfile::tempdir()?;
        let mut start =
            command("unshare", ["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
        start.arg(disk.path()).args([env!("CARGO_BIN_EXE_weir"), "up", "--model", "openai/echo"]);
        start.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        start.env("OPENAI_BASE_URL", model.base_url());
        Ok(Self { weir: Weir::start(start).await?, disk })
    }

    /// Gives the room back.
    fn relieve(&self) -> Result<()> {
        let root = PathBuf::from(format!("/proc/{}/root", self.weir.pid()));
        let disk = self.disk.path().strip_prefix("/")?;
        Ok(std::fs::remove_file(root.join(disk).join("ballast"))?)
    }
}

fn question(number: usize) -> String {
    format!("{number} {}", "x".repeat(QUESTION))
}

/// Asks in a session of its own; the answer's status.
async fn ask(client: &Client, number: usize) -> Result<StatusCode> {
    let request = client.post(&format!("/v1/sessions/s{number}/turns"));
    let body = json!({ "userId": "test_user", "input": question(number) });
    let began = Instant::now();
    let response = request.header("prefer", "respond-async").json(&body).send().await?;
    ensure!(began.elapsed() < BUDGET, "an answer took {:?}", began.elapsed());
    let status = response.status();
    let problem: Value = response.json().await?;
    let refused = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::INSUFFICIENT_STORAGE];
    ensure!(status == StatusCode::ACCEPTED || refused.contains(&status), "{status}: {problem}");
    Ok(status)
}

#[tokio::test]
async fn a_full_disk_refuses_questions_and_loses_none_that_it_accepted() -> Result<()> {
    let model = FakeModel::start().await?;
    let cramped = Cramped::start(&model).await?;
    let client = Client::of(&cramped.weir)?;
    let (mut accepted, mut refused, mut next) = (Vec::new(), 0, 0);
    while refused < 5 {
        ensure!(next < QUESTIONS, "the disk is never full; {refused} were refused");
        match ask(&client, next).await? {
            StatusCode::ACCEPTED => accepted.push(next),
            _ => refused += 1,
        }
        next += 1;
    }
    ensure!(!accepted.is_empty(), "nothing was ever accepted");
    let health = client.get("/healthz").send().await?;
    ensure!(health.status() == StatusCode::OK, "the process serves on");

    cramped.relieve()?;
    let deadline = Instant::now() + PATIENCE;
    while ask(&client, next).await? != StatusCode::ACCEPTED {
        ensure!(Instant::now() < deadline, "there is room again and nothing is accepted");
        sleep(Duration::from_millis(50)).await;
    }
    accepted.push(next);
    let mut completed = 0;
    for number in &accepted {
        completed += usize::from(has_ended(&client, *number).await?);
    }
    ensure!(completed * 2 > accepted.len(), "{completed} of {} were completed", accepted.len());
    Ok(())
}

/// Whether a turn was completed, with its whole text. The one other end is that
/// its session's memory of it had no room.
async fn has_ended(client: &Client, number: usize) -> Result<bool> {
    let mut events = client.events(&format!("s{number}"), "start").await?;
    let frames = events.read_until(is_end).await?;
    let end = frames.last().context("an end")?;
    if end.is("failed") {
        let code = end.json()["failed"]["code"].clone();
        ensure!(code == "store_unavailable", "{number}: {end:?}");
        return Ok(false);
    }
    ensure!(end.is("completed"), "{number}: {end:?}");
    let from = frames.iter().rposition(|it| it.is("rewind")).unwrap_or(0);
    ensure!(text(&frames[from..]) == echo(&question(number), 1), "{number}");
    Ok(true)
}
