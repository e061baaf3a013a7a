//! `weir nats`: looks after the servers that keep everything. Run once by
//! somebody who may declare, so that no service needs that right.

use std::process::ExitCode;

use crate::flags::{Nats, NatsCommand};
use crate::{Ended, banner, store};

pub(crate) async fn run(command: NatsCommand) -> Ended {
    match command {
        NatsCommand::Apply(flags) => apply(&flags).await,
        NatsCommand::Check(flags) => check(&flags).await,
    }
}

/// Declares everything, and says what that took.
async fn apply(flags: &Nats) -> Ended {
    let applied = store::apply(flags).await?;
    for change in &applied.changes {
        banner::say("changed", change);
    }
    if applied.changes.is_empty() {
        banner::say("changed", "nothing: all is as it must be");
    }
    for copy in &applied.behind {
        banner::say("behind", copy);
    }
    banner::broker(&applied.profile);
    Ok(ExitCode::SUCCESS)
}

/// Looks whether everything is as it must be, and changes nothing.
async fn check(flags: &Nats) -> Ended {
    let broker = store::check(flags).await?;
    banner::say("checked", "all is as it must be");
    banner::broker(&broker.profile);
    Ok(ExitCode::SUCCESS)
}
