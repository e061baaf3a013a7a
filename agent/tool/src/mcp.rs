//! Tools of MCP servers: which there are, whether they can be believed, and
//! calling them.
//!
//! Refuses servers that want something of the agent, and tools that are not
//! what the operator, or the first look, has seen.

mod call;
mod client;
mod content;
mod hidden;
mod http;
mod keeper;
mod link;
mod list;
mod name;
mod pins;
mod stdio;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use process::Lifecycle;
use secrecy::SecretString;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::Effect;
pub use list::{Listed, Offer, Reason};
pub use name::check as check_name;
pub use pins::{Pins, Unusable};

use call::Remote;
use keeper::{Keeper, Shared, Told, View};

use crate::Tool;

/// Bytes of one message of a server.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// An MCP server as the operator configures it.
#[derive(Debug, Clone)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// How long a call may take without a word of progress.
    pub timeout: Duration,
    /// Its annotations of tools (read-only, idempotent, destructive) are
    /// believed.
    pub trusted: bool,
    /// The tools that are offered; empty for all.
    pub tools: Vec<String>,
}

/// How an MCP server is reached.
#[derive(Debug, Clone)]
pub enum Transport {
    /// A process that is started here and spoken to over its standard streams.
    Stdio {
        /// The program.
        command: PathBuf,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment beside `PATH` and `HOME`: it gets nothing else.
        env: BTreeMap<String, SecretString>,
    },
    /// Streamable HTTP.
    Http {
        /// Where it is.
        url: String,
        /// Sent with every request.
        headers: BTreeMap<String, SecretString>,
    },
}

/// All servers of an agent. Clones share them; when the last is dropped, and
/// when the process drains, they are disconnected and their processes end.
#[derive(Debug, Clone)]
pub struct Servers {
    all: Vec<Arc<Shared>>,
    _stop: Arc<DropGuard>,
}

/// What is known of a server.
#[derive(Debug, Clone)]
pub struct State {
    /// Its name in the configuration.
    pub server: String,
    /// The version of the protocol that is spoken with it, while connected.
    pub protocol: Option<String>,
    /// Its process, while it is connected and one of ours.
    pub process: Option<u32>,
    /// What went wrong last, while it is not connected; without secrets.
    pub problem: Option<String>,
    /// All its tools.
    pub tools: Vec<Listed>,
}

impl State {
    /// Whether its tools can be called now.
    pub fn connected(&self) -> bool {
        self.protocol.is_some()
    }
}

impl Servers {
    /// Connects to all servers in the background, for as long as it takes and
    /// again whenever one is lost. `pins` is the file with the operator's word
    /// on their tools; without one, what is seen first is believed.
    ///
    /// Draining `life` breaks off what runs: it should drain behind the turns.
    pub fn start(
        servers: BTreeMap<String, Server>,
        pins: Option<PathBuf>,
        life: Lifecycle,
    ) -> Self {
        let stop = CancellationToken::new();
        let drop_stops = stop.clone().drop_guard();
        let all = servers.into_iter().map(move |(name, config)| {
            let shared = Arc::new(Shared {
                name,
                config,
                life: life.clone(),
                view: watch::Sender::default(),
                lost: Notify::new(),
                calls: AtomicUsize::new(0),
            });
            let keeper = Keeper::new(Arc::clone(&shared), pins.clone());
            let told = Told { stop: stop.clone(), life: life.clone() };
            life.spawn_as("MCP servers", keeper.run(told));
            shared
        });
        Self { all: all.collect(), _stop: Arc::new(drop_stops) }
    }

    /// Waits until every server was tried once, at most so long; whether all
    /// were.
    pub async fn ready(&self, time: Duration) -> bool {
        let tried = self.all.iter().map(|it| async {
            let mut views = it.view.subscribe();
            // The sender lives in `self`, so that waiting cannot fail.
            drop(views.wait_for(|it| it.tried).await);
        });
        timeout(time, futures::future::join_all(tried)).await.is_ok()
    }

    /// The tools that can be used now. A snapshot: ask again for each turn. A
    /// tool of a server that was just lost is among them, and waits for it.
    pub fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let mut names = BTreeSet::new();
        let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
        for shared in &self.all {
            for judged in &shared.view.borrow().tools {
                let Some(spec) = judged.spec.clone().filter(|it| names.insert(it.name.clone()))
                else {
                    continue;
                };
                let (tool, fingerprint) =
                    (judged.listed.tool.clone(), judged.listed.fingerprint.clone());
                let shared = Arc::clone(shared);
                tools.push(Arc::new(Remote { spec, tool, fingerprint, shared }));
            }
        }
        tools
    }

    /// What is known of each server, by name.
    pub fn states(&self) -> Vec<State> {
        self.all.iter().map(|it| state(it, &it.view.borrow())).collect()
    }
}

fn state(shared: &Shared, view: &View) -> State {
    State {
        server: shared.name.clone(),
        protocol: view.live.as_ref().map(|it| it.protocol.clone()),
        process: view.live.as_ref().and_then(|it| it.process),
        problem: view.problem.as_ref().map(|it| hidden::hide(it, &shared.config.transport)),
        tools: view.tools.iter().map(|it| it.listed.clone()).collect(),
    }
}
