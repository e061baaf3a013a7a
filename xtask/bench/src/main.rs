//! The load bench: sessions through the whole pipeline, as processes, beside
//! the same load read straight from the model in the same run. And what a
//! browser makes of a long answer.
//!
//! Started by `cargo xtask bench`. Not a test: it measures, it does not judge.

mod load;
mod page;
mod reader;
mod report;
mod servers;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use testkit::model::FakeModel;

use load::{Load, Target};
use report::Report;
use servers::{Kind, Model, Plan, Servers};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Frame times of the chat page while it shows one long answer
    Page(page::Options),
    /// The scripted model, until it is killed
    FakeModel {
        /// Its port on loopback; 0 takes a free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

/// What is measured.
#[derive(Debug, Args)]
struct Options {
    /// Concurrent sessions, one run each
    #[arg(long, value_delimiter = ',', default_value = "50,500,2000")]
    sessions: Vec<u32>,
    /// Tokens a second in each session
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// Seconds that each session speaks
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Milliseconds over which the sessions of a run begin
    #[arg(long, default_value_t = 1000)]
    ramp: u32,
    /// Which broker
    #[arg(long, value_enum, default_value_t = Brokers::Both)]
    broker: Brokers,
    /// Worker processes on NATS
    #[arg(long, default_value_t = 1)]
    workers: u32,
    /// Threads of each server's runtime [default: its own choice]
    #[arg(long)]
    threads: Option<u32>,
    /// As fast as everything goes: half a million tokens, shared by the sessions
    #[arg(long)]
    flat_out: bool,
    /// Shows what the servers wrote on standard error at the end of each run
    #[arg(long)]
    logs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Brokers {
    Nats,
    Embedded,
    Both,
    /// No pipeline: the model alone
    None,
}

/// Tokens of a run that goes flat out.
const FLAT_OUT: u32 = 500_000;

fn main() -> Result<()> {
    process::raise_file_limit();
    let Arguments { command, options } = Arguments::parse();
    match command {
        None => runtime(true)?.block_on(run(options)),
        Some(Command::Page(options)) => runtime(true)?.block_on(page::run(options)),
        Some(Command::FakeModel { port }) => runtime(false)?.block_on(fake_model(port)),
    }
}

/// The model is one thread, so that it takes no more than one core from what
/// is measured.
fn runtime(threads: bool) -> std::io::Result<tokio::runtime::Runtime> {
    let builder = if threads {
        tokio::runtime::Builder::new_multi_thread
    } else {
        tokio::runtime::Builder::new_current_thread
    };
    builder().enable_all().build()
}

async fn run(options: Options) -> Result<()> {
    let kinds: &[Kind] = match options.broker {
        Brokers::Nats => &[Kind::Nats],
        Brokers::Embedded => &[Kind::Embedded],
        Brokers::Both => &[Kind::Nats, Kind::Embedded],
        Brokers::None => &[],
    };
    for &sessions in &options.sessions {
        let load = options.load(sessions);
        let model = Model::start().await?;
        let target = Target::direct(&model.base_url()?)?;
        let direct = load.drive(&target, &[model.process()]).await?;
        report::head(&load);
        report::direct(&load, &direct);
        for &kind in kinds {
            let plan = Plan { kind, sessions, workers: options.workers, threads: options.threads };
            let servers = Servers::start(&model, plan).await?;
            let target = Target::weir(servers.url())?;
            load.warm_up().drive(&target, &[]).await?;
            let measured = load.drive(&target, &servers.processes()).await?;
            report::weir(&Report { kind, load: &load, direct: &direct, weir: &measured });
            if options.logs {
                report::logs(&servers.logs());
            }
        }
    }
    Ok(())
}

impl Options {
    fn load(&self, sessions: u32) -> Load {
        let tokens =
            if self.flat_out { FLAT_OUT.div_ceil(sessions) } else { self.rate * self.seconds };
        Load {
            sessions,
            tokens,
            every: (!self.flat_out).then(|| Duration::from_secs(1) / self.rate),
            ramp: Duration::from_millis(self.ramp.into()),
        }
    }
}

async fn fake_model(port: u16) -> Result<()> {
    let model = FakeModel::start_at((Ipv4Addr::LOCALHOST, port).into()).await?;
    report::serving(&model.base_url());
    std::future::pending().await
}
