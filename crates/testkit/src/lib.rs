//! What tests and benches stand on: real servers, real processes, a scripted
//! model and a browser. Development only.

pub mod browser;
pub mod collector;
pub mod cost;
mod journal;
pub mod mcp;
pub mod model;
pub mod nats;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod sse;
pub mod terminal;

/// How long a wait for a state may take before it is an error.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
