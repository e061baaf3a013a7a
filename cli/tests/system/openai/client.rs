//! Runs one of the clients, as `cargo xtask test` has installed it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::FakeModel;
use testkit::process::{Weir, command};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sdk {
    Python,
    Node,
}

/// A client of one gateway.
#[derive(Debug, Clone)]
pub(super) struct Client {
    sdk: Sdk,
    base: String,
    key: String,
    options: Value,
}

impl Sdk {
    pub(super) const BOTH: [Self; 2] = [Self::Python, Self::Node];

    /// The program, its script, and where it finds the client.
    fn parts(self) -> Result<(&'static str, PathBuf, (&'static str, PathBuf))> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (program, script, variable, folder, file) = match self {
            Self::Python => {
                ("python3", "client.py", "PYTHONPATH", "sdk-python", "openai/__init__.py")
            }
            Self::Node => ("node", "client.mjs", "SDK", "sdk", "node_modules/openai/index.mjs"),
        };
        let folder = here.join("../target/tools").join(folder);
        ensure!(
            folder.join(file).is_file(),
            "OpenAI's client is missing: run `cargo xtask test`, which installs it in {}",
            folder.display()
        );
        let script = here.join("tests/system/openai").join(script);
        Ok((program, script, (variable, folder.canonicalize()?)))
    }
}

impl Client {
    pub(super) fn of(sdk: Sdk, gateway: &Weir) -> Result<Self> {
        let base = format!("{}v1", gateway.value("page")?);
        Ok(Self { sdk, base, key: "none".to_owned(), options: json!({}) })
    }

    /// One with a key.
    pub(super) fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// One that does not ask again by itself.
    pub(super) fn never_again(mut self) -> Self {
        self.options["max_retries"] = json!(0);
        self
    }

    /// One that waits so many seconds.
    pub(super) fn patient(mut self, seconds: u32) -> Self {
        self.options["timeout"] = seconds.into();
        self
    }

    /// Does one thing; what came of it.
    pub(super) async fn run(&self, what: &str, arguments: &Value) -> Result<Value> {
        let (program, script, (variable, folder)) = self.sdk.parts()?;
        let mut client = command(program, [script]);
        client
            .env(variable, folder)
            .env("HOME", "/nonexistent")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = client.kill_on_drop(true).spawn()?;
        let task = json!({
            "do": what, "base": self.base, "key": self.key, "client": self.options,
            "arguments": arguments,
        });
        let mut input = child.stdin.take().context("its input")?;
        input.write_all(task.to_string().as_bytes()).await?;
        drop(input);
        let output = timeout(PATIENCE, child.wait_with_output()).await.context("it hangs")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{:?} failed: {said}", self.sdk);
        serde_json::from_slice(&output.stdout).with_context(|| format!("it wrote no JSON: {said}"))
    }
}

/// Waits until the model's n-th call has ended before its answer had.
pub(super) async fn ended(model: &FakeModel, call: usize) -> Result<()> {
    let ended = async {
        while model.calls().get(call).is_none_or(|it| it.ended.is_none()) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ended).await.context("the model goes on")
}
