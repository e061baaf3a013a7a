//! The entries of the turn that a session's last entry is about.

use std::time::Duration;

use broker::{Error, Log, Result, Stored};
use proto::Session;
use tokio::time::sleep;

use crate::turn::{began, turn_of};

/// Entries read at once, and at most.
const BATCH: usize = 256;
const MOST: usize = 16 * 1024;
/// How long, and how often, a read may lag behind the last entry.
const LAG: (Duration, u32) = (Duration::from_millis(20), 50);

/// Hands on what a session's last turn has said up to its `last` entry, in order.
/// `false` when only the beginning of it was read, because it is too long. Of a
/// turn whose beginning is past the log's retention, what is left is handed on.
pub(crate) async fn of_turn(
    log: &dyn Log,
    session: &Session,
    last: &Stored,
    mut take: impl FnMut(&Stored) + Send,
) -> Result<bool> {
    let Some(turn) = last.entry.state.as_ref().and_then(turn_of) else { return Ok(true) };
    let Some(begins) = began(Some(last), turn) else { return Ok(true) };
    let (mut after, mut count, mut lagging) = (begins.before(), 0, 0);
    while after < last.sequence && count < MOST {
        let read = log.read(session, after, BATCH).await?;
        if read.is_empty() {
            lagging += 1;
            if lagging > LAG.1 {
                let behind = "the copy of the log that answers is behind";
                return Err(Error::Unavailable(behind.to_owned()));
            }
            sleep(LAG.0).await;
        }
        for stored in read.iter().filter(|it| it.sequence <= last.sequence) {
            if stored.entry.turn_id.parse() == Ok(turn) {
                take(stored);
            }
        }
        count += read.len();
        after = read.last().map_or(after, |it| it.sequence);
    }
    Ok(after >= last.sequence)
}
