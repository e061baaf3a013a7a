//! A turn that is watched to its end. Ctrl-C stops it, and its end is still
//! shown; a second one leaves at once. Before it has begun there is nothing to stop.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::client::{self, Client, Frame, Heard, Turn};
use crate::{Ended, decide, ending, output};

/// A gateway that has not answered for longer is told.
const WAITING: Duration = Duration::from_secs(2);

/// How a turn's events are shown.
pub(crate) trait Show {
    /// Shows one of them.
    fn show(&mut self, frame: &Frame) -> Result<(), output::Error>;
}

/// Shows a turn to its end; the exit code says how it ended.
pub(crate) async fn follow(
    client: &Client,
    session: &str,
    turn: &mut Turn,
    show: &mut impl Show,
    interrupts: &mut Signal,
) -> Ended {
    let (id, mut stopping) = (turn.id().to_owned(), false);
    loop {
        let heard = tokio::select! {
            biased;
            _ = interrupts.recv() => None,
            heard = turn.heard() => Some(heard?),
        };
        match heard {
            None if stopping || !stop(client, (session, &id), interrupts).await? => {
                return Ok(ending::stopped());
            }
            None => stopping = true,
            Some(None) => return Ok(ExitCode::SUCCESS),
            Some(Some(Heard::Cut(why))) => cut(&why),
            Some(Some(Heard::Back)) => back(),
            Some(Some(Heard::Event(frame))) => {
                show.show(&frame)?;
                if let Some(code) = ending::of_turn(&frame.kind) {
                    return Ok(code);
                }
            }
        }
    }
}

/// Waits for a gateway to take `what` is sent, and says so when that takes long;
/// `None` when somebody lost patience.
pub(crate) async fn taken(
    client: &Client,
    (session, what): (&str, &str),
    sending: impl Future<Output = client::Result<Turn>>,
    interrupts: &mut Signal,
) -> client::Result<Option<Turn>> {
    let (mut sending, mut late) = (pin!(sending), pin!(tokio::time::sleep(WAITING)));
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            _ = interrupts.recv() => break,
            turn = &mut sending => return turn.map(Some),
            () = &mut late, if !told => {
                told = true;
                output::aside(&format!("waiting for {}…", client.place()));
            }
        }
    }
    let session = decide::argument(session);
    output::aside(&format!(
        "not waited for; {what} may have been accepted: weir sessions show {session}"
    ));
    Ok(None)
}

/// Every Ctrl-C from now on: none is lost between two places that wait for it.
pub(crate) fn interrupts() -> std::io::Result<Signal> {
    signal(SignalKind::interrupt())
}

/// Asks for a turn to stop; whether that went out before somebody lost patience.
pub(super) async fn stop(
    client: &Client,
    (session, turn): (&str, &str),
    interrupts: &mut Signal,
) -> anyhow::Result<bool> {
    output::aside("stopping; once more leaves at once");
    tokio::select! {
        biased;
        _ = interrupts.recv() => Ok(false),
        asked = client.cancel(session, Some(turn)) => Ok(asked.map(|_| true)?),
    }
}

/// Says that the connection is gone.
pub(crate) fn cut(why: &str) {
    output::aside(&format!("no connection: {why}; trying again"));
}

/// Says that it is there again.
pub(crate) fn back() {
    output::aside("connected again");
}
