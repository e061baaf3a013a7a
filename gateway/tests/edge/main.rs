//! The edge over a real listener and the embedded broker. Turns are played by
//! a worker that appends to the log as the test tells it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent_family;
mod asking;
mod authenticating;
mod browser;
mod cancelling;
mod compatible;
mod decisions;
mod documented;
mod draining;
mod encrypted;
mod erasing;
mod expiring;
mod floods;
mod framing;
mod harness;
mod hostile;
mod key_sets;
mod keys;
mod limits;
mod me;
mod measured;
mod memories;
mod nats;
mod openai;
mod page;
mod racing;
mod replacing;
mod sessions;
mod socket;
mod stalling;
mod status;
mod stopping;
mod tickets;
mod tokens;
mod transcripts;
mod watching;
mod weak;
mod wire;
