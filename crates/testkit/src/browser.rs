//! A real Chromium, headless, with a profile of its own, driven through
//! chromedriver.
//!
//! Both are Debian's, found on `PATH` or named by `WEIR_CHROMIUM` and
//! `WEIR_CHROMEDRIVER`. A missing one is an error, not a skipped test.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ::process::{Lifecycle, environment};
use anyhow::{Context as _, Result, bail};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
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

/// How often a condition is looked at while one waits for it.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// One browser with one page. Ends with [`Browser::close`], at the latest when
/// it is dropped.
#[derive(Debug)]
pub struct Browser {
    page: Client,
    session: String,
    chromium: Option<Pid>,
    driver: Child,
    life: Lifecycle,
    _profile: TempDir,
}

impl Browser {
    /// A browser with an empty page.
    pub async fn start() -> Result<Self> {
        let chromium = find("WEIR_CHROMIUM", "chromium")?;
        let (driver, mut lines, port) = driver().await?;
        let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let life = Lifecycle::new();
        // A pipe that nobody reads would stop the driver.
        life.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir()?;
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&chromium, profile.path()))
            .connect(&url)
            .await
            .context("chromedriver starts no chromium")?;
        let id = page.session_id().await?.context("a new session has an id")?;
        Ok(Self {
            session: format!("{url}/session/{id}"),
            chromium: chromium_id(&page),
            page,
            driver,
            life,
            _profile: profile,
        })
    }

    /// The page, for everything that has no word of its own here.
    pub fn page(&self) -> &Client {
        &self.page
    }

    /// Opens an address and waits until it has loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        Ok(self.page.goto(url).await?)
    }

    /// Runs the body of a function in the page: `return document.title`.
    pub async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.page.execute(script, Vec::new()).await?)
    }

    /// Waits until this expression is true in the page, across reloads. An
    /// error, with the page's text, after 30 s.
    pub async fn wait_for(&self, condition: &str) -> Result<()> {
        let script = format!("return !!({condition})");
        let waited = tokio::time::timeout(PATIENCE, async {
            // While a page is being replaced, a script may fail: look again.
            while !matches!(self.run(&script).await, Ok(Value::Bool(true))) {
                tokio::time::sleep(LOOK).await;
            }
        });
        if waited.await.is_err() {
            let text = self.run("return document.body.innerText").await?;
            bail!("never true: {condition}\nthe page says: {text}");
        }
        Ok(())
    }

    /// Writes what the page looks like, as a PNG file.
    pub async fn screenshot(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(tokio::fs::write(path, self.page.screenshot().await?).await?)
    }

    /// Makes every new request of the page fail and tells it that it is offline,
    /// or the opposite. A stream that is open goes on: a [`crate::proxy::Proxy`]
    /// in between cuts that.
    pub async fn offline(&self, offline: bool) -> Result<()> {
        let open = if offline { 0 } else { -1 };
        self.devtools("Network.enable", json!({})).await?;
        let conditions = json!({
            "offline": offline, "latency": 0, "downloadThroughput": open, "uploadThroughput": open,
        });
        self.devtools("Network.emulateNetworkConditions", conditions).await?;
        Ok(())
    }

    /// One command of the Chrome `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let url = format!("{}/goog/cdp/execute", self.session);
        let body = json!({"cmd": command, "params": parameters});
        let response = reqwest::Client::new().post(url).json(&body).send().await?;
        let answer: Value = response.json().await?;
        if let Some(error) = answer["value"]["error"].as_str() {
            bail!("{command}: {error}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].clone())
    }

    /// Ends browser and driver.
    pub async fn close(mut self) -> Result<()> {
        self.page.clone().close().await?;
        self.chromium = None;
        Ok(self.driver.kill().await?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.life.abort();
        if let Some(pid) = self.chromium {
            // It may be gone already, which is what is wanted.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// The program that the variable names, or else the one of this name on `PATH`.
fn find(variable: &str, name: &str) -> Result<PathBuf> {
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
async fn driver() -> Result<(Child, Lines<BufReader<ChildStdout>>, u16)> {
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

fn capabilities(chromium: &Path, profile: &Path) -> Capabilities {
    let mut arguments = FLAGS.map(str::to_owned).to_vec();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    let options = json!({"binary": chromium, "args": arguments});
    Capabilities::from_iter([("goog:chromeOptions".to_owned(), options)])
}

/// The browser's process, so that a dropped handle leaves none behind.
fn chromium_id(page: &Client) -> Option<Pid> {
    let id = page.capabilities()?.get("goog:processID")?.as_i64()?;
    Pid::from_raw(id.try_into().ok()?)
}
