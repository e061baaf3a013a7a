//! One question from a shell.

use std::path::PathBuf;

use clap::Args;

use super::Peer;
use crate::ending;

#[derive(Debug, Args)]
#[command(after_help = ending::CODES)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// The session to go on with; a new one when absent
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Go on with the session that was used last
    #[arg(long = "continue", conflicts_with = "session")]
    pub(crate) latest: bool,
    /// A model the agent offers
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Instructions for this question, behind those of the operator
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// A file whose text goes with the question, `-` for standard input; repeat it
    /// for several
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) form: Form,
    /// Say on standard error which tools are called, what the answer took, and how
    /// to go on
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The question; standard input when absent or `-`
    pub(crate) question: Option<String>,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Form {
    /// Print every event as one line of JSON; with --no-stream, the whole turn as
    /// one object
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the answer as it comes (the default)
    #[arg(long, overrides_with = "whole")]
    stream: bool,
    /// Wait for the whole answer, and print it once
    #[arg(long = "no-stream", overrides_with = "stream")]
    pub(crate) whole: bool,
}
