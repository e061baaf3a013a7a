//! The catalogue: what is done to a fleet, and what must hold all the same.

mod c1;
mod c10;
mod c11;
mod c12;
mod c14;
mod c16;
mod c17;
mod c18;
mod c2;
mod c20;
mod c22;
mod c23;
mod c24;
mod c25;
mod c28;
mod c29;
mod c4;
mod c5;
mod c6;
mod c8;
mod c9;
mod gateway_kill;
mod weather;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::future::BoxFuture;

use crate::load::Load;
use crate::oracle;
use crate::score::Score;
use crate::sitting::Tale;
use crate::stage::Stage;

/// How long a job stays with a worker that shows no progress.
const LEASE: Duration = Duration::from_secs(3);

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

impl Scenario {
    /// Whether it has no end of its own, and lasts as long as it is told to.
    pub fn lasts(&self) -> bool {
        self.name == "weather"
    }
}

/// Every scenario, in the order in which they are run.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "weather",
        what: "every kind of fault, one after the other, under mixed load",
        run: |ground| Box::pin(weather::run(ground)),
    },
    Scenario {
        name: "C1",
        what: "a worker is held for two leases and wakes with words to write",
        run: |ground| Box::pin(c1::run(ground)),
    },
    Scenario {
        name: "C2",
        what: "a worker is killed every 3 s while 200 turns run",
        run: |ground| Box::pin(c2::run(ground)),
    },
    Scenario {
        name: "C4",
        what: "a worker stops between the end of a turn and its acknowledgement",
        run: |ground| Box::pin(c4::run(ground)),
    },
    Scenario {
        name: "C5",
        what: "the leader of the log is killed while 64 answers are told",
        run: |ground| Box::pin(c5::run(ground)),
    },
    Scenario {
        name: "C6",
        what: "the leader is held; two are held, the third is killed, the held swap",
        run: |ground| Box::pin(c6::run(ground)),
    },
    Scenario {
        name: "C8",
        what: "all three nats-servers are killed at once",
        run: |ground| Box::pin(c8::run(ground)),
    },
    Scenario {
        name: "C9",
        what: "the nats-servers are restarted one after the other under load",
        run: |ground| Box::pin(c9::run(ground)),
    },
    Scenario {
        name: "C10",
        what: "the disks of the nats-servers run full: one, then all",
        run: |ground| Box::pin(c10::run(ground)),
    },
    Scenario {
        name: "C11",
        what: "the log of one nats-server is damaged, and it leads",
        run: |ground| Box::pin(c11::run(ground)),
    },
    Scenario {
        name: "C12",
        what: "a gateway dies between storing a question and saying so; asked again elsewhere",
        run: |ground| Box::pin(c12::run(ground)),
    },
    Scenario {
        name: "C14",
        what: "1,000 readers cut at random, and one cut at every frame, resumed elsewhere",
        run: |ground| Box::pin(c14::run(ground)),
    },
    Scenario {
        name: "C16",
        what: "live messages are lost, one in ten and always a turn's last",
        run: |ground| Box::pin(c16::run(ground)),
    },
    Scenario {
        name: "C17",
        what: "100 readers that stand still and one of 1 B/s, among 200 normal ones",
        run: |ground| Box::pin(c17::run(ground)),
    },
    Scenario {
        name: "C18",
        what: "5,000 readers of sessions in which nothing happens",
        run: |ground| Box::pin(c18::run(ground)),
    },
    Scenario {
        name: "C20",
        what: "the link to an agent becomes a black hole in the middle of answers",
        run: |ground| Box::pin(c20::run(ground)),
    },
    Scenario {
        name: "C22",
        what: "1,000 cancels, every other one aimed at the end of the answer",
        run: |ground| Box::pin(c22::run(ground)),
    },
    Scenario {
        name: "C23",
        what: "sessions are erased while they speak, workers die, ids are used again",
        run: |ground| Box::pin(c23::run(ground)),
    },
    Scenario {
        name: "C24",
        what: "every part of the fleet replaced, one after the other, under load",
        run: |ground| Box::pin(c24::run(ground)),
    },
    Scenario {
        name: "C25",
        what: "up to three times as many questions as can be answered",
        run: |ground| Box::pin(c25::run(ground)),
    },
    Scenario {
        name: "C28",
        what: "the wall clock of a worker jumps by an hour, both ways",
        run: |ground| Box::pin(c28::run(ground)),
    },
    Scenario {
        name: "C29",
        what: "many jobs wait while there is no worker, and then there are",
        run: |ground| Box::pin(c29::run(ground)),
    },
    Scenario {
        name: "gateway-kill",
        what: "a gateway with many readers dies: how soon they hear on elsewhere",
        run: |ground| Box::pin(gateway_kill::run(ground)),
    },
];

/// Lets a load end, and judges what its sessions tell.
async fn judged(stage: &Stage, load: Load, score: &mut Score) -> Vec<Tale> {
    let again = load.again();
    let tales = load.stop().await;
    if let Some(why) = again.first() {
        score.figure("asked again", format!("{} questions; the first: {why}", again.len()));
    }
    stage.model.settle().await;
    oracle::judge(&tales, &stage.model.calls(), score);
    score.fenced = stage.fenced();
    tales
}

impl Scenario {
    /// Runs it.
    pub async fn run(&self, ground: Ground) -> Result<Score> {
        (self.run)(ground).await
    }
}
