//! Takes a job when there is room, acquires its session, relays the agent's
//! stream into the session's log, settles.
//!
//! Keeps nothing that another worker would need: a worker may die at any line.
//! Knows no HTTP and no model.

mod agents;
mod attempt;
mod call;
mod decide;
mod hear;
pub mod metrics;
#[cfg(test)]
mod model;
mod park;
mod pending;
mod pull;
mod record;
mod relay;
mod seat;
mod secure;
mod trace;

use std::time::Duration;

pub use agents::Agent;
pub use pull::run;
pub use secure::PROTOCOLS;

/// What a worker is told.
#[derive(Debug)]
pub struct Config {
    /// Turns worked on at the same time.
    pub slots: usize,
    /// Where to ask; a session prefers the same one for as long as it answers.
    pub agents: Vec<Agent>,
    /// Attempts in a row without progress after which a job is given up.
    pub attempts: u32,
    /// How long an agent is waited for.
    pub times: Times,
    /// What becomes of the turns under way when the process drains.
    pub leaving: Leaving,
}

/// How long an attempt waits for its agent. Each wait that ends in vain ends the
/// turn as `failed`, with its own code (see [`proto::code`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For an agent that answers at all (`agent_unavailable`). 15 seconds: as
    /// long as a restart takes.
    pub patience: Duration,
    /// For the next event of an agent whose link is alive (`agent_silent`).
    /// 3 minutes: an agent says every 30 s that a turn goes on.
    pub silence: Duration,
    /// For the end of the turn in one attempt, however the agent behaves
    /// (`turn_timeout`). 15 minutes: longer than an agent itself lets a turn run.
    pub turn: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(15),
            silence: Duration::from_mins(3),
            turn: Duration::from_mins(15),
        }
    }
}

/// What a worker does with its turns when its process drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// It gives the jobs back at once; the next worker goes on where it
    /// stopped, with the same agent.
    HandOver,
    /// It works on until they end: for a process that takes the agent along.
    Finish,
}

impl Config {
    /// The defaults for these agents: 256 slots, 5 attempts, the times of
    /// [`Times::default`], and turns are handed over.
    pub fn new(agents: Vec<Agent>) -> Self {
        Self {
            slots: 256,
            agents,
            attempts: 5,
            times: Times::default(),
            leaving: Leaving::HandOver,
        }
    }
}

/// Why a worker cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of an agent is not a URL.
    #[error("agent {url:?} is not a URL like http://127.0.0.1:50051 or https://agent:50051")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// No certificate could have the name that an agent should have.
    #[error("{name:?} is neither a DNS name nor an address that an agent's certificate could have")]
    BadName {
        /// What was given.
        name: String,
    },
    /// There is nobody to ask.
    #[error("no agent was given")]
    NoAgent,
    /// There is no room for any job.
    #[error("a worker needs at least one slot")]
    NoSlot,
    /// The broker refused for good.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}
