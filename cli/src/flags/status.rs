//! The flags of `weir status`.

use clap::Args;

use super::Peer;
use crate::ending;

#[derive(Debug, Args)]
#[command(after_help = ending::PLAIN)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
