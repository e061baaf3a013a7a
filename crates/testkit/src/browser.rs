//! A real Chromium, headless, with a profile of its own, driven through
//! chromedriver.
//!
//! Both are Debian's, found on `PATH` or named by `WEIR_CHROMIUM` and
//! `WEIR_CHROMEDRIVER`. A missing one is an error, not a skipped test.

mod axe;
mod device;
mod driver;
mod keys;
mod problems;

use std::net::Ipv4Addr;
use std::path::Path;

use ::process::Lifecycle;
use anyhow::{Context as _, Result, bail};
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::PATIENCE;

pub use keys::{ALT, CONTROL, META, SHIFT};

/// What the person speaks, unless said otherwise.
const LANGUAGE: &str = "en-US";

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
    /// A browser of somebody who speaks English, with an empty page.
    pub async fn start() -> Result<Self> {
        Self::start_in(LANGUAGE).await
    }

    /// A browser of somebody who prefers this language, such as `zh-CN`.
    pub async fn start_in(language: &str) -> Result<Self> {
        let chromium = driver::find("WEIR_CHROMIUM", "chromium")?;
        let (driver, mut lines, port) = driver::driver().await?;
        let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let life = Lifecycle::new();
        // A pipe that nobody reads would stop the driver.
        life.spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir()?;
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(driver::capabilities(&chromium, profile.path(), language))
            .connect(&url)
            .await
            .context("chromedriver starts no chromium")?;
        let id = page.session_id().await?.context("a new session has an id")?;
        Ok(Self {
            session: format!("{url}/session/{id}"),
            chromium: driver::chromium_id(&page),
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
    /// error, with the page's text and what the console calls errors, after
    /// 30 s.
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
            let problems = self.problems().await?.join("\n");
            bail!("never true: {condition}\nthe page says: {text}\n{problems}");
        }
        Ok(())
    }

    /// Writes what the page looks like, as a PNG file.
    pub async fn screenshot(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(tokio::fs::write(path, self.page.screenshot().await?).await?)
    }

    /// The tab that everything here is about.
    pub async fn tab(&self) -> Result<WindowHandle> {
        Ok(self.page.window().await?)
    }

    /// Opens an address in another tab of the same profile and goes there.
    pub async fn open_tab(&self, url: &str) -> Result<WindowHandle> {
        let tab = self.page.new_window(true).await?.handle;
        self.go_to(&tab).await?;
        self.open(url).await?;
        Ok(tab)
    }

    /// Goes to a tab: what follows is about it.
    pub async fn go_to(&self, tab: &WindowHandle) -> Result<()> {
        Ok(self.page.switch_to_window(tab.clone()).await?)
    }

    /// One command of the Chrome `DevTools` protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        let body = json!({"cmd": command, "params": parameters});
        self.driver("goog/cdp/execute", &body).await.context(command.to_owned())
    }

    /// One command of the driver that is its own.
    async fn driver(&self, command: &str, parameters: &Value) -> Result<Value> {
        let url = format!("{}/{command}", self.session);
        let response = reqwest::Client::new().post(url).json(parameters).send().await?;
        let mut answer: Value = response.json().await?;
        if let Some(error) = answer["value"]["error"].as_str() {
            bail!("{error}: {}", answer["value"]["message"]);
        }
        Ok(answer["value"].take())
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
