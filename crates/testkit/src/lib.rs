//! What tests and benches stand on: real servers, real processes, a scripted
//! model and a browser. Development only.

pub mod browser;
pub mod model;
pub mod nats;
pub mod process;
pub mod sse;
