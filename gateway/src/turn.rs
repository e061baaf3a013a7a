//! Where a turn stands in its session's log.

use std::time::Duration;

use broker::{Broker, Error, Log, Result, Sequence, Stored};
use proto::{Ending, Session, SessionState, TurnId, event};
use tokio::time::sleep;

/// Entries read at once.
const BATCH: usize = 256;
/// How long, and how often, a read may lag behind the last entry.
const LAG: (Duration, u32) = (Duration::from_millis(20), 50);

/// A turn that the log knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its first entry.
    pub(crate) begins: Sequence,
    /// Its question, once it has started.
    pub(crate) input: Option<String>,
    /// How it ended, once it has.
    pub(crate) ending: Option<Ending>,
}

/// Where the turn that the session's last entry is about began; `None` when it
/// is about another one.
pub(crate) fn began(last: Option<&Stored>, turn: TurnId) -> Option<Sequence> {
    let last = last?;
    let state = last.entry.state.as_ref()?;
    if turn_of(state) != Some(turn) {
        return None;
    }
    // The entry that starts a turn cannot name its own place.
    Some(if state.began == 0 { last.sequence } else { Sequence(state.began) })
}

/// The turn that a state is about.
pub(crate) fn turn_of(state: &SessionState) -> Option<TurnId> {
    state.turn_id.parse().ok()
}

/// Whether a tombstone is the end of a turn that was accepted before it was
/// read. A question that is accepted while its session is being erased may
/// come after it.
pub(crate) async fn is_erased(
    broker: &Broker,
    session: &Session,
    turn: TurnId,
    tombstone: &Stored,
) -> Result<bool> {
    if tombstone.entry.state.as_ref().and_then(turn_of) == Some(turn) {
        return Ok(true);
    }
    // In this order: a job that is gone has left its end in the log.
    let waiting = broker.queue.pending(session).await?;
    if waiting.iter().any(|it| it.turn == turn) {
        return Ok(false);
    }
    Ok(find(broker.log.as_ref(), session, turn).await?.is_none())
}

/// Looks a turn up in all that the log still has of its session. What is not
/// read to its end is not known: an error, never a no.
pub(crate) async fn find(log: &dyn Log, session: &Session, turn: TurnId) -> Result<Option<Found>> {
    let last = log.last(session).await?;
    let Some(end) = last.as_ref().map(|it| it.sequence) else {
        return Ok(None);
    };
    let mut after = began(last.as_ref(), turn).map_or(Sequence::START, Sequence::before);
    let mut found = None;
    let mut lagging = 0;
    while after < end && lagging < LAG.1 {
        let read = log.read(session, after, BATCH).await?;
        if read.is_empty() {
            lagging += 1;
            sleep(LAG.0).await;
        }
        for stored in &read {
            after = stored.sequence;
            note(&mut found, stored, turn);
            if found.as_ref().is_some_and(|it| it.ending.is_some()) {
                return Ok(found);
            }
        }
    }
    if after < end {
        return Err(Error::Unavailable("the copy of the log that answers is behind".to_owned()));
    }
    Ok(found)
}

fn note(found: &mut Option<Found>, stored: &Stored, turn: TurnId) {
    if stored.entry.turn_id.parse() != Ok(turn) {
        return;
    }
    let found = found.get_or_insert(Found { begins: stored.sequence, input: None, ending: None });
    for kind in stored.entry.events.iter().filter_map(|it| it.kind.as_ref()) {
        if let event::Kind::Started(started) = kind {
            found.input = Some(started.input.clone());
        }
        found.ending = found.ending.or(kind.ending());
    }
}
