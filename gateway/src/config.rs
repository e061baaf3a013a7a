//! What the edge allows. Every limit is taken before the work it bounds.

use std::time::Duration;

/// Limits and times of the edge.
#[derive(Debug, Clone)]
pub struct Config {
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
    /// How long the broker may take to answer one request's calls.
    pub broker_timeout: Duration,
    /// How long a turn asked with `onDisconnect: cancel` outlives its reader.
    pub disconnect_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
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
            write_timeout: Duration::from_secs(30),
            socket_bytes: 64 * 1024,
            drain_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(15),
            broker_timeout: Duration::from_secs(15),
            disconnect_grace: Duration::from_secs(5),
        }
    }
}
