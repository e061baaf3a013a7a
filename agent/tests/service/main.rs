//! The agent as its callers see it: over a real socket, with a real store and a
//! scripted model.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod knowledge;
#[cfg(test)]
mod measured;
#[cfg(test)]
mod models;
#[cfg(test)]
mod prompts;
#[cfg(test)]
mod published;
#[cfg(test)]
mod replacing;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod world;
