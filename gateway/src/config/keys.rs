//! The keys of the edge's configuration file, in one list: what reads a file
//! and what writes one walk it alike.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use process::amount::{Size, Time};

use super::Config;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// Goes along the keys, section by section.
pub(super) trait Walk {
    /// The keys that follow belong to this section.
    fn section(&mut self, name: &'static str);
    fn number(&mut self, key: &'static str, value: &mut usize, range: RangeInclusive<usize>);
    fn rate(&mut self, key: &'static str, value: &mut NonZeroU32);
    fn size(&mut self, key: &'static str, value: &mut Size, range: RangeInclusive<usize>);
    fn time(&mut self, key: &'static str, value: &mut Time, range: RangeInclusive<Duration>);
    /// A list of texts, each of which must be what `kind` says.
    fn list<T: Listed>(&mut self, key: &'static str, value: &mut Vec<T>);
}

/// What can stand in a list, written as a text.
pub(super) trait Listed: Sized {
    /// What is expected, for the error.
    const KIND: &'static str;
    fn read(text: &str) -> Option<Self>;
    fn written(&self) -> String;
}

/// All keys.
pub(super) fn walk(config: &mut Config, walk: &mut impl Walk) {
    network(config, walk);
    connections(config, walk);
    requests(config, walk);
    users(config, walk);
}

fn network(config: &mut Config, walk: &mut impl Walk) {
    walk.section("network");
    walk.list("hosts", &mut config.hosts);
    walk.list("origins", &mut config.origins);
    walk.list("proxies", &mut config.proxies);
}

fn connections(config: &mut Config, walk: &mut impl Walk) {
    walk.section("connections");
    walk.number("total", &mut config.connections, 1..=1_000_000);
    walk.number("per_address", &mut config.connections_per_peer, 1..=1_000_000);
    time(walk, "head_timeout", &mut config.head_timeout, MINUTE);
    time(walk, "idle_timeout", &mut config.idle_timeout, HOUR);
    time(walk, "write_timeout", &mut config.write_timeout, HOUR);
    time(walk, "drain_timeout", &mut config.drain_timeout, HOUR);
    size(walk, "send_buffer", &mut config.socket_bytes, 4 << 10..=16 << 20);
}

fn requests(config: &mut Config, walk: &mut impl Walk) {
    walk.section("requests");
    size(walk, "head", &mut config.head_bytes, 8 << 10..=1 << 20);
    walk.number("headers", &mut config.headers, 16..=1000);
    size(walk, "uri", &mut config.uri_bytes, 1 << 10..=64 << 10);
    size(walk, "body", &mut config.body_bytes, 16 << 10..=16 << 20);
    size(walk, "bodies", &mut config.bodies_bytes, 16 << 20..=2 << 30);
    time(walk, "body_timeout", &mut config.body_timeout, HOUR);
    time(walk, "broker_timeout", &mut config.broker_timeout, MINUTE);
    walk.rate("per_address_second", &mut config.address_requests);
    walk.rate("per_address_burst", &mut config.address_burst);
    walk.rate("bad_credentials_minute", &mut config.failures);
}

fn users(config: &mut Config, walk: &mut impl Walk) {
    walk.section("users");
    walk.rate("requests_second", &mut config.user_requests);
    walk.rate("requests_burst", &mut config.user_burst);
    walk.rate("turns", &mut config.turns_per_user);
    walk.number("sessions", &mut config.sessions_per_user, 1..=1_000_000);
    walk.number("streams", &mut config.streams_per_user, 1..=1_000_000);
    walk.section("streams");
    walk.number("total", &mut config.streams, 1..=1_000_000);
    time(walk, "keep_alive", &mut config.keep_alive, HOUR);
    time(walk, "ping", &mut config.socket_ping, HOUR);
    time(walk, "disconnect_grace", &mut config.disconnect_grace, HOUR);
}

fn time(walk: &mut impl Walk, key: &'static str, value: &mut Duration, most: Duration) {
    let mut time = Time(*value);
    walk.time(key, &mut time, Duration::from_millis(10)..=most);
    *value = time.0;
}

fn size(walk: &mut impl Walk, key: &'static str, value: &mut usize, range: RangeInclusive<usize>) {
    let mut size = Size(*value);
    walk.size(key, &mut size, range);
    *value = size.0;
}
