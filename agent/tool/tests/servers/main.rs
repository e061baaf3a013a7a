//! Real servers: the test kit's, published ones, and such as mean no good.
#![expect(clippy::unwrap_used, reason = "what fails ends the test")]

mod calls;
mod changes;
mod hostile;
mod published;
mod world;
