//! The whole system as its users meet it: the `weir` binary, real NATS, real
//! sockets, a real browser.

mod browser;
mod client;
mod embedded;
mod fleet;
mod grpc;
mod hostile;
mod stage;
