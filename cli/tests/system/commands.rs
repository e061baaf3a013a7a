//! The terminal's commands as scripts, pipes and people use them, against the
//! whole system in one process.

mod asking;
mod completing;
mod files;
mod keeping;
mod pipes;
mod terminal;
mod waiting;

use std::fs::File;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use testkit::model::{FakeModel, Script};
use testkit::process::{Output, Weir};
use tokio::process::Command;

use crate::stage::{Client, up, weir};

/// What a command leaves behind.
type Ended = (Option<i32>, Output);

/// A server with a model that does what its questions say, and its clients.
struct Stage {
    model: FakeModel,
    server: Weir,
    folder: TempDir,
}

impl Stage {
    async fn start() -> Result<Self> {
        let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
        let file = folder.path().join("agent.toml");
        std::fs::write(folder.path().join("key"), "sk-1\n")?;
        let text = format!(
            "model = \"mine/script\"\n[providers.mine]\nbase_url = \"{}\"\nkey_file = \"key\"\n\
             [tools.rules]\nremember = \"review\"\n",
            model.base_url()
        );
        std::fs::write(&file, text)?;
        let server = up(&["--ephemeral", "--config", &file.display().to_string()]).await?;
        Ok(Self { model, server, folder })
    }

    /// A client's command, as the tests' user.
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = weir(arguments);
        command.env("WEIR_SERVER", self.server.value("page")?).env("WEIR_USER", "test_user");
        Ok(command)
    }

    async fn run(&self, arguments: &[&str]) -> Result<Ended> {
        Weir::run(self.command(arguments)?).await
    }

    /// The same with these bytes on standard input.
    async fn fed(&self, arguments: &[&str], bytes: &[u8]) -> Result<Ended> {
        let mut command = self.command(arguments)?;
        command.stdin(Stdio::from(File::open(self.file("stdin", bytes)?)?));
        Weir::run(command).await
    }

    /// Writes a file of the test's own; its path.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path.display().to_string())
    }

    /// Runs what must do well; its standard output.
    async fn good(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let (code, output) = self.run(arguments).await?;
        ensure!(code == Some(0), "{arguments:?}: {code:?} {output:?}");
        Ok(output.stdout)
    }

    /// The same, read as JSON, a value a line.
    async fn json(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        values(&self.good(arguments).await?)
    }

    fn client(&self) -> Result<Client> {
        Client::of(&self.server)
    }
}

/// Lines of JSON.
fn values(lines: &[String]) -> Result<Vec<Value>> {
    lines.iter().map(|it| serde_json::from_str(it).with_context(|| it.clone())).collect()
}

/// A field of each value, as text.
fn column<'a>(values: &'a [Value], name: &str) -> Vec<&'a str> {
    values.iter().map(|it| it[name].as_str().unwrap_or_default()).collect()
}

/// The answer speaks three tokens and holds then.
fn held() -> String {
    Script { tokens: Some(9), hold_after: Some(3), ..Script::default() }.question()
}
