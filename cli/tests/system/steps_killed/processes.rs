//! The fleet whose parts are killed.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use testkit::nats;
use testkit::process::Weir;
use testkit::proxy::Proxy;

use super::Victim;
use super::talk::asks;
use crate::stage::{Client, weir};
use crate::tools::{Surroundings, configured};

/// The keys with which the two agents ask the model.
pub(super) const KEYS: [&str; 2] = ["sk-first", "sk-second"];
/// So many sessions are tried to find some that one agent has.
pub(super) const SESSIONS: usize = 100;

/// The processes, on one nats-server.
pub(super) struct Stage {
    nats: nats::Server,
    pub(super) around: Surroundings,
    /// In front of the server that is called `r`.
    pub(super) proxy: Proxy,
    config: String,
    pub(super) agents: Vec<Weir>,
    workers: Vec<Weir>,
    pub(super) gateway: Weir,
}

impl Stage {
    /// Two agents, one worker, one gateway.
    pub(super) async fn start() -> Result<Self> {
        let (nats, around) = tokio::try_join!(nats::Server::start(), Surroundings::start())?;
        let url = around.server.url();
        let place = url.trim_start_matches("http://").trim_end_matches("/mcp").parse()?;
        let proxy = Proxy::start(place).await?;
        let config = around.configure(&format!(
            "[mcp.h]\nurl = \"{url}\"\n\
             [mcp.r]\nurl = \"http://{}/mcp\"\ntrusted = true\n\
             [tools.rules]\n\"t__*\" = \"allow\"",
            proxy.address()
        ))?;
        let free: SocketAddr = "127.0.0.1:0".parse()?;
        let (one, two, gateway) = tokio::try_join!(
            agent(&nats, &config, free, KEYS[0]),
            agent(&nats, &config, free, KEYS[1]),
            Weir::start(weir(&["gateway", "--nats", &nats.url(), "--http", "127.0.0.1:0"])),
        )?;
        let agents = vec![one, two];
        let mut stage = Self { nats, around, proxy, config, agents, workers: Vec::new(), gateway };
        stage.add_worker().await?;
        Ok(stage)
    }

    pub(super) async fn add_worker(&mut self) -> Result<()> {
        let agents: Result<Vec<_>> =
            self.agents.iter().map(|it| Ok(format!("http://{}", it.value("grpc")?))).collect();
        let agents = agents?.join(",");
        let worker = weir(&["worker", "--nats", &self.nats.url(), "--agent", &agents]);
        self.workers.push(Weir::start(worker).await?);
        Ok(())
    }

    /// kill -9 of the first agent, the first worker or both, which have all the
    /// turns, or of the store; and starts what died again. There is a second
    /// worker by then.
    pub(super) async fn kill(&mut self, victim: Victim) -> Result<()> {
        self.add_worker().await?;
        if victim == Victim::Hung {
            self.agents[0].pause()?;
        } else if victim.agent() {
            self.agents[0].kill().await?;
        }
        if victim.worker() {
            self.workers[0].kill().await?;
        }
        if victim == Victim::Store {
            self.nats.kill().await?;
        }
        self.proxy.mend();
        self.around.model.release();
        self.around.server.release();
        if victim == Victim::Store {
            self.nats.launch().await?;
        }
        if victim.agent() && victim != Victim::Hung {
            self.start_agent(0).await?;
        }
        if victim.worker() {
            self.workers.remove(0);
            self.add_worker().await?;
        }
        Ok(())
    }

    /// Starts a dead agent where it was.
    pub(super) async fn start_agent(&mut self, nth: usize) -> Result<()> {
        let place = self.agents[nth].value("grpc")?.parse()?;
        self.agents[nth] = agent(&self.nats, &self.config, place, KEYS[nth]).await?;
        Ok(())
    }

    /// So many sessions that the first agent has.
    pub(super) async fn sessions(&self, many: usize) -> Result<Vec<String>> {
        let client = Client::of(&self.gateway)?;
        let mut found = Vec::new();
        for number in 0..SESSIONS {
            let session = format!("s{number}");
            let question = format!("hello {number}");
            client.ask(&session, &question).await?.read_all().await?;
            let calls = self.around.model.calls();
            let asked = calls.iter().find(|it| asks(it, &question)).context("a call")?;
            if asked.authorization == Some(format!("Bearer {}", KEYS[0])) {
                found.push(session);
            }
            if found.len() == many {
                return Ok(found);
            }
        }
        anyhow::bail!("of {SESSIONS} sessions one agent has only {found:?}")
    }
}

pub(super) async fn agent(
    nats: &nats::Server,
    config: &str,
    at: SocketAddr,
    key: &str,
) -> Result<Weir> {
    let mut agent = configured(&["agent", "--grpc", &at.to_string()], config, key);
    agent.env("NATS_URL", nats.url());
    Weir::start(agent).await
}
