//! Where Weir keeps what it has promised: jobs, session logs and records.
//!
//! Three small ports, each with two implementations: JetStream (`nats`) and
//! SQLite (`sqlite`). The only crate that knows either. Decides nothing about
//! turns; it stores, orders and refuses.

mod append;
mod durability;
mod erase;
mod error;
mod follow;
mod log;
pub mod nats;
mod position;
mod queue;
mod records;
pub mod sqlite;
mod tail;
mod token;

use std::sync::Arc;

pub use append::{Outcome, append};
pub use durability::{Durability, Profile, Synced};
pub use erase::{Erased, Removed, erase};
pub use error::{Error, Result};
pub use follow::{Follow, Followed, From};
pub use log::{AppendError, Live, Log, MAX_ENTRY_BYTES, Signal, Stored};
pub use position::{Epoch, InvalidPosition, Position, Sequence};
pub use queue::{
    Admission, Delivery, Front, Lease, MAX_BUSY, MAX_JOB_BYTES, Pending, Queue, Submitted,
};
pub use records::{Bucket, Expected, InvalidKey, Key, MAX_RECORD_BYTES, Record, Records};

/// The three ports of one broker, and what it promises.
#[derive(Debug, Clone)]
pub struct Broker {
    /// Jobs.
    pub queue: Arc<dyn Queue>,
    /// Session entries.
    pub log: Arc<dyn Log>,
    /// Small keyed values.
    pub records: Arc<dyn Records>,
    /// What an acknowledgement means here.
    pub profile: Profile,
}

/// Limits and times that both implementations keep.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Unfinished jobs a session may have.
    pub queue_depth: u32,
    /// How long a delivery lives without progress.
    pub lease: std::time::Duration,
    /// How long a log entry is kept at least.
    pub retention: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_depth: 8,
            lease: std::time::Duration::from_secs(3),
            retention: std::time::Duration::from_hours(24),
        }
    }
}
