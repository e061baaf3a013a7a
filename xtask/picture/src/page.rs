//! The chat page in its main states: the real product in one process, a real
//! browser, and a model that says what `said.rs` has.
//!
//! Refuses pictures that are too heavy for a document, and takes none of a page
//! that complains.

mod said;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use testkit::browser::Browser;
use testkit::mcp;
use testkit::model::FakeModel;
use testkit::process::{Weir, command};

use crate::weir;

/// Where things are on the page.
mod at {
    pub(super) const WELCOME: &str = "#welcome";
    pub(super) const QUESTION: &str = "#question";
    pub(super) const STOP: &str = "#stop";
    pub(super) const NEW: &str = "#new";
    pub(super) const ANSWER: &str = "#conversation .answer";
    pub(super) const SOURCES: &str = "#conversation .sources";
    pub(super) const REVIEW: &str = ".review .pending";
    pub(super) const CONVERSATIONS: &str = "#sessions > li";
    pub(super) const DRAWER: &str = "#menu";
    pub(super) const KEY: &str = "#key-entry #key";
}

/// The most that a picture may weigh, in bytes.
const HEAVIEST: usize = 150_000;
/// A window on a desk.
const WINDOW: (u32, u32) = (1100, 900);

/// Takes all pictures.
pub(crate) async fn take(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("no folder {}", out.display()))?;
    let stage = Stage::start().await?;
    let english = Camera::open(out, "en-US", &stage.page()?).await?;
    conversation(&english, &stage.model).await?;
    answer(&english).await?;
    phone(&english).await?;
    chinese(&Camera::open(out, "zh-CN", &stage.page()?).await?).await?;
    let guarded = stage.guarded().await?;
    key(&Camera::open(out, "en-US", &guarded.value("page")?).await?).await
}

/// What somebody sees who speaks Chinese.
async fn chinese(camera: &Camera) -> Result<()> {
    camera.ask(said::CHINESE).await?;
    camera.answered().await?;
    camera.take("chinese").await
}

/// What somebody sees who has to show a key.
async fn key(camera: &Camera) -> Result<()> {
    camera.browser.wait_for(&shown(at::KEY)).await?;
    // The browser itself tells of the refusal that led here.
    let told = camera.browser.problems().await?;
    ensure!(
        told.iter().all(|it| it.contains("401 (Unauthorized)")),
        "the page complains: {told:?}"
    );
    camera.take("key").await
}

/// What one person sees, in the order in which it comes.
async fn conversation(camera: &Camera, model: &FakeModel) -> Result<()> {
    let Camera { browser, .. } = camera;
    browser.wait_for(&shown(at::WELCOME)).await?;
    camera.take("welcome").await?;

    camera.ask(said::CUT).await?;
    browser.wait_for(&format!("{}.includes('{}')", last(at::ANSWER), said::HELD_AT)).await?;
    browser.wait_for(&shown(at::STOP)).await?;
    camera.take("streaming").await?;
    model.release();
    camera.answered().await?;

    camera.click(at::NEW).await?;
    camera.ask(said::CHANNEL).await?;
    browser.wait_for(&shown(at::REVIEW)).await?;
    camera.take("review").await
}

/// One answer with all that it may have, wherever it is read.
async fn answer(camera: &Camera) -> Result<()> {
    let Camera { browser, .. } = camera;
    camera.click(at::NEW).await?;
    camera.ask(said::WORKERS).await?;
    camera.answered().await?;
    browser.wait_for(&shown(at::SOURCES)).await?;
    browser
        .wait_for(&format!("document.querySelectorAll('{}').length >= 3", at::CONVERSATIONS))
        .await?;
    camera.take("answer").await?;
    browser.dark(true).await?;
    camera.take("dark").await?;
    browser.dark(false).await
}

/// The same in a hand.
async fn phone(camera: &Camera) -> Result<()> {
    let Camera { browser, .. } = camera;
    browser.phone().await?;
    browser.wait_for("innerWidth === 390").await?;
    camera.take("phone").await?;
    camera.click(at::DRAWER).await?;
    browser.wait_for(&shown(at::CONVERSATIONS)).await?;
    camera.take("conversations").await
}

/// What runs, and what it needs.
struct Stage {
    model: FakeModel,
    _tools: mcp::Server,
    weir: Weir,
    folder: TempDir,
}

impl Stage {
    async fn start() -> Result<Self> {
        let (model, tools) = (FakeModel::start().await?, mcp::Server::start().await?);
        said::teach(&model);
        let folder = tempfile::tempdir()?;
        let file = configure(folder.path(), &model, &tools)?;
        let weir = up(&["--config", &file]).await?;
        Ok(Self { model, _tools: tools, weir, folder })
    }

    fn page(&self) -> Result<String> {
        self.weir.value("page")
    }

    /// The same product, where everybody must show who they are.
    async fn guarded(&self) -> Result<Weir> {
        let keys = self.folder.path().join("keys.toml");
        let keys = keys.to_str().context("a temporary path is UTF-8")?;
        let create = ["keys", "create", "--user", "alice", "--api-keys", keys];
        let (code, output) = Weir::run(command(weir()?, create)).await?;
        ensure!(code == Some(0), "no key was made: {output:?}");
        up(&["--api-keys", keys]).await
    }
}

async fn up(more: &[&str]) -> Result<Weir> {
    let free = ["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut command = command(weir()?, [&free[..], more].concat());
    command.env("KEY", "picture");
    Weir::start(command).await
}

fn configure(folder: &Path, model: &FakeModel, tools: &mcp::Server) -> Result<String> {
    let path = folder.join("agent.toml");
    let text = format!(
        "model = \"openai/script\"\n[providers.openai]\nbase_url = \"{}\"\nkey_env = \"KEY\"\n\
         [mcp.release]\nurl = \"{}\"\ntrusted = true\n",
        model.base_url(),
        tools.url()
    );
    std::fs::write(&path, text)?;
    Ok(path.to_str().context("a temporary path is UTF-8")?.to_owned())
}

/// A browser whose pictures go into a folder.
struct Camera {
    browser: Browser,
    out: PathBuf,
}

impl Camera {
    async fn open(out: &Path, language: &str, page: &str) -> Result<Self> {
        let browser = Browser::start_in(language).await?;
        let (width, height) = WINDOW;
        let window =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", window).await?;
        browser.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
        browser.open(page).await?;
        Ok(Self { browser, out: out.to_owned() })
    }

    async fn ask(&self, question: &str) -> Result<()> {
        self.browser.wait_for(&format!("document.querySelector('{}')", at::QUESTION)).await?;
        self.browser.run(&format!("document.querySelector('{}').focus()", at::QUESTION)).await?;
        self.browser.type_text(question).await?;
        self.browser.press("Enter", 0).await
    }

    /// Waits for an answer that is whole.
    async fn answered(&self) -> Result<()> {
        self.browser.wait_for(&format!("{}.length > 0", last(at::ANSWER))).await?;
        self.browser.wait_for(&format!("!({})", shown(at::STOP))).await
    }

    async fn click(&self, what: &str) -> Result<()> {
        self.browser.run(&format!("document.querySelector('{what}').click()")).await?;
        Ok(())
    }

    /// Takes a picture of what is drawn now, without anything that blinks or is
    /// on its way.
    async fn take(&self, name: &str) -> Result<()> {
        let still = "await document.fonts.ready; document.activeElement?.blur(); \
            await Promise.allSettled(document.getAnimations().filter(it => \
            it.effect.getComputedTiming().iterations !== Infinity).map(it => it.finished)); \
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))";
        self.browser.run(&format!("return (async () => {{ {still} }})()")).await?;
        let problems = self.browser.problems().await?;
        ensure!(problems.is_empty(), "{name}: the page complains: {problems:?}");
        let file = self.out.join(format!("{name}.png"));
        self.browser.screenshot(&file).await?;
        let weight = std::fs::read(&file)?.len();
        ensure!(weight <= HEAVIEST, "{name}.png has {weight} bytes; {HEAVIEST} are allowed");
        Ok(())
    }
}

/// Whether something is there to be seen.
fn shown(what: &str) -> String {
    format!("document.querySelector('{what}')?.checkVisibility()")
}

/// The text of the last one.
fn last(what: &str) -> String {
    format!("([...document.querySelectorAll('{what}')].at(-1)?.innerText ?? '')")
}
