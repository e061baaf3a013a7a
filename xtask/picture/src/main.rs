//! Pictures for `docs/`, drawn from what really runs.
//!
//! Started by `cargo xtask picture`. Draws nothing that was not measured in the
//! same run.

mod turn;
mod waterfall;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask picture")]
struct Arguments {
    #[command(subcommand)]
    picture: Picture,
}

#[derive(Debug, Subcommand)]
enum Picture {
    /// One turn with a tool, as a collector sees it across all processes
    Trace {
        /// Where it is put
        #[arg(long, value_name = "FILE", default_value = "docs/trace.svg")]
        out: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let Picture::Trace { out } = Arguments::parse().picture;
    let drawn = waterfall::draw(&turn::trace().await?)?;
    std::fs::write(&out, drawn).with_context(|| format!("{} cannot be written", out.display()))
}
