//! What every process needs to live and stop: tasks with an owner, telemetry,
//! metrics, the admin address, amounts, the clock and the environment.
//!
//! Knows nothing of sessions, brokers or HTTP routes.

pub mod admin;
pub mod amount;
pub mod clock;
pub mod environment;
mod files;
mod lifecycle;
pub mod metrics;
pub mod telemetry;
pub mod trace;

pub use files::{file_limit, raise_file_limit};
pub use lifecycle::{Died, Lifecycle, Outcome};
pub use telemetry::{Telemetry, telemetry};
