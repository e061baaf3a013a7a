//! What users remember, over the embedded store and a real nats-server.

#[cfg(test)]
mod finding;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod meaning;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod world;
