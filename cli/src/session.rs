//! `weir cancel` and `weir delete`: a session, as its user ends what runs in it
//! or all of it.
#![expect(clippy::print_stdout, reason = "a command-line client")]

use std::process::ExitCode;

use crate::client::{Client, Stopped};
use crate::flags::{Cancel, Delete};
use crate::{Ended, plain};

pub(crate) async fn cancel(flags: Cancel) -> Ended {
    let client = Client::new(&flags.peer)?;
    match client.cancel(&flags.session, flags.turn.as_deref()).await? {
        Stopped::Asked(turn) => println!("turn {} will stop", plain::line(&turn)),
        Stopped::HadEnded(how) => println!("nothing to stop: {}", plain::line(&how)),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn delete(flags: Delete) -> Ended {
    Client::new(&flags.peer)?.delete(&flags.session).await?;
    println!("session {} is erased", plain::line(&flags.session));
    Ok(ExitCode::SUCCESS)
}
