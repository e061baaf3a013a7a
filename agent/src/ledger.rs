//! How far a turn came, in `Records`, so that another run of it goes on from
//! there and no tool is asked twice.
//!
//! Written ahead: an event that a ledger keeps is said only once the store has
//! it. The run that entered last is the only one that may write; every other
//! one learns of it with its next write, and ends without a word. Refuses to
//! grow past [`MAX_BYTES`], and to guess what a ledger means that nobody can
//! have written.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::{Bucket, Expected, Record, Records};
use bytes::Bytes;
use prost::Message as _;
use proto::ask_event::Kind;
use proto::{FORMAT, Ledger, LedgerCall, LedgerRun, Session, Transcript};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::buffer::{TooLong, Writer, is_whole};
use crate::registry::Key;
use crate::store::insist;

/// The largest ledger, encoded, in bytes.
pub(crate) const MAX_BYTES: usize = broker::MAX_RECORD_BYTES - 128 * 1024;

/// The most runs that a ledger knows; who read an older one begins anew.
const MAX_RUNS: usize = 64;

/// How long a write waits for the store, and how long a removal does.
const PATIENCE: Duration = Duration::from_secs(20);
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// The ledgers of all turns.
#[derive(Debug, Clone)]
pub(crate) struct Ledgers {
    records: Arc<dyn Records>,
}

/// What the session's transcript was when a run of a turn began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Since {
    /// Its generation.
    pub(crate) generation: u64,
    /// How often turns had taken the place of others in it.
    pub(crate) replacements: u64,
    /// It had this turn: another run has ended it before.
    pub(crate) stored: bool,
}

/// Why something is not written, and not said either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    /// Another run has the turn now, or the session was erased: this one ends
    /// without a word.
    #[error("another run has the turn, or its session was erased")]
    Superseded,
    /// The store did not do it within the patience; whether it did is not known.
    #[error("the ledger: {0}")]
    Store(broker::Error),
    /// The turn has said more than a ledger, or its buffer, may hold.
    #[error("the turn is too long for its ledger")]
    TooLong,
}

impl From<TooLong> for Unwritten {
    fn from(TooLong: TooLong) -> Self {
        Self::TooLong
    }
}

impl Ledgers {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self { records }
    }

    /// The turn's ledger for a run of it that begins. From now on no earlier run
    /// can write. A ledger of another generation counts as none; of an older
    /// one it is replaced at once. Waits out a short outage.
    pub(crate) async fn open(&self, key: &Key, run: u32, since: Since) -> broker::Result<Book> {
        let place = Place {
            records: Arc::clone(&self.records),
            session: broker::Key::session(&key.session),
            key: of(&key.session, &key.turn.to_string()),
            turn: key.turn.to_string(),
            run,
            since,
        };
        let found = insist(PATIENCE, || place.enter()).await?;
        Ok(Book::new(place, found))
    }

    /// Removes what nobody needs any more. Waits out a very short outage.
    pub(crate) async fn delete(&self, session: &Session, turn: &str) -> broker::Result<()> {
        let key = of(session, turn);
        insist(SHORT_PATIENCE, || self.records.delete(Bucket::Ledgers, &key)).await
    }
}

fn of(session: &Session, turn: &str) -> broker::Key {
    broker::Key::session(session).child(turn)
}

/// A turn's ledger in the hand of one run.
#[derive(Debug)]
pub(crate) struct Book {
    place: Place,
    inherited: Option<Ledger>,
    exists: AtomicBool,
    page: Mutex<Page>,
}

/// Where a ledger is, and for whom.
#[derive(Debug)]
struct Place {
    records: Arc<dyn Records>,
    /// Its session's transcript.
    session: broker::Key,
    key: broker::Key,
    turn: String,
    run: u32,
    /// That transcript when this run began.
    since: Since,
}

/// What a run knows of the stored record.
#[derive(Debug)]
struct Page {
    /// As it was written last, without what was said.
    ledger: Ledger,
    stands: Stands,
    /// The turn was still this run's at its first write.
    checked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// The next write expects this.
    Open(Expected),
    Superseded,
}

/// What a run finds that enters a ledger.
enum Found {
    Nothing,
    /// The ledger as it was before, and the revision since.
    Entered(Ledger, u64),
    /// Of a session that began after this turn's.
    Later,
}

/// What became of a value.
enum Put {
    Stored(u64),
    /// The record is this run's, but of a write that nobody waited for.
    Mine(u64),
    Superseded,
}

impl Book {
    fn new(place: Place, found: Found) -> Self {
        let (run, generation) = (place.run, place.since.generation);
        let open =
            |ledger, expected| Page { ledger, stands: Stands::Open(expected), checked: false };
        let new = Ledger { version: FORMAT, generation, ..Ledger::default() };
        let (page, inherited) = match found {
            Found::Nothing => (open(new, Expected::Absent), None),
            Found::Later => {
                (Page { stands: Stands::Superseded, ..open(new, Expected::Absent) }, None)
            }
            Found::Entered(was, revision) => {
                let ledger = Ledger { said: Vec::new(), ..entered(was.clone(), run) };
                // One that no run had entered is of no earlier run.
                let inherited = (!was.runs.is_empty()).then_some(was);
                (open(ledger, Expected::Revision(revision)), inherited)
            }
        };
        let exists = AtomicBool::new(matches!(page.stands, Stands::Open(Expected::Revision(_))));
        Self { place, inherited, exists, page: Mutex::new(page) }
    }

    /// The ledger as this run found it.
    pub(crate) fn inherited(&self) -> Option<&Ledger> {
        self.inherited.as_ref()
    }

    /// Whether the store may hold a ledger of this turn.
    pub(crate) fn exists(&self) -> bool {
        self.exists.load(Ordering::Relaxed)
    }

    /// The turn's tool calls as they are stored.
    pub(crate) async fn calls(&self) -> Vec<LedgerCall> {
        self.page.lock().await.ledger.calls.clone()
    }

    /// Stores everything said so far with `kinds` behind it and the calls as
    /// `change` leaves them, and says `kinds` once the store has them; with no
    /// kinds, what was said so far is made durable. One write at a time; nobody
    /// else may say anything meanwhile. A future that is dropped has said and
    /// changed nothing.
    pub(crate) async fn write(
        &self,
        into: &Writer,
        kinds: Vec<Kind>,
        change: impl FnOnce(&mut Vec<LedgerCall>) + Send,
    ) -> Result<(), Unwritten> {
        let mut page = self.page.lock().await;
        let mut ledger = page.ledger.clone();
        change(&mut ledger.calls);
        ledger.said = into.pieces(&kinds)?;
        share(&mut ledger, self.place.run);
        let value = encoded(&ledger)?;
        self.exists.store(true, Ordering::Relaxed);
        let stored = self.store(&mut page, value).await;
        if stored == Err(Unwritten::Superseded) {
            page.stands = Stands::Superseded;
        }
        stored?;
        page.ledger = Ledger { said: Vec::new(), ..ledger };
        for kind in kinds {
            into.say(kind)?;
        }
        Ok(())
    }

    async fn store(&self, page: &mut Page, value: Bytes) -> Result<(), Unwritten> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Stands::Open(expected) = page.stands else {
                return Err(Unwritten::Superseded);
            };
            let left = until.saturating_duration_since(Instant::now());
            let put = insist(left, || self.place.put(&value, expected)).await;
            match put.map_err(Unwritten::Store)? {
                Put::Stored(revision) => {
                    page.stands = Stands::Open(Expected::Revision(revision));
                    break;
                }
                Put::Mine(revision) => page.stands = Stands::Open(Expected::Revision(revision)),
                Put::Superseded => return Err(Unwritten::Superseded),
            }
        }
        if !page.checked {
            let mine = insist(PATIENCE, || self.place.is_mine()).await;
            if !mine.map_err(Unwritten::Store)? {
                self.place.withdraw().await;
                return Err(Unwritten::Superseded);
            }
            page.checked = true;
        }
        Ok(())
    }
}

impl Place {
    /// Enters this run in the ledger, if there is one.
    async fn enter(&self) -> broker::Result<Found> {
        let generation = self.since.generation;
        let Some(record) = self.get().await? else {
            return Ok(Found::Nothing);
        };
        let mut ledger = read(&record)?;
        if ledger.generation > generation {
            return Ok(Found::Later);
        }
        if self.wrote(&ledger) {
            // An earlier try whose answer did not come.
            ledger.runs.pop();
            return Ok(Found::Entered(ledger, record.revision));
        }
        if ledger.generation < generation {
            ledger = Ledger { version: FORMAT, generation, ..Ledger::default() };
        }
        let value = entered(ledger.clone(), self.run).encode_to_vec().into();
        let expected = Expected::Revision(record.revision);
        let revision = self.records.put(Bucket::Ledgers, &self.key, value, expected).await?;
        Ok(Found::Entered(ledger, revision))
    }

    /// Stores a value. A refusal, or no answer, is believed only after a look at
    /// what is there.
    async fn put(&self, value: &Bytes, expected: Expected) -> broker::Result<Put> {
        let put = self.records.put(Bucket::Ledgers, &self.key, value.clone(), expected).await;
        let refused = match put {
            Ok(revision) => return Ok(Put::Stored(revision)),
            Err(broker::Error::Conflict) => "the ledger was not as expected".to_owned(),
            Err(broker::Error::Unavailable(reason)) => reason,
            Err(error) => return Err(error),
        };
        let Some(record) = self.get().await? else {
            let first = expected == Expected::Absent;
            let unstored = broker::Error::Unavailable(refused);
            return if first { Err(unstored) } else { Ok(Put::Superseded) };
        };
        if record.value == *value {
            return Ok(Put::Stored(record.revision));
        }
        if !self.wrote(&read(&record)?) {
            return Ok(Put::Superseded);
        }
        if expected == Expected::Revision(record.revision) {
            return Err(broker::Error::Unavailable(refused));
        }
        Ok(Put::Mine(record.revision))
    }

    /// Removes what was written for a session that had been erased.
    async fn withdraw(&self) {
        let removed = insist(SHORT_PATIENCE, async || match self.get().await? {
            Some(record) if self.wrote(&read(&record)?) => {
                self.records.delete(Bucket::Ledgers, &self.key).await
            }
            Some(_) | None => Ok(()),
        });
        if let Err(error) = removed.await {
            tracing::warn!(key = %self.key, %error, "a ledger of an erased session stays behind");
        }
    }

    async fn get(&self) -> broker::Result<Option<Record>> {
        self.records.get(Bucket::Ledgers, &self.key).await
    }

    /// Whether this run is the last that wrote.
    fn wrote(&self, ledger: &Ledger) -> bool {
        ledger.runs.last().is_some_and(|it| it.run == self.run)
    }

    /// Whether the turn is still this run's to go on with: its session was not
    /// erased, no other run has ended it since, and no turn has taken the place of
    /// others, itself perhaps among them. Whoever asks after that has removed the
    /// ledger that would tell.
    async fn is_mine(&self) -> broker::Result<bool> {
        let Since { generation, replacements, stored: had } = self.since;
        let Some(record) = self.records.get(Bucket::Transcripts, &self.session).await? else {
            return Ok(generation == 0);
        };
        let transcript = Transcript::decode(record.value)
            .map_err(|error| broker::Error::Corrupt(format!("a transcript: {error}")))?;
        let stored = transcript.turns.iter().any(|it| it.turn_id == self.turn);
        let same = (transcript.generation, transcript.replacements) == (generation, replacements);
        Ok(same && (had || !stored))
    }
}

/// The ledger with a run that goes on from its end.
fn entered(mut ledger: Ledger, run: u32) -> Ledger {
    let last = boundary(&ledger);
    ledger.runs.push(LedgerRun { run, last });
    let old = ledger.runs.len().saturating_sub(MAX_RUNS);
    ledger.runs.drain(..old);
    ledger
}

/// Lets the run share with the ledger what is said there.
fn share(ledger: &mut Ledger, run: u32) {
    let last = boundary(ledger);
    match ledger.runs.last_mut() {
        Some(it) if it.run == run => it.last = last,
        Some(_) | None => ledger.runs.push(LedgerRun { run, last }),
    }
}

/// The last event that is told by itself: somebody may have the text behind it
/// as one with what its run said later, and could not take back half of it.
fn boundary(ledger: &Ledger) -> u32 {
    let alone = ledger.said.iter().rev().find(|it| it.ends.is_empty());
    alone.and_then(|it| it.event.as_ref()).map_or(0, |it| it.index)
}

fn encoded(ledger: &Ledger) -> Result<Bytes, Unwritten> {
    if ledger.encoded_len() > MAX_BYTES {
        return Err(Unwritten::TooLong);
    }
    Ok(ledger.encode_to_vec().into())
}

fn read(record: &Record) -> broker::Result<Ledger> {
    let ledger = Ledger::decode(record.value.clone())
        .map_err(|error| broker::Error::Corrupt(format!("a ledger: {error}")))?;
    if ledger.version > FORMAT {
        let newer = format!("a ledger of format {}, newer than {FORMAT}", ledger.version);
        return Err(broker::Error::Corrupt(newer));
    }
    if !is_whole(&ledger) {
        return Err(broker::Error::Corrupt("a ledger whose text has gaps".to_owned()));
    }
    Ok(ledger)
}
