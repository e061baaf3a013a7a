//! The edge over a real listener and the embedded broker. Turns are played by
//! a worker that appends to the log as the test tells it.

mod asking;
mod cancelling;
mod compatible;
mod harness;
mod hostile;
mod stopping;
mod watching;
mod wire;
