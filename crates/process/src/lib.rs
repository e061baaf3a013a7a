//! What every process needs to live and stop: tasks with an owner, telemetry,
//! the clock and the environment.
//!
//! Knows nothing of sessions, brokers or HTTP routes.

pub mod clock;
pub mod environment;
mod lifecycle;
mod telemetry;

pub use lifecycle::{Died, Lifecycle, Outcome};
pub use telemetry::telemetry;
