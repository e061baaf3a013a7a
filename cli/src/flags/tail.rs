//! Watching a session.

use clap::Args;

use super::Peer;

/// What a pipe gets, and how it ends.
const HOW: &str = "On a terminal it is shown as it is read; a pipe gets a line for each event: its \
    position, its kind and its JSON.\n\nExit codes: 1 refused; 2 wrong usage; 130 ended by Ctrl-C, \
    by which alone it ends well";

#[derive(Debug, Args)]
#[command(after_help = HOW)]
pub(crate) struct Tail {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Where to begin: `start`, `now` or a position [default: the running turn]
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<String>,
    /// Print every event as one line of JSON, as `weir ask --json` does
    #[arg(long)]
    pub(crate) json: bool,
    /// The session
    pub(crate) session: String,
}
