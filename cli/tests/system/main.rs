//! The whole system as its users meet it: the `weir` binary, real NATS, real
//! sockets, a real browser.

mod agent_family;
mod browser;
mod certified;
mod chats;
mod client;
mod configured;
mod dead_letters;
mod deciding;
mod documented;
mod embedded;
mod ending;
mod fleet;
mod full_disk;
mod grpc;
mod hostile;
mod isolation;
mod keys;
mod killed;
mod listing;
mod openai;
mod reviewing;
mod secured;
mod seen;
mod stage;
mod steps_killed;
mod stopping;
mod tools;
mod tracing;
