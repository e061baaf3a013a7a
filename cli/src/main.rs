//! `weir`: everything in one process, one role of it, or a client of it.
//!
//! A table of contents: what is run is in the modules. Exit codes:
//!
//! | code | a process that serves | a client |
//! | --- | --- | --- |
//! | 0 | drained: what was under way was finished or handed over | done |
//! | 1 | could not start, or a part of it died | failed |
//! | 2 | wrong usage | wrong usage |
//! | 3 | | calls wait for a decision |
//! | 124 | the grace was over; what was left was aborted | |
//! | 130 | stopped at once by a second SIGINT | stopped, or its turn was |
//! | 143 | stopped at once by a second SIGTERM | |

mod access;
mod ask;
mod banner;
mod chat;
mod client;
mod columns;
mod completions;
mod control;
mod decide;
mod doctor;
mod edge;
mod ending;
mod flags;
mod input;
mod jobs;
mod keys;
mod knowledge;
mod memory;
mod models;
mod nats;
mod output;
mod plain;
mod progress;
mod roles;
mod secure;
mod seen;
mod session;
mod sessions;
mod settings;
mod status;
mod store;
mod tail;
mod terminal;
mod tools;
mod up;
mod visit;
mod when;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use flags::{Command, Weir};
use futures::FutureExt as _;

/// How long threads may hold up a process that has ended.
const THREADS: Duration = Duration::from_secs(1);

/// What a command leaves behind.
type Ended = anyhow::Result<ExitCode>;

fn main() -> ExitCode {
    let weir = Weir::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(weir));
            runtime.shutdown_timeout(THREADS);
            ended
        }
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| ending::of_error(&error))
}

async fn run(weir: Weir) -> Ended {
    let running = match weir.command {
        None => up::run(weir.up).boxed(),
        Some(Command::Up(flags)) => up::run(*flags).boxed(),
        Some(Command::Gateway(flags)) => roles::gateway(flags).boxed(),
        Some(Command::Worker(flags)) => roles::worker(flags).boxed(),
        Some(Command::Agent(flags)) => roles::agent(flags).boxed(),
        Some(Command::Ask(flags)) => ask::run(flags).boxed(),
        Some(Command::Chat(flags)) => chat::run(flags).boxed(),
        Some(Command::Sessions(flags)) => sessions::run(*flags).boxed(),
        Some(Command::Tail(flags)) => tail::run(flags).boxed(),
        Some(Command::Decide(flags)) => decide::run(flags).boxed(),
        Some(Command::Cancel(flags)) => session::cancel(flags).boxed(),
        Some(Command::Delete(flags)) => session::delete(flags).boxed(),
        Some(Command::Memory { command }) => memory::run(command).boxed(),
        Some(Command::Jobs(flags)) => jobs::run(flags).boxed(),
        Some(Command::Tools { command }) => tools::run(command).boxed(),
        Some(Command::Knowledge { command }) => knowledge::run(command).boxed(),
        Some(Command::Keys { command }) => async { keys::run(command) }.boxed(),
        Some(Command::Status(flags)) => status::run(flags).boxed(),
        Some(Command::Doctor(flags)) => doctor::run(*flags).boxed(),
        Some(Command::Nats { command }) => nats::run(command).boxed(),
        Some(Command::Completions(flags)) => async move { completions::run(&flags) }.boxed(),
    };
    running.await
}
