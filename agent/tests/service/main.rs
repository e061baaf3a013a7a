//! The agent as its callers see it: over a real socket, with a real store and a
//! scripted model.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod knowledge;
#[cfg(test)]
mod models;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod world;
