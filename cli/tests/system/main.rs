//! The whole system as its users meet it: the `weir` binary, real NATS, real
//! sockets, a real browser.

mod agent_family;
mod browser;
mod certified;
mod chats;
mod chatting;
mod client;
mod commands;
mod configured;
mod dead_letters;
mod deciding;
mod doctor;
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
mod replacing;
mod reviewing;
mod secured;
mod seen;
mod stage;
mod steps_killed;
mod stopping;
mod tools;
mod tracing;
