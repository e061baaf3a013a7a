//! `cargo xtask chaos`: runs the catalogue, or a part of it, and prints a
//! scorecard for each. How far it is, is told on standard error meanwhile. Exit
//! code 1 when a promise was broken.
#![expect(clippy::print_stdout, reason = "the scorecards are its output")]

mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use chaos::scenario::{ALL, Ground, Scenario};
use clap::Parser;

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask chaos")]
struct Arguments {
    /// What all choices follow [default: one of its own, printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Minutes for scenarios without an end of their own
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Only these scenarios, by name
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Names the scenarios and ends
    #[arg(long)]
    list: bool,
    /// The `weir` binary
    #[arg(long, hide = true)]
    weir: PathBuf,
}

fn main() -> Result<ExitCode> {
    process::raise_file_limit();
    let arguments = Arguments::parse();
    if arguments.list {
        for Scenario { name, what, .. } in ALL {
            println!("{name:<10} {what}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(arguments))
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    let chosen: Vec<_> = ALL.iter().filter(|it| is_chosen(it, &arguments.only)).collect();
    ensure!(!chosen.is_empty(), "no scenario is called {}", arguments.only.join(" or "));
    let (mut broken, all) = (0, chosen.len());
    for (done, scenario) in chosen.into_iter().enumerate() {
        let time = Duration::from_secs_f64(arguments.minutes.clamp(0.1, 24.0 * 60.0) * 60.0);
        println!("{}: {} (seed {seed})", scenario.name, scenario.what);
        let running = scenario.run(Ground { binary: arguments.weir.clone(), seed, time });
        let planned = scenario.lasts().then_some(time);
        let far = waiting::Far { name: scenario.name, number: done + 1, all, planned, broken };
        let score = waiting::told(&far, running).await?;
        println!("{score}\n");
        broken += score.violations.len();
    }
    println!("{broken} violations");
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is_chosen(scenario: &Scenario, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|it| it.eq_ignore_ascii_case(scenario.name))
}
