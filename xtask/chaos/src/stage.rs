//! The fleet under test: nats-servers, agents, workers, gateways and a model,
//! all real processes but the model, with a proxy on every link.

mod part;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use testkit::model::FakeModel;
use testkit::nats::{Cluster, Server};
use testkit::process::command;
use testkit::proxy::Proxy;
use tokio::process::Command;

pub use part::Part;

/// What of each kind there is.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// One nats-server or three.
    pub nodes: usize,
    /// Gateways.
    pub gateways: usize,
    /// Workers.
    pub workers: usize,
    /// Agents.
    pub agents: usize,
    /// Turns that a worker works on at the same time; none: its own default.
    pub slots: Option<usize>,
}

impl Plan {
    /// Three nats-servers that write through, two gateways, three workers, two
    /// agents.
    pub const FULL: Self = Self { nodes: 3, gateways: 2, workers: 3, agents: 2, slots: None };
    /// One nats-server, two gateways, two workers, one agent.
    pub const SMALL: Self = Self { nodes: 1, gateways: 2, workers: 2, agents: 1, slots: None };
}

/// The servers that keep what was promised.
#[derive(Debug)]
enum Nats {
    One(Box<Server>),
    Three(Box<Cluster>),
}

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Node(usize),
    Agent(usize),
    Gateway(usize),
    Model,
}

/// The fleet. Everything ends with it.
#[derive(Debug)]
pub struct Stage {
    nats: Nats,
    /// The model; its tokens name the call they come from.
    pub model: FakeModel,
    /// The processes, by role and number.
    pub gateways: Vec<Part>,
    /// Those that take jobs.
    pub workers: Vec<Part>,
    /// Those that answer.
    pub agents: Vec<Part>,
    links: BTreeMap<String, (Place, Arc<Proxy>)>,
    binary: PathBuf,
    nodes: usize,
}

impl Stage {
    /// Starts the fleet from this `weir` binary.
    pub async fn start(binary: PathBuf, plan: Plan) -> Result<Self> {
        let nats = match plan.nodes {
            1 => Nats::One(Box::new(Server::start().await?)),
            _ => Nats::Three(Box::new(Cluster::start_durable().await?)),
        };
        Self::start_on(nats, binary, plan).await
    }

    /// The same on three nats-servers whose stores are in `folder`.
    pub async fn start_in(folder: &Path, binary: PathBuf, plan: Plan) -> Result<Self> {
        let nats = Nats::Three(Box::new(Cluster::start_durable_in(folder).await?));
        Self::start_on(nats, binary, Plan { nodes: 3, ..plan }).await
    }

    async fn start_on(nats: Nats, binary: PathBuf, plan: Plan) -> Result<Self> {
        let mut stage = Self {
            nats,
            model: FakeModel::start().await?,
            gateways: Vec::new(),
            workers: Vec::new(),
            agents: Vec::new(),
            links: BTreeMap::new(),
            binary,
            nodes: plan.nodes,
        };
        for at in 0..plan.agents {
            stage.add_agent(at).await?;
        }
        for at in 0..plan.workers {
            stage.add_worker(at, plan.slots, Vec::new()).await?;
        }
        for at in 0..plan.gateways {
            stage.add_gateway(at).await?;
        }
        Ok(stage)
    }

    /// The `weir` binary.
    pub fn binary(&self) -> &PathBuf {
        &self.binary
    }

    /// How many nats-servers there are.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// One of the nats-servers.
    pub fn node(&mut self, at: usize) -> &mut Server {
        match &mut self.nats {
            Nats::One(server) => server,
            Nats::Three(cluster) => cluster.node(at),
        }
    }

    /// The three servers as one; an error when there is one only.
    pub fn cluster(&mut self) -> Result<&mut Cluster> {
        match &mut self.nats {
            Nats::Three(cluster) => Ok(cluster),
            Nats::One(_) => anyhow::bail!("this fleet has one nats-server"),
        }
    }

    /// The nats-server that leads the stream `LOG`.
    pub async fn leader(&mut self) -> Result<usize> {
        match &self.nats {
            Nats::One(_) => Ok(0),
            Nats::Three(cluster) => cluster.leader_of("LOG").await,
        }
    }

    /// Where clients reach each gateway.
    pub fn edges(&self) -> Vec<String> {
        let edge =
            |at| Some(format!("http://{}", self.link(&format!("client-gateway{at}"))?.address()));
        (0..self.gateways.len()).filter_map(edge).collect()
    }

    /// The proxy on a link, such as `worker1-nats0`, `workers-agent0`,
    /// `agent1-model` or `client-gateway0`.
    pub fn link(&self, name: &str) -> Option<&Arc<Proxy>> {
        self.links.get(name).map(|it| &it.1)
    }

    /// The names of all links.
    pub fn links(&self) -> Vec<&str> {
        self.links.keys().map(String::as_str).collect()
    }

    /// All processes.
    pub fn parts(&mut self) -> impl Iterator<Item = &mut Part> {
        self.agents.iter_mut().chain(&mut self.workers).chain(&mut self.gateways)
    }

    /// Points links at the places where processes listen now; after a restart.
    pub fn aim(&self) -> Result<()> {
        for (place, proxy) in self.links.values() {
            let part = match *place {
                Place::Agent(at) => self.agents.get(at),
                Place::Gateway(at) => self.gateways.get(at),
                Place::Node(_) | Place::Model => None,
            };
            if let Some(address) = part.map(Part::address).transpose()?.flatten() {
                proxy.aim(address);
            }
        }
        Ok(())
    }

    /// Appends of fenced attempts that the log refused, as the workers say.
    pub fn fenced(&self) -> usize {
        self.workers.iter().map(|it| it.said("attempt.fenced").len()).sum()
    }

    async fn add_agent(&mut self, at: usize) -> Result<()> {
        let name = format!("agent{at}");
        let servers = self.servers(&name).await?;
        let model: SocketAddr = authority(&self.model.base_url())?;
        let model = self.connect(format!("{name}-model"), Place::Model, model).await?;
        let base = format!("http://{model}/v1");
        let (binary, replicas) = (self.binary.clone(), self.nodes.to_string());
        let recipe = move || {
            let mut agent =
                weir(&binary, ["agent", "--grpc", "127.0.0.1:0", "--model", "openai/script"]);
            agent.args(["--nats", &servers, "--replicas", &replicas]).env("OPENAI_BASE_URL", &base);
            agent
        };
        let part = Part::start(name, Some("grpc"), recipe).await?;
        let address = part.address()?.context("an agent listens")?;
        self.agents.push(part);
        self.connect(format!("workers-agent{at}"), Place::Agent(at), address).await?;
        Ok(())
    }

    /// One more worker, with these variables in its environment.
    pub async fn one_more_worker(&mut self, environment: Vec<(String, String)>) -> Result<()> {
        self.add_worker(self.workers.len(), None, environment).await
    }

    async fn add_worker(
        &mut self,
        at: usize,
        slots: Option<usize>,
        environment: Vec<(String, String)>,
    ) -> Result<()> {
        let name = format!("worker{at}");
        let servers = self.servers(&name).await?;
        let agent =
            |at| Some(format!("http://{}", self.link(&format!("workers-agent{at}"))?.address()));
        let agents: Vec<_> = (0..self.agents.len()).filter_map(agent).collect();
        let (binary, replicas) = (self.binary.clone(), self.nodes.to_string());
        let recipe = move || {
            let mut worker = weir(&binary, ["worker", "--nats", &servers, "--replicas", &replicas]);
            worker.args(["--agent", &agents.join(",")]).envs(environment.clone());
            if let Some(slots) = slots {
                worker.args(["--slots", &slots.to_string()]);
            }
            worker
        };
        self.workers.push(Part::start(name, None, recipe).await?);
        Ok(())
    }

    async fn add_gateway(&mut self, at: usize) -> Result<()> {
        let name = format!("gateway{at}");
        let servers = self.servers(&name).await?;
        let (binary, replicas) = (self.binary.clone(), self.nodes.to_string());
        let recipe = move || {
            let mut gateway = weir(&binary, ["gateway", "--http", "127.0.0.1:0"]);
            gateway.args(["--nats", &servers, "--replicas", &replicas]);
            gateway
        };
        let part = Part::start(name, Some("page"), recipe).await?;
        let address = part.address()?.context("a gateway listens")?;
        self.gateways.push(part);
        self.connect(format!("client-gateway{at}"), Place::Gateway(at), address).await?;
        Ok(())
    }

    /// A link of its own to each nats-server, as the URLs of one flag.
    async fn servers(&mut self, name: &str) -> Result<String> {
        let mut urls = Vec::new();
        for at in 0..self.nodes {
            let target = authority(&self.node(at).url())?;
            let link = self.connect(format!("{name}-nats{at}"), Place::Node(at), target).await?;
            urls.push(format!("nats://{link}"));
        }
        Ok(urls.join(","))
    }

    async fn connect(&mut self, name: String, to: Place, target: SocketAddr) -> Result<SocketAddr> {
        let proxy = Proxy::start(target).await?;
        let address = proxy.address();
        let taken = self.links.insert(name, (to, Arc::new(proxy)));
        ensure!(taken.is_none(), "a link has one proxy");
        Ok(address)
    }
}

fn weir<const N: usize>(binary: &PathBuf, arguments: [&str; N]) -> Command {
    command(binary, arguments)
}

/// The address in a URL.
fn authority(url: &str) -> Result<SocketAddr> {
    let (_, rest) = url.split_once("://").context("a URL has a scheme")?;
    let authority = rest.split('/').next().unwrap_or_default();
    Ok(authority.parse()?)
}
