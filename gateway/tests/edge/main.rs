//! The edge over a real listener and the embedded broker. Turns are played by
//! a worker that appends to the log as the test tells it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asking;
mod browser;
mod cancelling;
mod compatible;
mod decisions;
mod draining;
mod erasing;
mod expiring;
mod harness;
mod hostile;
mod keys;
mod memories;
mod nats;
mod racing;
mod stalling;
mod stopping;
mod watching;
mod weak;
mod wire;
