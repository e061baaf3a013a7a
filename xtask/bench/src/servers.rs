//! The processes of a run: the model, and the pipeline on one broker or the
//! other.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use testkit::nats;
use testkit::process::{Weir, command};

use testkit::cost::Process;

/// How the pipeline is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gateway, workers and agent as processes over a nats-server that keeps
    /// its streams in files.
    Nats,
    /// Everything in one process, on a database file.
    Embedded,
}

/// What is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    /// Sessions that there must be room for at any one worker.
    pub(crate) sessions: u32,
    /// Worker processes, on NATS.
    pub(crate) workers: u32,
    /// Threads of each runtime; none: its own choice.
    pub(crate) threads: Option<u32>,
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
    /// The model's base URL.
    base: String,
    model: Process,
    plan: Plan,
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

    pub(crate) fn process(&self) -> Process {
        Process { name: MODEL, pid: self.0.pid() }
    }
}

/// All clients are at one address, and are to be served.
const LIMITS: &str = "[requests]\nper_address_second = 1000000\nper_address_burst = 1000000\n";

impl Servers {
    pub(crate) async fn start(model: &Model, plan: Plan) -> Result<Self> {
        let mut servers = Self {
            url: String::new(),
            weirs: Vec::new(),
            nats: None,
            base: model.base_url()?,
            model: model.process(),
            plan,
            folder: TempDir::new()?,
        };
        std::fs::write(servers.limits(), LIMITS)?;
        match plan.kind {
            Kind::Nats => servers.roles().await?,
            Kind::Embedded => servers.up().await?,
        }
        Ok(servers)
    }

    async fn roles(&mut self) -> Result<()> {
        let nats = nats::Server::start_in(self.folder.path()).await?;
        let url = nats.url();
        self.nats = Some(nats);
        let store = ["--nats", &url];
        let agent = ["agent", "--grpc", "127.0.0.1:0", "--model", "openai/script"];
        let grpc = self.add("agent", [&agent, &store[..]].concat()).await?.value("grpc")?;
        let (agent, slots) = (format!("http://{grpc}"), self.slots());
        for _ in 0..self.plan.workers {
            let worker = ["worker", "--agent", &agent, "--slots", &slots];
            self.add("worker", [&worker, &store[..]].concat()).await?;
        }
        let gateway = ["gateway", "--http", "127.0.0.1:0"];
        self.url = self.add("gateway", [&gateway, &store[..]].concat()).await?.value("page")?;
        Ok(())
    }

    async fn up(&mut self) -> Result<()> {
        let (slots, data) = (self.slots(), self.folder.path().join("data"));
        let data = data.to_str().context("a temporary path is UTF-8")?;
        let mut up = vec!["up", "--data", data, "--slots", &slots, "--model", "openai/script"];
        up.extend(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        self.url = self.add("weir", up).await?.value("page")?;
        Ok(())
    }

    async fn add(&mut self, name: &'static str, arguments: Vec<&str>) -> Result<&Weir> {
        let mut command = command(weir()?, arguments);
        command.env("OPENAI_API_KEY", "bench").env("OPENAI_BASE_URL", &self.base);
        command.env("WEIR_GATEWAY_CONFIG", self.limits());
        if let Some(threads) = self.plan.threads {
            command.env("TOKIO_WORKER_THREADS", threads.to_string());
        }
        let weir = Weir::start(command).await.context(name)?;
        self.weirs.push((name, weir));
        Ok(&self.weirs[self.weirs.len() - 1].1)
    }

    /// Where the edge reads what one address may ask.
    fn limits(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn slots(&self) -> String {
        (self.plan.sessions + 16).to_string()
    }

    /// Where questions go.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All processes, the model too.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let weirs = self.weirs.iter().map(|(name, weir)| Process { name, pid: weir.pid() });
        let nats = self.nats.as_ref().and_then(nats::Server::pid);
        let nats = nats.map(|pid| Process { name: "nats-server", pid });
        weirs.chain(nats).chain([self.model.clone()]).collect()
    }

    /// What the servers wrote on standard error.
    pub(crate) fn logs(&self) -> Vec<(&'static str, Vec<String>)> {
        self.weirs.iter().map(|(name, weir)| (*name, weir.output().stderr)).collect()
    }
}

/// The binary that was built beside this one.
fn weir() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("weir"))
}
