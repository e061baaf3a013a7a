//! Three nats-servers that know each other and no others.

use std::path::Path;

use anyhow::bail;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{Node, PATIENCE, PAUSE, Server, Stage, TRIES, free_ports};

/// Three nats-servers with JetStream, clustered; killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    pub(super) nodes: Vec<Server>,
    /// Removed when the servers are gone.
    pub(super) _folder: Option<TempDir>,
}

impl Cluster {
    /// Starts three servers and waits until they have a leader and each other.
    ///
    /// Errors: as [`Server::start`].
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(false).await
    }

    /// The same, and each write reaches the disk before it is acknowledged
    /// (`sync_interval: always`).
    pub async fn start_durable() -> anyhow::Result<Self> {
        Self::start_with(true).await
    }

    /// The same, on stores `n0/store`, `n1/store` and `n2/store` of a folder,
    /// which is kept.
    pub async fn start_durable_in(folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Self { nodes: spawn_three(folder, true)?, _folder: None };
        cluster.ready().await?;
        Ok(cluster)
    }

    async fn start_with(durable: bool) -> anyhow::Result<Self> {
        let mut why = anyhow::anyhow!("not tried");
        for _ in 0..TRIES {
            let folder = TempDir::new()?;
            let nodes = spawn_three(folder.path(), durable)?;
            let mut cluster = Self { nodes, _folder: Some(folder) };
            match cluster.ready().await {
                Ok(()) => return Ok(cluster),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Where clients connect: the three URLs, comma separated.
    pub fn url(&self) -> String {
        let urls: Vec<_> = self.nodes.iter().map(Server::url).collect();
        urls.join(",")
    }

    /// One of the three, from 0.
    pub fn node(&mut self, at: usize) -> &mut Server {
        &mut self.nodes[at]
    }

    /// The node that leads a stream, from 0.
    ///
    /// Errors: no node says so within 30 seconds.
    pub async fn leader_of(&self, stream: &str) -> anyhow::Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for node in &self.nodes {
                if let Some(leader) = node.node.leader_of(stream).await
                    && let Some(at) = self.nodes.iter().position(|it| it.node.name == leader)
                {
                    return Ok(at);
                }
            }
            sleep(PAUSE).await;
        }
        bail!("stream {stream} has no leader")
    }

    /// Waits until all three are ready, one leads, and it sees the others.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            node.ready(Stage::Healthy).await?;
        }
        let all = self.nodes.len();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for node in &self.nodes {
                if node.node.reached(Stage::Leads(all)).await {
                    return Ok(());
                }
            }
            sleep(PAUSE).await;
        }
        bail!("the three nats-servers do not agree on a leader")
    }
}

impl Node {
    async fn leader_of(&self, stream: &str) -> Option<String> {
        let answer = self.asked("jsz?streams=true").await?;
        let page: serde_json::Value = answer.json().await.ok()?;
        let accounts = page["account_details"].as_array()?;
        let streams = accounts.iter().filter_map(|it| it["stream_detail"].as_array()).flatten();
        let mut named = streams.filter(|it| it["name"] == stream);
        Some(named.next()?["cluster"]["leader"].as_str()?.to_owned())
    }
}

fn spawn_three(folder: &Path, durable: bool) -> anyhow::Result<Vec<Server>> {
    let [a, b, c, ports @ ..] = free_ports::<9>()?;
    let routes = [a, b, c];
    let mut nodes = Vec::new();
    for (at, own) in routes.into_iter().enumerate() {
        let folder = folder.join(format!("n{at}"));
        std::fs::create_dir_all(&folder)?;
        let node = Node {
            name: format!("n{at}"),
            folder,
            port: ports[at],
            monitor: ports[at + 3],
            cluster: Some((own, routes.to_vec())),
            durable,
            extra: String::new(),
            given: None,
        };
        nodes.push(Server { child: node.spawn()?, node, folder: None });
    }
    Ok(nodes)
}
