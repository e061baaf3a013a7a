//! An MCP server that counts: a real streamable-HTTP server on loopback whose
//! calls are recorded outside of whoever makes them.
//!
//! Its tools are `count`, `set`, `read`, `hold`, `fail`, `big`, `binary`,
//! `slow` and those that a test adds. It refuses tools that it does not have.

mod call;
pub mod published;
mod tools;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ::process::Lifecycle;
use anyhow::{Context as _, Result};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rmcp::model::Tool;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use call::{Call, Ending};

use call::Calls;
use tools::{Handler, State};

/// A running server. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: Arc<State>,
    door: watch::Sender<Door>,
    life: Lifecycle,
}

/// Whether connections are taken, and how often all of them were cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Door {
    shut: bool,
    cuts: u64,
}

type Service = StreamableHttpService<Handler, LocalSessionManager>;

impl Server {
    /// A server on a free loopback port that speaks every version.
    pub async fn start() -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), false).await
    }

    /// One that knows only versions with a handshake and sessions.
    pub async fn start_legacy() -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), true).await
    }

    async fn start_at(address: SocketAddr, legacy: bool) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("the server cannot have {address}"))?;
        let address = listener.local_addr()?;
        let (life, door) = (Lifecycle::new(), watch::Sender::default());
        let state = Arc::new(State::new(legacy, life.clone()));
        let doors = door.subscribe();
        life.spawn(serve(listener, Arc::clone(&state), doors, life.clone()));
        Ok(Self { address, state, door, life })
    }

    /// Where it is: `http://127.0.0.1:PORT/mcp`.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Every tool call so far, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.all()
    }

    /// All calls, once there are at least `n`. An error after 30 s.
    pub async fn wait_for_calls(&self, n: usize) -> Result<Vec<Call>> {
        self.wait_for(&format!("{n} calls"), |calls| calls.len() >= n).await
    }

    /// All calls, once `seen` says so. `what` names it in the error after 30 s.
    pub async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&[Call]) -> bool + Send + Sync,
    ) -> Result<Vec<Call>> {
        self.state.calls.wait_for(what, seen).await
    }

    /// What `count` has counted.
    pub fn count(&self) -> u64 {
        self.state.count()
    }

    /// Lets every call of `hold` that waits, now or later, go on.
    pub fn release(&self) {
        self.state.calls.release();
    }

    /// Changes a tool's description, and says that the list has changed.
    pub fn describe(&self, tool: &str, description: &str) {
        self.change(|tools| {
            let found = tools.iter_mut().find(|it| it.name == tool);
            found.expect("it has the tool").description = Some(description.to_owned().into());
        });
    }

    /// Adds a tool, or puts it in the place of one of that name, and says that
    /// the list has changed. A tool that is none of its own answers its name.
    pub fn add(&self, tool: Tool) {
        self.change(|tools| {
            tools.retain(|it| it.name != tool.name);
            tools.push(tool);
        });
    }

    /// Takes a tool away, and says that the list has changed.
    pub fn remove(&self, tool: &str) {
        self.change(|tools| tools.retain(|it| it.name != tool));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Tool>)) {
        self.state.tools.send_modify(change);
    }

    /// Breaks all connections and forgets all sessions, and takes new ones.
    pub fn cut(&self) {
        self.door.send_modify(|door| door.cuts += 1);
    }

    /// Breaks all connections and takes none until [`Server::resume`].
    pub fn refuse(&self) {
        self.door.send_modify(|door| *door = Door { shut: true, cuts: door.cuts + 1 });
    }

    /// Takes connections again.
    pub fn resume(&self) {
        self.door.send_modify(|door| door.shut = false);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.life.abort();
    }
}

/// Accepts connections until it is aborted.
async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    mut doors: watch::Receiver<Door>,
    life: Lifecycle,
) {
    let mut cuts = 0;
    let mut service = service(&state);
    while let Ok((stream, _)) = listener.accept().await {
        let door = *doors.borrow_and_update();
        if door.cuts != cuts {
            cuts = door.cuts;
            service = self::service(&state);
        }
        if !door.shut {
            life.spawn(connection(stream, service.clone(), doors.clone()));
        }
    }
}

fn service(state: &Arc<State>) -> Service {
    let state = Arc::clone(state);
    let handler = move || Ok(Handler::new(Arc::clone(&state)));
    Service::new(handler, Arc::default(), StreamableHttpServerConfig::default())
}

/// Ends with its client, or when the server is cut.
async fn connection(stream: TcpStream, service: Service, mut doors: watch::Receiver<Door>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let answer = move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.handle(request).await) }
    };
    let connection = hyper::server::conn::http1::Builder::new();
    let connection = connection.serve_connection(TokioIo::new(stream), service_fn(answer));
    let cuts = doors.borrow().cuts;
    tokio::select! {
        biased;
        // An error: the server is gone, and everything with it.
        cut = doors.wait_for(|it| it.cuts != cuts) => drop(cut),
        // Its errors are the client's.
        ended = connection => drop(ended),
    }
}
