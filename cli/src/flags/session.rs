//! What is done to a session.

use clap::Args;

use super::Peer;
use crate::ending;

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// The turn [default: the one that runs or will run next]
    #[arg(long, value_name = "ID")]
    pub(crate) turn: Option<String>,
    /// Print what became of it as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
}

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Do not ask whether it is meant, as a terminal is asked
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print what was erased as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
}
