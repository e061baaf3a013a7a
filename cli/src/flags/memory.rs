//! The flags of `weir memory`.

use clap::{Args, Subcommand};

use super::Peer;
use crate::ending;

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// List what is remembered about you, the newest first
    List(MemoryList),
    /// Remember something
    Add(MemoryAdd),
    /// Forget something
    Forget(MemoryForget),
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct MemoryList {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Show what fits these words best, the best first
    #[arg(long, value_name = "WORDS", conflicts_with = "all")]
    pub(crate) query: Option<String>,
    /// Show all, and not the first 20
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON, one memory a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct MemoryAdd {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print the memory as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// What to remember; `-` for standard input
    pub(crate) text: String,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct MemoryForget {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print JSON, one memory a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Which ones, as the list names them
    #[arg(value_name = "ID", required = true)]
    pub(crate) memories: Vec<String>,
}
