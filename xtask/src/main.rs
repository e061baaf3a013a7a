//! The project's own commands: `cargo xtask test | check | bench | chaos |
//! picture | fake-model`.
//!
//! Light on purpose: it is built first on a fresh machine. What needs the
//! workspace's crates lives in `xtask/bench`, `xtask/chaos` and `xtask/picture`
//! and is started from here.

mod step;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use step::{Ended, cargo, run, section};
use tools::Tools;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything: obtains the tools that are missing, then checks and tests.
    Test {
        /// Leaves out the tests that need three nats-servers or a browser.
        #[arg(long)]
        quick: bool,
    },
    /// Format, lints and documentation.
    Check,
    /// Latency, throughput and cost beside a direct read of the same load, and
    /// the page's frame times (`bench page`); `cargo xtask bench --help` lists
    /// its options.
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// A fleet under faults, and whether it keeps its promises;
    /// `cargo xtask chaos --help` lists its options.
    #[command(disable_help_flag = true)]
    Chaos {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Pictures for `docs/`, of what runs: `cargo xtask picture trace` and
    /// `cargo xtask picture page`.
    #[command(disable_help_flag = true)]
    Picture {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// The scripted model as a process of its own.
    #[command(disable_help_flag = true)]
    FakeModel {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

/// Tests that need three nats-servers or a browser, told by their module's or
/// their binary's name.
const LARGE: &str =
    "binary(/three_nodes|browser/) | test(/(^|::)(three_nodes|browser)::/) | test(/three_nodes_/)";

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Task::Test { quick } => test(quick),
        Task::Check => check(&Tools::new()),
        Task::Bench { options } => bench(&[], &options),
        Task::Chaos { options } => chaos(&options),
        Task::FakeModel { options } => bench(&["fake-model"], &options),
        Task::Picture { options } => picture(&options),
    };
    step::exit(ended)
}

/// The test runner goes last, so that its lines are the last.
fn test(quick: bool) -> Result<Ended> {
    let tools = Tools::obtain(!quick)?;
    check(&tools)?;
    run("contract", &mut tools.buf(["lint", "proto"]))?;
    let deny = ["deny", "--locked", "check", "bans", "licenses", "sources"];
    run("dependencies", &mut tools.cargo(deny))?;
    let all = ["nextest", "run", "--workspace", "--locked"];
    run("build", tools.cargo(all).arg("--no-run"))?;
    let mut tests = tools.cargo(all);
    if quick {
        tests.args(["-E", &format!("not ({LARGE})")]);
    }
    section("tests", &tests);
    step::last(tests)
}

fn check(tools: &Tools) -> Result<Ended> {
    run("format", &mut tools.cargo(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked"];
    run("lints", tools.cargo(clippy).args(["--", "-D", "warnings"]))?;
    let docs = ["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"];
    run("documentation", tools.cargo(docs).env("RUSTDOCFLAGS", "-D warnings"))
}

fn bench(command: &[&str], options: &[String]) -> Result<Ended> {
    let mut bench = built_with_weir("bench")?;
    bench.args(command).args(options);
    step::last(bench)
}

fn chaos(options: &[String]) -> Result<Ended> {
    Tools::new().nats_server()?;
    let mut chaos = built_with_weir("chaos")?;
    chaos.arg("--weir").arg(tools::target().join("release/weir")).args(options);
    step::last(chaos)
}

/// What it draws is no measurement: a plain build will do.
fn picture(options: &[String]) -> Result<Ended> {
    let tools = Tools::new();
    if options.first().is_some_and(|it| it == "page") {
        tools.chromium()?;
        Tools::chinese()?;
    } else {
        tools.nats_server()?;
    }
    run("build", &mut cargo(["build", "--locked", "--package", "weir", "--package", "picture"]))?;
    let mut picture = std::process::Command::new(tools::target().join("debug/picture"));
    picture.current_dir(tools::root()).args(options);
    step::last(picture)
}

/// A release build of a tool and of `weir`.
fn built_with_weir(tool: &str) -> Result<std::process::Command> {
    // One build of both, so that they share their dependencies.
    let release = ["build", "--release", "--locked", "--package", "weir", "--package", tool];
    run("build", &mut cargo(release))?;
    Ok(std::process::Command::new(tools::target().join("release").join(tool)))
}
