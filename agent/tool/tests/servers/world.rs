//! One set of servers with its owner, and waiting for what becomes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use process::{Lifecycle, Outcome};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};
use tool::mcp::{Offer, Server, Servers, State, Transport};
use tool::{Call, Output, Tool};

/// How long a wait for a state may take before it is an error.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Servers under test.
pub(crate) struct World {
    pub(crate) servers: Servers,
    pub(crate) life: Lifecycle,
}

impl World {
    pub(crate) fn start<const N: usize>(servers: [(&str, Server); N]) -> Self {
        Self::start_with(servers, None)
    }

    pub(crate) fn start_with<const N: usize>(
        servers: [(&str, Server); N],
        pins: Option<&Path>,
    ) -> Self {
        let life = Lifecycle::new();
        let servers = servers.map(|(name, server)| (name.to_owned(), server)).into();
        let servers = Servers::start(servers, pins.map(Path::to_owned), life.clone());
        Self { servers, life }
    }

    /// The state of a server, once `seen` says so.
    pub(crate) async fn wait_for(
        &self,
        server: &str,
        what: &str,
        seen: impl Fn(&State) -> bool + Send + Sync,
    ) -> State {
        let find = || self.servers.states().into_iter().find(|it| it.server == server).unwrap();
        let waited = timeout(PATIENCE, async {
            loop {
                let state = find();
                if seen(&state) {
                    return state;
                }
                sleep(PAUSE).await;
            }
        });
        waited.await.unwrap_or_else(|_elapsed| panic!("no {what}: {:?}", find()))
    }

    pub(crate) async fn connected(&self, server: &str) -> State {
        self.wait_for(server, "connection", State::connected).await
    }

    /// What the server's tool of that name is offered as, or why not.
    pub(crate) async fn offer(&self, server: &str, tool: &str, wanted: &Offer) {
        let is = |it: &State| it.tools.iter().any(|it| it.tool == tool && it.offer == *wanted);
        self.wait_for(server, &format!("{tool} as {wanted:?}"), is).await;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.servers.tools().iter().map(|it| it.spec().name.clone()).collect()
    }

    pub(crate) fn tool(&self, name: &str) -> Arc<dyn Tool> {
        let found = self.servers.tools().into_iter().find(|it| it.spec().name == name);
        found.unwrap_or_else(|| panic!("no {name}: {:?}", self.servers.states()))
    }

    /// Calls a tool as an agent does: its arguments are checked before.
    pub(crate) async fn call(&self, name: &str, arguments: Value) -> Output {
        let tool = self.tool(name);
        let arguments = tool::arguments(tool.spec(), &arguments.to_string()).unwrap();
        let called = timeout(PATIENCE, tool.call(call(arguments))).await;
        called.unwrap_or_else(|_elapsed| panic!("{name} does not end"))
    }

    /// The text of a call that goes well.
    pub(crate) async fn said(&self, name: &str, arguments: Value) -> String {
        let output = self.call(name, arguments).await;
        assert!(!output.is_error && !output.unknown, "{output:?}");
        output.text
    }

    /// Drains, and everything ends by itself.
    pub(crate) async fn drain(self) {
        self.life.drain();
        assert_eq!(self.life.wait(PATIENCE).await, Ok(Outcome::Drained));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.life.abort();
    }
}

pub(crate) fn call(arguments: Map<String, Value>) -> Call {
    let session = proto::Session::parse("u", "s").unwrap();
    Call { session, id: "c".to_owned(), arguments }
}

/// A trusted server with ten seconds for a call.
pub(crate) fn server(transport: Transport) -> Server {
    Server { transport, timeout: Duration::from_secs(10), trusted: true, tools: Vec::new() }
}

pub(crate) fn http(url: &str) -> Server {
    server(Transport::Http { url: url.to_owned(), headers: BTreeMap::new() })
}

pub(crate) fn stdio(command: impl Into<PathBuf>, args: &[&str], env: &[(&str, &str)]) -> Server {
    let args = args.iter().map(|it| (*it).to_owned()).collect();
    let env = env.iter().map(|(name, it)| ((*name).to_owned(), SecretString::from(*it))).collect();
    server(Transport::Stdio { command: command.into(), args, env })
}

/// A program of ours that speaks on its standard streams.
pub(crate) fn script(source: &str) -> Server {
    stdio("python3", &["-u", "-c", source], &[])
}
