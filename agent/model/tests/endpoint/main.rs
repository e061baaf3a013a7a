//! Models over real connections: what endpoints do, well and badly, and what is
//! made of it.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod server;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod tools;
