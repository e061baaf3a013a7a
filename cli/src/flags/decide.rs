//! Deciding about the tool calls that wait.

use clap::Args;

use super::Peer;
use crate::ending;

/// A call is named as the list names it; each flag may be repeated.
#[derive(Debug, Args)]
#[command(after_help = ending::CODES)]
pub(crate) struct Decide {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Make this call as it is
    #[arg(long, value_name = "CALL")]
    pub(crate) accept: Vec<String>,
    /// Make this call with other arguments, a JSON object
    #[arg(long, num_args = 2, value_names = ["CALL", "JSON"])]
    pub(crate) edit: Vec<String>,
    /// Do not make this call
    #[arg(long, value_name = "CALL")]
    pub(crate) reject: Vec<String>,
    /// Why not: the model hears it
    #[arg(long, value_name = "TEXT", requires = "reject")]
    pub(crate) message: Option<String>,
    /// Do not make this call; the text stands for its result
    #[arg(long, num_args = 2, value_names = ["CALL", "TEXT"])]
    pub(crate) respond: Vec<String>,
    /// Print every event, or every call that waits, as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
}
