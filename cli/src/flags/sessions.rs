//! The flags of `weir sessions`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Peer;
use crate::ending;

/// The list, unless something else is asked for.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = ending::PLAIN)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    pub(crate) command: Option<SessionsCommand>,
    #[command(flatten)]
    pub(crate) list: SessionsList,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List your sessions, the one with the latest activity first (the default)
    List(SessionsList),
    /// Look for words in titles, last questions and last answers
    Search(SessionsSearch),
    /// Show how a session stands, and what was said in it
    Show(SessionsShow),
    /// Give a session a title
    Rename(SessionsRename),
    /// Write a session down, as Markdown or JSON
    Export(SessionsExport),
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct SessionsList {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "all",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// Show all
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON, one session a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct SessionsSearch {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print JSON, one session a line
    #[arg(long)]
    pub(crate) json: bool,
    /// All of these must be there, in upper or lower case
    #[arg(value_name = "WORD", required = true)]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct SessionsShow {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print it as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct SessionsRename {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print the session as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
    /// Its title from now on: one line
    pub(crate) title: String,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct SessionsExport {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Md)]
    pub(crate) format: Format,
    /// Where to; standard output when absent or `-`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// The session
    pub(crate) session: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// Markdown, to be read
    Md,
    /// JSON, with everything that is kept
    Json,
}
