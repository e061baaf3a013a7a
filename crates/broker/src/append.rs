//! Append with a certain outcome: stored, or refused for good.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use proto::{Entry, Session};
use tokio::time::{Instant, sleep};

use crate::{AppendError, Error, Log, MAX_ENTRY_BYTES, Result, Sequence};

/// How long an append is tried while the broker has no leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(500));

/// A refusal that may be a doubtful try's own success.
const REFUSED: &str = "refused after a try in doubt";

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored, here.
    Stored(Sequence),
    /// Not stored and never will be: another entry follows the one that this
    /// was to follow. Read on, then decide.
    Refused,
}

/// Stores `entry` right after `entry.follows`. When a try's outcome is unknown,
/// looks whether the entry is there, and tries the same again if not: the
/// condition makes sure that it is stored once at most. Where a server may refuse
/// from the past ([`Log::doubt`]), a refusal counts once its reason is seen, or
/// was given for 15 seconds.
///
/// Errors: [`Error::Unavailable`] when the outcome is still unknown after
/// 15 seconds, [`Error::TooLarge`] past [`MAX_ENTRY_BYTES`].
pub async fn append(log: &dyn Log, session: &Session, entry: &Entry) -> Result<Outcome> {
    let bytes = Bytes::from(entry.encode_to_vec());
    if bytes.len() > MAX_ENTRY_BYTES {
        return Err(Error::TooLarge { what: "entry", size: bytes.len(), limit: MAX_ENTRY_BYTES });
    }
    let follows = Sequence(entry.follows);
    let deadline = Instant::now() + PATIENCE;
    let mut pause = PAUSES.0;
    let mut doubtful = false;
    loop {
        let why = match log.append(session, follows, bytes.clone()).await {
            Ok(sequence) => return Ok(Outcome::Stored(sequence)),
            // After a doubtful try a refusal may be the doubtful one's success.
            Err(AppendError::Refused) if !doubtful && log.doubt().is_zero() => {
                return Ok(Outcome::Refused);
            }
            Err(AppendError::Refused) => None,
            Err(AppendError::Failed(error)) => return Err(error),
            Err(AppendError::Unknown(why)) => Some(why),
        };
        doubtful |= why.is_some();
        match successor(log, session, follows).await {
            Ok(Some(stored)) if doubtful && stored.1 == *entry => {
                return Ok(Outcome::Stored(stored.0));
            }
            // The same words without a doubtful try are somebody else's.
            Ok(Some(_)) => return Ok(Outcome::Refused),
            Ok(None) | Err(Error::Unavailable(_)) => {}
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return match why {
                None if !doubtful => Ok(Outcome::Refused),
                why => Err(Error::Unavailable(why.unwrap_or_else(|| REFUSED.to_owned()))),
            };
        }
        tracing::debug!(?session, why, "append in doubt; trying again");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// The entry that stands right after a place, if there is one for certain.
async fn successor(
    log: &dyn Log,
    session: &Session,
    after: Sequence,
) -> Result<Option<(Sequence, Entry)>> {
    let Some(last) = log.last(session).await? else {
        return Ok(None);
    };
    if last.sequence <= after {
        return Ok(None);
    }
    if last.entry.follows == after.0 {
        return Ok(Some((last.sequence, last.entry)));
    }
    let next = log.read(session, after, 1).await?;
    Ok(next.into_iter().next().map(|it| (it.sequence, it.entry)))
}
