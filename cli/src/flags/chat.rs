//! A conversation on a terminal.

use clap::Args;

use super::Peer;

/// What is typed, and how it ends.
const HOW: &str = "Keys: Enter asks; Alt-Enter, or \\ and Enter, goes on in another line; arrows \
    and Ctrl-R find what was asked before; Tab completes; Ctrl-C stops the answer, twice leaves; \
    Ctrl-D leaves.\n\nCommands: /new /sessions /resume /model /memory /export /again /review \
    /reasoning /help /quit; /help says what each does, //text asks what begins with a slash.\n\n\
    Without a terminal each line is a question, and the worst outcome is the exit code.\n\nExit \
    codes: 0 left, or all is answered; 1 failed, or refused; 2 wrong usage; 3 tool calls wait for \
    a decision, see `weir decide`; 130 left or stopped by Ctrl-C; 129 and 143 ended by a signal";

#[derive(Debug, Args)]
#[command(after_help = HOW)]
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
