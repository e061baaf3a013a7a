//! The whole system as its users meet it: the `weir` binary, real NATS, real
//! sockets, a real browser.

mod browser;
mod client;
mod configured;
mod dead_letters;
mod deciding;
mod embedded;
mod ending;
mod fleet;
mod full_disk;
mod grpc;
mod hostile;
mod killed;
mod reviewing;
mod secured;
mod stage;
mod steps_killed;
mod stopping;
mod tools;
