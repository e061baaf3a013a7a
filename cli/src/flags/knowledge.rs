//! The flags of `weir knowledge`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Settings;

#[derive(Debug, Subcommand)]
pub(crate) enum KnowledgeCommand {
    /// Show the passages that the agent would find
    Search(KnowledgeSearch),
    /// List the documents that are read
    Files(Known),
}

#[derive(Debug, Args)]
pub(crate) struct KnowledgeSearch {
    #[command(flatten)]
    pub(crate) known: Known,
    /// How many passages to show
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = limit())]
    pub(crate) limit: u8,
    /// What to look for: words or a question
    pub(crate) question: String,
}

/// What is known, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct Known {
    #[command(flatten)]
    pub(crate) file: Settings,
    /// A folder of documents; repeat it for several [default: those of the file,
    /// else Weir's own documentation]
    #[arg(long, env = "WEIR_KNOWLEDGE", value_name = "DIR", value_delimiter = ':')]
    pub(crate) knowledge: Vec<PathBuf>,
    /// Print JSON, one value a line
    #[arg(long)]
    pub(crate) json: bool,
}

fn limit() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=50)
}
