//! What the edge allows. Every limit is taken before the work it bounds.

mod file;
mod keys;
mod name;

use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;

use crate::auth::Verifier;

pub use file::Error;
pub use name::{Host, Invalid, Origin};

/// Limits and times of the edge.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names that the edge answers to: what clients call it, or a proxy passes on.
    /// While only this machine can reach it, beside those of this machine.
    pub hosts: Vec<Host>,
    /// Where pages of other sites may come from that use this edge.
    pub origins: Vec<Origin>,
    /// Proxies that are believed whom they speak for (`X-Forwarded-For`).
    pub proxies: Vec<IpNet>,
    /// The certificate, opened for [`PROTOCOLS`](crate::PROTOCOLS); in the clear
    /// without one.
    pub tls: Option<tls::Server>,
    /// Who may ask; everybody, by default.
    pub auth: Verifier,
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one peer address.
    pub connections_per_peer: usize,
    /// Open streams in all; one connection may carry several over HTTP/2.
    pub streams: usize,
    /// How long the first request head of a connection may take.
    pub head_timeout: Duration,
    /// How long a connection may idle between two requests of HTTP/1, the next
    /// head included.
    pub idle_timeout: Duration,
    /// The largest request head, in bytes; at least 8192.
    pub head_bytes: usize,
    /// Header lines in a request.
    pub headers: usize,
    /// The longest path and query, in bytes.
    pub uri_bytes: usize,
    /// How long a request body may take.
    pub body_timeout: Duration,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// Bytes of all request bodies that are being read; at least as many as one
    /// may have.
    pub bodies_bytes: usize,
    /// How long a peer may take nothing of what is sent to it before its
    /// connection is closed; a stream of HTTP/2 whose window stays shut is reset,
    /// after half of it more at most.
    pub write_timeout: Duration,
    /// How much of what is sent the system may hold for one connection, in
    /// bytes. Linux takes twice as much, for its own bookkeeping.
    pub socket_bytes: usize,
    /// How long an open connection may take to end once the process drains.
    pub drain_timeout: Duration,
    /// Silence on a stream after which a comment is sent.
    pub keep_alive: Duration,
    /// How often a WebSocket is pinged; one that leaves two pings unanswered is
    /// closed with the third.
    pub socket_ping: Duration,
    /// How long the broker may take to answer one request's calls.
    pub broker_timeout: Duration,
    /// How long a turn asked with `onDisconnect: cancel` outlives its reader.
    pub disconnect_grace: Duration,
    /// Requests of one address, a second.
    pub address_requests: NonZeroU32,
    /// How many of them may come at once.
    pub address_burst: NonZeroU32,
    /// Requests of one address with a bad credential, a minute and at once.
    pub failures: NonZeroU32,
    /// Requests of one user, a second.
    pub user_requests: NonZeroU32,
    /// How many of them may come at once.
    pub user_burst: NonZeroU32,
    /// Unfinished turns of one user, over all gateways. Looked at when a user
    /// has asked as many here as there was room for, or half of all at first.
    pub turns_per_user: NonZeroU32,
    /// Sessions of one user. Looked at together with his turns.
    pub sessions_per_user: usize,
    /// Open streams of one user.
    pub streams_per_user: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tls: None,
            auth: Verifier::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            proxies: Vec::new(),
            connections: 16_384,
            connections_per_peer: 4_096,
            streams: 16_384,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            head_bytes: 32 * 1024,
            headers: 100,
            uri_bytes: 8 * 1024,
            body_timeout: Duration::from_secs(15),
            body_bytes: 1024 * 1024,
            bodies_bytes: 128 * 1024 * 1024,
            write_timeout: Duration::from_secs(30),
            socket_bytes: 64 * 1024,
            drain_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            socket_ping: Duration::from_secs(20),
            broker_timeout: Duration::from_secs(15),
            disconnect_grace: Duration::from_secs(5),
            address_requests: at_least_one(2_000),
            address_burst: at_least_one(10_000),
            failures: at_least_one(60),
            user_requests: at_least_one(100),
            user_burst: at_least_one(500),
            turns_per_user: at_least_one(32),
            sessions_per_user: 10_000,
            streams_per_user: 256,
        }
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a limit of nothing would refuse everybody")
}
