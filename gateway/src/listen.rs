//! Accepting connections, within limits, until the process drains.
//!
//! Written by hand because the framework's own loop has no header timeout, no
//! connection cap and takes two framings at once. Survives running out of
//! descriptors; a peer that sends or takes nothing is let go. A drain closes the
//! listener at once, and gives open connections a while to end by themselves.

mod bare;
mod framing;
mod peers;
mod stall;
mod wire;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use process::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::Config;
use crate::problem::{Code, Refusal};
use peers::Peers;
use stall::{Stall, Streams, Watched};
use wire::Wire;

/// The pause after the system refused a connection for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// How often an HTTP/2 peer must show that it is there, and how fast.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Streams of one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Bytes that may wait to be sent on one HTTP/2 stream.
const SEND_BYTES: usize = 64 * 1024;

/// Serves until the drain begins; open connections live on under `life`.
pub(crate) async fn run(config: &Config, listener: TcpListener, router: Router, life: &Lifecycle) {
    let room = Arc::new(Semaphore::new(config.connections));
    let peers = Peers::new(config.connections_per_peer);
    let builder = Arc::new(builder(config, life));
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.draining() => return,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((room, stream, address)) = accepted else {
            continue;
        };
        let Some(place) = peers.enter(address.ip()) else {
            tracing::debug!(%address, "a peer has as many connections as it may have");
            continue;
        };
        let connection = Connection {
            builder: Arc::clone(&builder),
            router: router.clone(),
            life: life.clone(),
            drain_timeout: config.drain_timeout,
        };
        let wire = Wire::new(stream, config);
        life.spawn_as("connections", async move {
            connection.serve(wire).await;
            drop((room, place));
        });
    }
}

/// Waits for room, then for a connection; `None` when the system had none.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(tokio::sync::OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let room = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((room, stream, address)),
        Err(error) => {
            if !is_of_one_peer(&error) {
                tracing::warn!(%error, "cannot accept connections; trying on");
                tokio::time::sleep(PAUSE).await;
            }
            None
        }
    }
}

fn is_of_one_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

fn builder(config: &Config, life: &Lifecycle) -> Builder<Streams> {
    let head = u32::try_from(config.head_bytes).unwrap_or(u32::MAX);
    let streams = Streams { life: life.clone(), patience: config.write_timeout };
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .max_headers(config.headers)
        .max_buf_size(config.head_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(head)
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}

struct Connection {
    builder: Arc<Builder<Streams>>,
    router: Router,
    life: Lifecycle,
    drain_timeout: Duration,
}

impl Connection {
    async fn serve(self, wire: Wire) {
        let (framing, begun) = (wire.framing(), wire.begun());
        let router = self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            begun.set();
            let ambiguous = request.version() < Version::HTTP_2 && framing.is_ambiguous();
            let router = router.clone();
            async move {
                if ambiguous {
                    return Ok(refuse());
                }
                let response = router.oneshot(request.map(Body::new)).await?;
                Ok::<_, Infallible>(match Stall::here() {
                    Some(stall) => response.map(|body| Body::new(Watched { body, stall })),
                    None => response,
                })
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(wire), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.life.draining() => {
                connection.as_mut().graceful_shutdown();
                // Streams end now; what is left is a peer that takes nothing.
                match timeout(self.drain_timeout, connection).await {
                    Ok(ended) => ended,
                    Err(_elapsed) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended badly");
        }
    }
}

/// Two statements of a body's length are one too many.
fn refuse() -> Response {
    let detail = "a request must state the length of its body once";
    let mut response = Refusal::new(Code::InvalidRequest, detail).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}
