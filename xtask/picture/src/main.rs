//! Pictures for `docs/`, drawn from what really runs.
//!
//! Started by `cargo xtask picture`. Draws nothing that was not measured, or
//! seen, in the same run.

mod page;
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
    /// The chat page in its main states
    Page {
        /// The folder that they are put into
        #[arg(long, value_name = "FOLDER", default_value = "docs/page")]
        out: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().picture {
        Picture::Trace { out } => {
            let drawn = waterfall::draw(&turn::trace().await?)?;
            let written = std::fs::write(&out, drawn);
            written.with_context(|| format!("{} cannot be written", out.display()))
        }
        Picture::Page { out } => page::take(&out).await,
    }
}

/// The binary that was built beside this one.
pub(crate) fn weir() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("weir"))
}
