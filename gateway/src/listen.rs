//! Accepting connections, within limits, until the process drains.
//!
//! Written by hand because the framework's own loop has no header timeout, no
//! connection cap and takes two framings at once. In TLS, where there is a
//! certificate, and then nobody is served without. Survives running out of
//! descriptors; a peer that sends or takes nothing is let go. A drain closes the
//! listener at once, and gives open connections a while to end by themselves.

mod bare;
mod framing;
mod idle;
mod link;
mod requests;
mod socket;
mod stall;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use ipnet::IpNet;
use process::Lifecycle;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::peer::{self, Neighbours};
use crate::places::{Place, Places};
use crate::{Config, metrics};
use idle::Open;
use link::Link;
use requests::Requests;
use socket::Socket;
use stall::Streams;
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
    let peers = Places::new(config.connections_per_peer);
    let builder = Arc::new(builder(config, life));
    let proxies: Arc<[IpNet]> = config.proxies.as_slice().into();
    if let Some(tls) = &config.tls {
        tls.watch(life);
    }
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.draining() => return,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((room, stream, address)) = accepted else {
            continue;
        };
        // The connections of a proxy are those of all its clients.
        let is_proxy = peer::is_of(address.ip(), &proxies);
        let place = (!is_proxy).then(|| peers.enter(Neighbours::of(address.ip())));
        if matches!(place, Some(None)) {
            tracing::debug!(%address, "a peer has as many connections as it may have");
            metrics::CONNECTIONS_REFUSED.add(1, []);
            continue;
        }
        let connection = Connection {
            builder: Arc::clone(&builder),
            router: router.clone(),
            life: life.clone(),
            address,
            held: Held { _held: Arc::new((room, place.flatten(), metrics::CONNECTIONS.hold([]))) },
            proxies: Arc::clone(&proxies),
            tls: config.tls.clone(),
            head_timeout: config.head_timeout,
            idle_timeout: config.idle_timeout,
            drain_timeout: config.drain_timeout,
        };
        let socket = Socket::new(stream, config);
        life.spawn_as("connections", connection.serve(socket));
    }
}

/// Waits for room, then for a connection; `None` when the system had none.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
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

/// What a connection takes up until it is closed. Lies in the extensions of its
/// requests, for those who take the connection over.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    _held: Arc<(OwnedSemaphorePermit, Option<Place<Neighbours>>, process::metrics::Held)>,
}

struct Connection {
    builder: Arc<Builder<Streams>>,
    router: Router,
    life: Lifecycle,
    address: SocketAddr,
    held: Held,
    proxies: Arc<[IpNet]>,
    tls: Option<tls::Server>,
    head_timeout: Duration,
    idle_timeout: Duration,
    drain_timeout: Duration,
}

impl Connection {
    async fn serve(self, socket: Socket) {
        let deadline = Instant::now() + self.head_timeout;
        let link = tokio::select! {
            biased;
            () = self.life.draining() => return,
            link = Link::open(socket, self.tls.as_ref(), deadline) => link,
        };
        if let Some(link) = link {
            self.answer(Wire::new(link, deadline)).await;
        }
    }

    async fn answer(self, wire: Wire) {
        let open = Open::default();
        let requests = Requests {
            router: self.router,
            address: self.address,
            held: self.held,
            proxies: self.proxies,
            framing: wire.framing(),
            begun: wire.begun(),
            open: open.clone(),
        };
        let service = service_fn(move |request| requests.answer(request));
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(wire), service);
        let idle = open.idle(self.idle_timeout);
        tokio::pin!(connection, idle);
        let mut is_idle = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                () = self.life.draining() => {
                    connection.as_mut().graceful_shutdown();
                    // Streams end now; what is left is a peer that takes nothing.
                    match timeout(self.drain_timeout, connection.as_mut()).await {
                        Ok(ended) => break ended,
                        Err(_elapsed) => return,
                    }
                }
                () = idle.as_mut(), if !is_idle => {
                    is_idle = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection ended badly");
        }
    }
}
