//! `weir`: everything in one process, one role of it, or a client of it.
//!
//! A table of contents: what is run is in the modules. Exit codes: 0 done,
//! 1 failed, 2 wrong usage, 130 interrupted.

mod ask;
mod banner;
mod chat;
mod client;
mod flags;
mod roles;
mod store;
mod tail;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use flags::{Command, Weir};

/// What a command leaves behind.
type Ended = anyhow::Result<ExitCode>;

fn main() -> ExitCode {
    let weir = Weir::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(weir)),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        banner::error(&error);
        ExitCode::FAILURE
    })
}

async fn run(weir: Weir) -> Ended {
    match weir.command {
        None => up::run(weir.up).await,
        Some(Command::Up(flags)) => up::run(flags).await,
        Some(Command::Gateway(flags)) => roles::gateway(flags).await,
        Some(Command::Worker(flags)) => roles::worker(flags).await,
        Some(Command::Agent(flags)) => roles::agent(flags).await,
        Some(Command::Ask(flags)) => ask::run(flags).await,
        Some(Command::Chat(flags)) => chat::run(flags).await,
        Some(Command::Tail(flags)) => tail::run(flags).await,
    }
}
