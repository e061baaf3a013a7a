//! The edge: HTTP in, the broker's promises out.
//!
//! Handlers parse into types, submit, and hand a followed session to a dialect.
//! Keeps no state that another instance would need, ends no turn by itself,
//! and shows nothing that was not stored.

mod access;
mod agent;
mod answer;
pub mod auth;
mod caller;
mod cancel;
mod chat;
pub mod config;
mod decisions;
mod dialect;
mod document;
mod edge;
mod entries;
mod erase;
mod events;
mod extract;
mod family;
mod guard;
mod keys;
mod leaving;
mod limits;
mod listen;
mod mark;
mod me;
mod memories;
pub mod metrics;
mod openai;
mod page;
mod peer;
mod places;
mod problem;
mod question;
mod record;
mod rename;
mod replacing;
mod routes;
mod session;
mod sessions;
mod so_far;
mod socket;
mod standing;
mod status;
mod stream;
mod submit;
mod trace;
mod transcript;
mod turn;
mod turns;

use broker::Broker;
use process::Lifecycle;
use tokio::net::TcpListener;

pub use config::Config;

/// What is spoken above TLS, the preferred one first: what a certificate is
/// opened for.
pub const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Why the edge could not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener has no address: it is not a listening socket.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] std::io::Error),
}

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge, or as TLS agrees) on a
/// listener until the process drains. Open connections finish under the lifecycle after that.
pub async fn serve(
    config: Config,
    broker: Broker,
    listener: TcpListener,
    life: Lifecycle,
) -> Result<(), Error> {
    let local = listener.local_addr()?;
    let limits = config.clone();
    config.auth.watch(&life);
    let edge = edge::Edge::new(config, broker, life.clone(), local);
    listen::run(&limits, listener, routes::router(edge), &life).await;
    Ok(())
}
