//! The flags of `weir status`.

use clap::Args;

use super::Peer;

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}
