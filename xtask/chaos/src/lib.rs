//! Faults on purpose: a fleet of real processes under load, a nemesis that
//! kills, holds and cuts by a seed, and an oracle that compares what clients
//! were told with what the log holds and what the model was asked.
//!
//! Knows Weir from outside only: its processes, its HTTP, its signals.

pub mod client;
pub mod copies;
pub mod load;
pub mod nemesis;
pub mod oracle;
pub mod raw;
pub mod scenario;
pub mod score;
pub mod sitting;
pub mod stage;
pub mod story;
pub mod watcher;

pub use score::Score;
