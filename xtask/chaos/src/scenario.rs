//! The catalogue: what is done to a fleet, and what must hold all the same.

mod weather;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::score::Score;

/// What every scenario is given.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The `weir` binary.
    pub binary: PathBuf,
    /// What all choices follow.
    pub seed: u64,
    /// How long scenarios without an end of their own last.
    pub time: Duration,
}

/// A scenario under its name.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// As `--only` takes it.
    pub name: &'static str,
    /// What is done, in a line.
    pub what: &'static str,
    run: fn(Ground) -> BoxFuture<'static, Result<Score>>,
}

/// Every scenario, in the order in which they are run.
pub const ALL: &[Scenario] = &[Scenario {
    name: "weather",
    what: "every kind of fault, one after the other, under mixed load",
    run: |ground| Box::pin(weather::run(ground)),
}];

impl Scenario {
    /// Runs it.
    pub async fn run(&self, ground: Ground) -> Result<Score> {
        (self.run)(ground).await
    }
}
