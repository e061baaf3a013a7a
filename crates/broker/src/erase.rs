//! Erasing a session: what it said is gone, and nothing that was under way at
//! that moment returns.
//!
//! Repeating it, after a crash at any line, leads to the same end. Leaves the
//! user's memory alone, which belongs to no session.

use proto::{Deleted, Entry, FORMAT, Session, SessionState, Transcript, event};
use tokio::time::{Duration, Instant};

use crate::append::{Outcome, append};
use crate::{Broker, Bucket, Error, Expected, Key, Log, Records, Result, Sequence};

/// How long a tombstone is tried against a turn that goes on speaking.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many tries are left to chance.
const FAIR: u32 = 8;
/// More places than a session's entries take while a purge is on its way.
const AHEAD: u64 = 1 << 32;

/// The records of a session beside its transcript. Not those of its user, whose
/// keys may look the same.
const BUCKETS: [Bucket; 5] =
    [Bucket::Sessions, Bucket::Reviews, Bucket::Ledgers, Bucket::Keys, Bucket::DeadLetters];

/// What there was to erase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erased {
    /// The session never was, or it was erased and nothing happened since.
    Nothing,
    /// It is erased now.
    Done(Removed),
}

/// How much this erasure removed, as far as it is known: what an earlier one that
/// did not come to its end had removed, or one at the same time, is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Entries of the log.
    pub entries: u64,
    /// Unfinished jobs.
    pub jobs: u64,
    /// Turns of the transcript.
    pub turns: u64,
    /// All other records.
    pub records: u64,
}

/// Erases a session: its jobs, then its entries behind a tombstone, which
/// fences whoever still speaks, then its records. A turn that was accepted
/// before is gone without an end of its own; one that is accepted meanwhile may
/// be. The id may be used again and starts empty.
///
/// Errors: [`Error::Unavailable`] when a step's outcome is not known; what was
/// not erased yet still is there: erase again.
pub async fn erase(broker: &Broker, session: &Session) -> Result<Erased> {
    let Broker { queue, log, records, .. } = broker;
    if queue.first(session).await?.is_none() && !is_known(broker, session).await? {
        return Ok(Erased::Nothing);
    }
    // From here on a repetition knows that there is something to finish.
    let mut removed = Removed { turns: renew(&**records, session).await?, ..Removed::default() };
    // Jobs first: a turn that waits must not begin behind the tombstone.
    removed.jobs = queue.clear(session).await?;
    let tombstone = bury(&**log, session, &mut removed).await?;
    // Once more, against a turn that has begun since the first time.
    removed.turns += renew(&**records, session).await?;
    removed.entries += log.purge(session, tombstone).await?;
    for bucket in BUCKETS {
        for key in records.list(bucket, &Key::session(session)).await? {
            records.delete(bucket, &key).await?;
            removed.records += 1;
        }
    }
    change(&**records, session, |it| Transcript { erasing: false, ..it }).await?;
    Ok(Erased::Done(removed))
}

/// Whether a session has anything that is to be erased.
async fn is_known(broker: &Broker, session: &Session) -> Result<bool> {
    let last = broker.log.last(session).await?;
    if last.is_some_and(|it| !it.entry.is_tombstone()) {
        return Ok(true);
    }
    let key = Key::session(session);
    let found = broker.records.get(Bucket::Transcripts, &key).await?;
    let transcript = found.map(|it| read(&it.value, it.revision)).unwrap_or_default();
    if transcript.erasing || !transcript.turns.is_empty() {
        return Ok(true);
    }
    for bucket in BUCKETS {
        if !broker.records.list(bucket, &key).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins an empty transcript, which turns that know the one before it do not
/// write to. Returns how many turns that one had.
async fn renew(records: &dyn Records, session: &Session) -> Result<u64> {
    let renewed = |it: Transcript| Transcript {
        version: FORMAT,
        generation: it.generation + 1,
        erasing: true,
        ..Transcript::default()
    };
    let before = change(records, session, renewed).await?;
    Ok(before.turns.len().try_into().unwrap_or(u64::MAX))
}

/// Returns the transcript before its change.
async fn change(
    records: &dyn Records,
    session: &Session,
    changed: impl Fn(Transcript) -> Transcript + Send + Sync,
) -> Result<Transcript> {
    let key = Key::session(session);
    loop {
        let (transcript, expected) = match records.get(Bucket::Transcripts, &key).await? {
            Some(it) => (read(&it.value, it.revision), Expected::Revision(it.revision)),
            None => (Transcript::default(), Expected::Absent),
        };
        let value = prost::Message::encode_to_vec(&changed(transcript.clone())).into();
        match records.put(Bucket::Transcripts, &key, value, expected).await {
            Err(Error::Conflict) => {}
            put => return put.map(|_| transcript),
        }
    }
}

/// A transcript; one that cannot be read is erased like any other, and its
/// revision is higher than its generation.
fn read(value: &[u8], revision: u64) -> Transcript {
    let unreadable =
        |_| Transcript { generation: revision, erasing: true, ..Transcript::default() };
    prost::Message::decode(value).unwrap_or_else(unreadable)
}

/// Stores a tombstone after whatever is said until then. Who speaks without a
/// pause is always first to append; he is silenced by taking away the entry that
/// he appends to.
async fn bury(log: &dyn Log, session: &Session, removed: &mut Removed) -> Result<Sequence> {
    let deadline = Instant::now() + PATIENCE;
    let mut known: Option<(u64, SessionState)> = None;
    for tries in 1_u32.. {
        let last = log.last(session).await?;
        known = match (last, known) {
            (Some(it), _) => Some((it.sequence.0, it.entry.state.unwrap_or_default())),
            // Taken away, but what it said is not forgotten.
            (None, known) => known.map(|it| (0, it.1)),
        };
        let deleted = event::Kind::Deleted(Deleted {});
        let last = known.as_ref().map(|it| (it.0, &it.1));
        let entry = Entry::after(last, "", 0, vec![deleted.into()]);
        match append(log, session, &entry).await? {
            Outcome::Stored(sequence) => return Ok(sequence),
            Outcome::Refused if Instant::now() >= deadline => break,
            Outcome::Refused if tries.is_multiple_of(FAIR) => {
                removed.entries += log.purge(session, Sequence(entry.follows + AHEAD)).await?;
            }
            Outcome::Refused => {}
        }
    }
    Err(Error::Unavailable("the session's turn does not stop".to_owned()))
}
