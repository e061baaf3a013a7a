//! The same connections in TLS. Many shake hands at once, so that none waits for
//! one that stands still; those who may not come in are named in the log, with
//! the reason.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tls::Reasons;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// What is spoken above TLS: what a certificate is opened for.
pub const PROTOCOLS: &[&[u8]] = &[b"h2"];

/// What handshakes may take of an agent.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// How many may be under way. More wait to be accepted.
    most: usize,
    /// How long each may take.
    patience: Duration,
}

const BOUNDS: Bounds = Bounds { most: 1024, patience: Duration::from_secs(5) };

/// Shakes hands on each connection; those that come to nothing are left out.
pub fn secured(
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + 'static,
    tls: tls::Server,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> + Send + 'static {
    within(BOUNDS, incoming, tls)
}

fn within(
    bounds: Bounds,
    incoming: impl Stream<Item = io::Result<TcpStream>> + Send + 'static,
    tls: tls::Server,
) -> impl Stream<Item = io::Result<TlsStream<TcpStream>>> + Send + 'static {
    let refused = Arc::new(Reasons::default());
    incoming
        .map(move |stream| shake(stream, tls.clone(), bounds.patience, Arc::clone(&refused)))
        .buffer_unordered(bounds.most)
        .filter_map(|stream| std::future::ready(stream.map(Ok)))
}

async fn shake(
    stream: io::Result<TcpStream>,
    tls: tls::Server,
    patience: Duration,
    refused: Arc<Reasons>,
) -> Option<TlsStream<TcpStream>> {
    let stream = stream.ok()?;
    let address = stream.peer_addr().ok()?;
    let why = match timeout(patience, tls.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        // A port that is only looked at, as by a probe.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "the handshake took too long".to_owned(),
    };
    if refused.is_news(&why) {
        tracing::warn!(client.address = %address, why, "a client is not let in");
    }
    None
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use testkit::nats::Authority;
    use tls::{Client, Identity, Server, ServerName};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// How long a client has to wait behind two that stand still.
    async fn waits(most: usize) -> Duration {
        let authority = Authority::new().unwrap();
        let (chain, key) = authority.vouch("agent").unwrap();
        let server = Server::open(Identity { chain, key }, None, PROTOCOLS).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { most, patience: PATIENCE };
        let mut incoming = pin!(within(bounds, crate::incoming(listener), server));
        let stalled = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let client = Client::open(Some(authority.ca()), None, PROTOCOLS).unwrap();
        let began = Instant::now();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let shaken = async { tokio::join!(client.connect(name, stream), incoming.next()) };
        let (ours, theirs) = timeout(PATIENCE * 5, shaken).await.expect("one gets through");
        ours.unwrap();
        theirs.unwrap().unwrap();
        drop(stalled);
        began.elapsed()
    }

    #[tokio::test]
    async fn handshakes_are_made_side_by_side_in_time_and_not_too_many_at_once() {
        assert!(waits(3).await < PATIENCE / 2);
        assert!(waits(2).await > PATIENCE / 2);
    }
}
