//! Weir's contract: the messages of `weir.v1` with their canonical JSON, and
//! the ids that name users, sessions and turns.
//!
//! Knows no transport beyond the generated gRPC stubs, and stores nothing.

mod chain;
pub mod code;
mod id;
mod kind;
mod moment;
mod place;
pub mod review;
mod v1;

pub use id::{InvalidId, MAX_ID_BYTES, Session, SessionId, TurnId, UserId};
pub use moment::{Timestamp, timestamp};
pub use v1::*;

/// The version written into every stored [`Job`], [`Entry`] and record.
pub const FORMAT: u32 = 1;

/// The encoded `FileDescriptorSet` of the contract, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
