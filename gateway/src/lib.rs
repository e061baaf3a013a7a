//! The edge: HTTP in, the broker's promises out.
//!
//! Handlers parse into types, submit, and hand a followed session to a dialect.
//! Keeps no state that another instance would need, ends no turn by itself,
//! and shows nothing that was not stored.

mod answer;
mod auth;
mod caller;
mod cancel;
mod chat;
mod config;
mod decisions;
mod dialect;
mod edge;
mod erase;
mod events;
mod extract;
mod family;
mod guard;
mod keys;
mod listen;
mod mark;
mod memories;
mod page;
mod problem;
mod question;
mod routes;
mod session;
mod so_far;
mod status;
mod stream;
mod submit;
mod turn;
mod turns;

use broker::Broker;
use process::Lifecycle;
use tokio::net::TcpListener;

pub use config::Config;

/// Why the edge could not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener has no address: it is not a listening socket.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] std::io::Error),
}

/// Serves HTTP/1.1 and HTTP/2 (with prior knowledge) on a listener until the
/// process drains. Open connections finish under the lifecycle after that.
pub async fn serve(
    config: Config,
    broker: Broker,
    listener: TcpListener,
    life: Lifecycle,
) -> Result<(), Error> {
    let local = listener.local_addr()?;
    let limits = config.clone();
    let edge = edge::Edge::new(config, broker, life.clone(), local);
    listen::run(&limits, listener, routes::router(edge), &life).await;
    Ok(())
}
