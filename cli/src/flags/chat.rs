//! A conversation on a terminal.

use clap::Args;

use super::Peer;

#[derive(Debug, Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// The session to go on with; a new one when absent
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// Go on with the latest session
    #[arg(long = "continue", conflicts_with = "session")]
    pub(crate) latest: bool,
    /// A model the agent offers
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Neither read nor write the file of what was asked before
    #[arg(long)]
    pub(crate) no_history: bool,
}
