//! `weir cancel` and `weir delete`: a session, as its user ends what runs in it
//! or all of it. A person at a terminal is asked before everything is gone.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::client::{Client, Stopped};
use crate::flags::{Cancel, Delete};
use crate::{Ended, output, plain};

pub(crate) async fn cancel(flags: Cancel) -> Ended {
    let client = Client::new(&flags.peer)?;
    let stopped = client.cancel(&flags.session, flags.turn.as_deref()).await?;
    if flags.json {
        output::json(&told(&flags.session, &stopped))?;
    } else {
        output::line(&match stopped {
            Stopped::Asked(turn) => format!("turn {} will stop", plain::line(&turn)),
            Stopped::HadEnded(why) => format!("nothing to stop: {}", plain::line(&why.detail)),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(session: &str, stopped: &Stopped) -> Value {
    match stopped {
        Stopped::Asked(turn) => json!({ "sessionId": session, "turnId": turn, "stopping": true }),
        Stopped::HadEnded(why) => json!({
            "sessionId": session,
            "turnId": why.turn,
            "turnStatus": why.turn_status,
            "stopping": false,
        }),
    }
}

pub(crate) async fn delete(flags: Delete) -> Ended {
    let client = Client::new(&flags.peer)?;
    if !flags.yes && std::io::stdin().is_terminal() && !is_meant(&client, &flags.session).await? {
        output::note("nothing is erased");
        return Ok(ExitCode::FAILURE);
    }
    client.delete(&flags.session).await?;
    if flags.json {
        output::json(&json!({ "sessionId": flags.session, "deleted": true }))?;
    } else {
        output::line(&format!("session {} is erased", plain::line(&flags.session)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks whoever sits at the terminal.
async fn is_meant(client: &Client, id: &str) -> anyhow::Result<bool> {
    let session = client.session(id).await?;
    let title = session["title"].as_str().map(|it| format!(" ({it})")).unwrap_or_default();
    output::say(&plain::line(&format!("erase session {id}{title} for good? [y/N] ")));
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_bytes| line)
    });
    let answer = answer.await?.context("standard input")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
