//! Real nats-servers with JetStream on loopback: one, or a cluster of three.
//! Each has its own folder and dies with its handle.

mod certificates;
mod cluster;
mod shipped;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

pub use certificates::Authority;
pub use cluster::Cluster;
pub use shipped::Shipped;

/// How long a server, or a cluster, may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Tries with other ports, when somebody took one in between.
const TRIES: u32 = 5;
/// Below the range from which the kernel takes ports for outgoing connections:
/// a client that keeps dialling a dead server there can end up with itself.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// One nats-server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    node: Node,
    /// Removed when the server is gone.
    folder: Option<TempDir>,
}

/// What stays the same over restarts.
#[derive(Debug, Clone)]
struct Node {
    name: String,
    folder: PathBuf,
    port: u16,
    monitor: u16,
    /// Its own cluster port and those of all nodes.
    cluster: Option<(u16, Vec<u16>)>,
    /// Whether each write is synced before it is acknowledged.
    durable: bool,
    /// More lines for its configuration.
    extra: String,
    /// A file to start from instead of all that, and its environment.
    given: Option<(PathBuf, Vec<(String, String)>)>,
}

impl Server {
    /// Starts a server with an empty store and waits until JetStream is ready.
    ///
    /// Errors: no nats-server is found, or it does not come up in 30 seconds.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// The same with more lines in its configuration file.
    pub async fn start_with(extra: &str) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let mut server = Self::start_configured(folder.path(), extra).await?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts a server whose store and configuration are in `folder`, which is
    /// kept.
    pub async fn start_in(folder: &Path) -> anyhow::Result<Self> {
        Self::start_configured(folder, "").await
    }

    async fn start_configured(folder: &Path, extra: &str) -> anyhow::Result<Self> {
        let mut why = anyhow::anyhow!("not tried");
        for _ in 0..TRIES {
            let [port, monitor] = free_ports()?;
            let node = Node {
                name: "n1".to_owned(),
                folder: folder.to_owned(),
                port,
                monitor,
                cluster: None,
                durable: false,
                extra: extra.to_owned(),
                given: None,
            };
            let mut server = Self { child: node.spawn()?, node, folder: None };
            match server.ready(Stage::Healthy).await {
                Ok(()) => return Ok(server),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Where clients connect: `nats://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.node.port)
    }

    /// Where its monitor is: `http://127.0.0.1:<port>`.
    pub fn monitor(&self) -> String {
        format!("http://127.0.0.1:{}", self.node.monitor)
    }

    /// Kills it (SIGKILL) and waits until it is gone. The store stays.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("nats-server cannot be killed")
    }

    /// Starts it again on the same ports and store, and waits until it is
    /// ready. Kills it first when it runs.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.respawn().await?;
        self.ready(Stage::Healthy).await
    }

    /// Starts it again on the same ports and store, and does not wait: for those
    /// that are ready only together.
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        self.respawn().await
    }

    /// What it says about itself on a page of its monitor, such as
    /// `jsz?consumers=true`.
    pub async fn page(&self, page: &str) -> anyhow::Result<serde_json::Value> {
        let answer = self.node.asked(page).await.context("the monitor is silent")?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Its name in a cluster.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Where it keeps what it stores.
    pub fn store(&self) -> PathBuf {
        self.node.store()
    }

    /// Removes the store of a killed server.
    pub fn lose_store(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.store())?)
    }

    /// Stops its clock (SIGSTOP): connections stay open, nothing is answered.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it run on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to let its clients go, one after the other, and then to end (lame
    /// duck mode, SIGUSR2).
    pub fn retire(&self) -> anyhow::Result<()> {
        self.signal(Signal::USR2)
    }

    /// Waits for its end, as after [`Server::retire`]; an error after a minute.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = timeout(2 * PATIENCE, self.child.wait()).await;
        ended.with_context(|| format!("nats-server {} goes on", self.node.name))??;
        Ok(())
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    async fn respawn(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.ok();
        self.child = self.node.spawn()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.id().context("nats-server does not run")?;
        let pid = Pid::from_raw(pid.try_into()?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until the server says that it has come as far as `stage`.
    async fn ready(&mut self, stage: Stage) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("nats-server ended with {status}: {}", self.node.last_words());
            }
            if self.node.reached(stage).await {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "nats-server {} is not ready ({stage:?}): {}",
                self.node.name,
                self.node.last_words()
            );
            sleep(PAUSE).await;
        }
    }
}

impl Drop for Server {
    /// Waits for the end of the process, which would write into the folder that
    /// is about to be removed.
    fn drop(&mut self) {
        if self.child.start_kill().is_err() {
            return;
        }
        for _ in 0..2_000 {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}

/// How far a server has come.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// It serves clients and JetStream.
    Healthy,
    /// It leads a cluster of this many, all of them current.
    Leads(usize),
}

impl Node {
    fn spawn(&self) -> anyhow::Result<Child> {
        let (file, environment) = match self.given.clone() {
            Some(given) => given,
            None => (self.folder.join("nats.conf"), Vec::new()),
        };
        if self.given.is_none() {
            std::fs::write(&file, self.configuration())?;
        }
        let log = std::fs::File::create(self.log())?;
        Command::new(binary()?)
            .arg("--config")
            .arg(&file)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("nats-server cannot be started")
    }

    fn configuration(&self) -> String {
        let Self { name, port, monitor, cluster, durable, extra, folder: _, given: _ } = self;
        let sync = if *durable { ", sync_interval: always" } else { "" };
        let store = self.store().display().to_string();
        let cluster = cluster.as_ref().map_or_else(String::new, |(own, all)| {
            let routes: Vec<_> =
                all.iter().map(|it| format!("\"nats://127.0.0.1:{it}\"")).collect();
            let routes = routes.join(", ");
            format!("cluster {{ name: weir, listen: \"127.0.0.1:{own}\", routes: [{routes}], no_advertise: true }}\n")
        });
        format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{ store_dir: {store:?}, max_memory_store: 64MB, max_file_store: 16GB{sync} }}\n\
             lame_duck_grace_period: \"2s\"\n{cluster}{extra}\n"
        )
    }

    fn log(&self) -> PathBuf {
        self.folder.join("nats.log")
    }

    fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }

    async fn reached(&self, stage: Stage) -> bool {
        match stage {
            Stage::Healthy => {
                self.asked("healthz").await.is_some_and(|it| it.status().is_success())
            }
            Stage::Leads(nodes) => self.leads(nodes).await,
        }
    }

    async fn leads(&self, nodes: usize) -> bool {
        let Some(answer) = self.asked("jsz").await else {
            return false;
        };
        let Ok(Jsz { meta_cluster: Some(meta) }) = answer.json().await else {
            return false;
        };
        meta.leader == self.name
            && meta.replicas.len() + 1 == nodes
            && meta.replicas.iter().all(|it| it.current && !it.offline)
    }

    async fn asked(&self, page: &str) -> Option<reqwest::Response> {
        let url = format!("http://127.0.0.1:{}/{page}", self.monitor);
        timeout(Duration::from_secs(2), reqwest::get(url)).await.ok()?.ok()
    }
}

#[derive(Deserialize)]
struct Jsz {
    meta_cluster: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    leader: String,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

/// Ports that nobody listens on right now.
fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    use std::hash::{BuildHasher as _, RandomState};
    let mut held = Vec::new();
    let random = RandomState::new();
    for turn in 0..10_000_u32 {
        let room = u64::from(PORTS.end - PORTS.start);
        let port = PORTS.start + u16::try_from(random.hash_one(turn) % room)?;
        if let Ok(listener) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            held.push((port, listener));
        }
        if held.len() == N {
            let ports: Vec<_> = held.iter().map(|it| it.0).collect();
            return ports.try_into().ok().context("as many as asked");
        }
    }
    bail!("no free ports in {PORTS:?}")
}

/// The nats-server to run: `WEIR_NATS_SERVER`, the one in `PATH`, or the one
/// that `cargo xtask` installs under the target folder.
///
/// Errors: none is there; says how to get one.
pub fn binary() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("WEIR_NATS_SERVER").filter(|it| !it.is_empty());
    if let Some(named) = named.map(PathBuf::from) {
        ensure!(named.is_file(), "WEIR_NATS_SERVER is {}, which is not a file", named.display());
        return Ok(named);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = workspace.join("target/tools/nats/bin/nats-server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|it| it.join("nats-server"));
    in_path.chain([installed.clone()]).find(|it| it.is_file()).with_context(|| {
        format!(
            "no nats-server is found: run `cargo xtask test`, which installs one at {}, put one \
             (2.14.5 or later) into PATH, or name it in WEIR_NATS_SERVER",
            installed.display()
        )
    })
}
