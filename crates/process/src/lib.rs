//! What every process needs to live and stop: tasks with an owner, telemetry,
//! the clock and the environment.
//!
//! Knows nothing of sessions, brokers or HTTP routes.

pub mod clock;
pub mod environment;
mod files;
mod lifecycle;
mod telemetry;

pub use files::raise_file_limit;
pub use lifecycle::{Died, Lifecycle, Outcome};
pub use telemetry::telemetry;
