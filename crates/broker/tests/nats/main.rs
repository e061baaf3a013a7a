//! What only the JetStream implementation promises: what it refuses at start,
//! and what becomes of jobs, entries and readers when servers die.

#[cfg(test)]
mod faults;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod login;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod start;
#[cfg(test)]
mod synced;
#[cfg(test)]
mod three_nodes;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod world;
