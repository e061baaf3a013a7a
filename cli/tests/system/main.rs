//! The whole system as its users meet it: the `weir` binary, real NATS, real
//! sockets, a real browser.

mod browser;
mod client;
mod dead_letters;
mod embedded;
mod ending;
mod fleet;
mod full_disk;
mod grpc;
mod hostile;
mod killed;
mod secured;
mod stage;
mod stopping;
