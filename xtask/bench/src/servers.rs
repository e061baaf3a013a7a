//! The processes of a run: the model, and the pipeline on one broker or the
//! other.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use testkit::nats;
use testkit::process::{Weir, command};

use crate::cost::Process;

/// How the pipeline is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gateway, workers and agent as processes over a nats-server that keeps
    /// its streams in files.
    Nats,
    /// Everything in one process, on a database file.
    Embedded,
}

/// The fake model in a process of its own.
#[derive(Debug)]
pub(crate) struct Model(Weir);

/// The pipeline. Everything ends with it.
#[derive(Debug)]
pub(crate) struct Servers {
    url: String,
    weirs: Vec<(&'static str, Weir)>,
    nats: Option<nats::Server>,
    model: u32,
    folder: TempDir,
}

/// The name of the process that is no part of the pipeline.
pub(crate) const MODEL: &str = "model";

impl Model {
    pub(crate) async fn start() -> Result<Self> {
        let myself = command(std::env::current_exe()?, ["fake-model"]);
        Ok(Self(Weir::start(myself).await?))
    }

    pub(crate) fn base_url(&self) -> Result<String> {
        self.0.value("model")
    }
}

impl Servers {
    pub(crate) async fn start(
        kind: Kind,
        model: &Model,
        workers: u32,
        sessions: u32,
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let mut servers = Self {
            url: String::new(),
            weirs: Vec::new(),
            nats: None,
            model: model.0.pid(),
            folder,
        };
        let base = model.base_url()?;
        match kind {
            Kind::Nats => servers.roles(&base, workers, sessions).await?,
            Kind::Embedded => servers.up(&base, sessions).await?,
        }
        Ok(servers)
    }

    async fn roles(&mut self, model: &str, workers: u32, sessions: u32) -> Result<()> {
        let nats = nats::Server::start_in(self.folder.path()).await?;
        let url = nats.url();
        self.nats = Some(nats);
        let store = ["--nats", &url];
        let agent = [
            &["agent", "--grpc", "127.0.0.1:0", "--model", "openai/script"],
            &store[..],
        ];
        let grpc = self
            .add("agent", agent.concat(), model)
            .await?
            .value("grpc")?;
        let (agent, slots) = (format!("http://{grpc}"), slots(sessions));
        for _ in 0..workers {
            let worker = [
                &["worker", "--agent", &agent, "--slots", &slots],
                &store[..],
            ];
            self.add("worker", worker.concat(), model).await?;
        }
        let gateway = [&["gateway", "--http", "127.0.0.1:0"], &store[..]];
        self.url = self
            .add("gateway", gateway.concat(), model)
            .await?
            .value("page")?;
        Ok(())
    }

    async fn up(&mut self, model: &str, sessions: u32) -> Result<()> {
        let (slots, data) = (slots(sessions), self.folder.path().join("data"));
        let data = data.to_str().context("a temporary path is UTF-8")?;
        let up = [
            "up",
            "--data",
            data,
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--model",
            "openai/script",
            "--slots",
            &slots,
        ];
        self.url = self.add("weir", up, model).await?.value("page")?;
        Ok(())
    }

    async fn add<A: AsRef<OsStr>>(
        &mut self,
        name: &'static str,
        arguments: impl IntoIterator<Item = A>,
        model: &str,
    ) -> Result<&Weir> {
        let mut command = command(weir()?, arguments);
        command
            .env("OPENAI_API_KEY", "bench")
            .env("OPENAI_BASE_URL", model);
        let weir = Weir::start(command).await.context(name)?;
        self.weirs.push((name, weir));
        Ok(&self.weirs[self.weirs.len() - 1].1)
    }

    /// Where questions go.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All processes, the model too.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let weirs = self.weirs.iter().map(|(name, weir)| Process {
            name,
            pid: weir.pid(),
        });
        let nats = self.nats.as_ref().and_then(nats::Server::pid);
        let nats = nats.map(|pid| Process {
            name: "nats-server",
            pid,
        });
        let model = Process {
            name: MODEL,
            pid: self.model,
        };
        weirs.chain(nats).chain([model]).collect()
    }

    /// What the servers wrote on standard error.
    pub(crate) fn logs(&self) -> Vec<(&'static str, Vec<String>)> {
        self.weirs
            .iter()
            .map(|(name, weir)| (*name, weir.output().stderr))
            .collect()
    }
}

/// Room for every session at any one worker.
fn slots(sessions: u32) -> String {
    (sessions + 16).to_string()
}

/// The binary that was built beside this one.
fn weir() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("weir"))
}
