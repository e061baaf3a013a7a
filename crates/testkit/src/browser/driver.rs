//! Finding and starting the two programs.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use ::process::environment;
use anyhow::{Context as _, Result, bail};
use fantoccini::Client;
use fantoccini::wd::Capabilities;
use rustix::process::Pid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::PATIENCE;

/// What a sandboxed machine and a test that sees no network need.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// The program that the variable names, or else the one of this name on `PATH`.
pub(super) fn find(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = environment::get(variable) {
        return Ok(path.into());
    }
    let path = environment::get("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|it| it.join(name));
    places.find(|it| it.is_file()).with_context(|| {
        format!("{name} is missing: `apt-get install chromium chromium-driver`, or set {variable}")
    })
}

/// A driver, what it goes on to say, and its port. It takes the same port in
/// both families of addresses, and ends when one of them has lost it to somebody
/// else: then another one is started.
pub(super) async fn driver() -> Result<(Child, Lines<BufReader<ChildStdout>>, u16)> {
    const STARTS: usize = 5;
    for _ in 0..STARTS {
        let mut driver = Command::new(find("WEIR_CHROMEDRIVER", "chromedriver")?)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("chromedriver does not start")?;
        let stdout = driver.stdout.take().context("its output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = tokio::time::timeout(PATIENCE, port(&mut lines)).await;
        if let Some(port) = port.context("chromedriver names no port")?? {
            return Ok((driver, lines, port));
        }
    }
    bail!("chromedriver ended {STARTS} times before it was ready")
}

/// The port that the driver took; `None` when it ended before.
async fn port(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<u16>> {
    const STARTED: &str = "started successfully on port ";
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.split_once(STARTED) {
            return Ok(Some(port.trim_end_matches('.').parse()?));
        }
    }
    Ok(None)
}

/// What a session is to be: a person's language first, everything that goes to
/// the console kept.
pub(super) fn capabilities(chromium: &Path, profile: &Path, language: &str) -> Capabilities {
    let mut arguments = FLAGS.map(str::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--lang={language}"));
    let options = json!({
        "binary": chromium,
        "args": arguments,
        "prefs": { "intl": { "accept_languages": language } },
    });
    Capabilities::from_iter([
        ("goog:chromeOptions".to_owned(), options),
        ("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" })),
    ])
}

/// The browser's process, so that a dropped handle leaves none behind.
pub(super) fn chromium_id(page: &Client) -> Option<Pid> {
    let id = page.capabilities()?.get("goog:processID")?.as_i64()?;
    Pid::from_raw(id.try_into().ok()?)
}
