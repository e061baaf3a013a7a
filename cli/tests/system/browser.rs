//! The chat page in a real Chromium, by what a person sees and does.

mod asking;
mod calling;
mod hostile;
mod identity;
mod listing;
mod looking;
mod markdown;
mod remembering;
mod returning;
mod reviewing;
mod sources;
mod stopping;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::browser::Browser;
use testkit::model::FakeModel;
use testkit::process::Weir;

use crate::stage::weir;

/// Nothing is being answered, and nothing waits.
const IDLE: &str = "document.querySelector('#stop').hidden && \
                    !document.querySelector('.turn[aria-busy=true]')";
const RUNNING: &str = "!document.querySelector('#stop').hidden";
/// The connection is in trouble, and the page says so.
const TROUBLE: &str = "document.querySelector('#connection').classList.contains('trouble')";

/// A page, as a person has it before them.
struct Page {
    browser: Browser,
}

impl Page {
    /// Opens a page in a browser of its own, and waits until it takes a question.
    async fn open(url: &str) -> Result<Self> {
        let page = Self { browser: Browser::start().await? };
        page.go(url).await?;
        Ok(page)
    }

    /// Opens an address in this browser, and waits until a new conversation
    /// stands there.
    async fn go(&self, url: &str) -> Result<()> {
        self.browser.open(url).await?;
        self.see("!document.querySelector('#welcome').hidden").await
    }

    /// Waits until this is true in the page.
    async fn see(&self, condition: &str) -> Result<()> {
        self.browser.wait_for(condition).await
    }

    /// The value of an expression in the page.
    async fn get(&self, expression: &str) -> Result<Value> {
        self.browser.run(&format!("return {expression}")).await
    }

    /// Writes into the composer, as an input method does.
    async fn write(&self, text: &str) -> Result<()> {
        self.browser.run("document.querySelector('#question').focus()").await?;
        self.browser.type_text(text).await
    }

    /// Presses Enter, with modifiers as `testkit::browser` counts them.
    async fn enter(&self, modifiers: u8) -> Result<()> {
        self.browser.press("Enter", modifiers).await
    }

    async fn ask(&self, question: &str) -> Result<()> {
        self.write(question).await?;
        self.enter(0).await
    }

    async fn click(&self, selector: &str) -> Result<()> {
        let found = format!("document.querySelector({})", json!(selector));
        self.see(&found).await?;
        self.browser.run(&format!("{found}.click()")).await?;
        Ok(())
    }

    /// Waits until the n-th turn's answer has this text.
    async fn says(&self, turn: usize, text: &str) -> Result<()> {
        self.see(&format!("{}.includes({})", answer(turn), json!(text))).await
    }

    /// Waits until nothing is being answered.
    async fn is_idle(&self) -> Result<()> {
        self.see(IDLE).await
    }

    /// What the n-th turn's answer says now.
    async fn answer(&self, turn: usize) -> Result<String> {
        let text = self.get(&answer(turn)).await?;
        Ok(text.as_str().context("a text")?.trim_end().to_owned())
    }

    /// Ends the browser. The page must have met no fault of its own: a script's
    /// error, or something that its policy forbids. That a server was away is none.
    async fn close(self) -> Result<()> {
        let problems = self.browser.problems().await?;
        let own: Vec<_> = problems.iter().filter(|it| !it.contains("Failed to load")).collect();
        ensure!(own.is_empty(), "{own:#?}");
        self.browser.close().await
    }
}

/// The text of the n-th turn's answer, as an expression.
fn answer(turn: usize) -> String {
    format!(
        "[...document.querySelectorAll('#conversation .turn')[{turn}]\
         ?.querySelectorAll('.answer') ?? []].map(it => it.innerText).join('')"
    )
}

/// Everything in one process, on the scripted model.
async fn scripted(model: &FakeModel) -> Result<Weir> {
    let mut command =
        weir(&["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script"]).env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

/// Weir with the scripted model, and a page that shows it.
async fn stage(model: &FakeModel) -> Result<(Weir, Page)> {
    let weir = scripted(model).await?;
    let page = Page::open(&weir.value("page")?).await?;
    Ok((weir, page))
}

/// Where a process serves its page.
fn address(weir: &Weir) -> Result<SocketAddr> {
    let page = weir.value("page")?;
    let address = page.trim_start_matches("http://").trim_end_matches('/');
    address.parse().context("the page's address")
}
