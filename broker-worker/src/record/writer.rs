//! Writes what an attempt tells into the session's record, beside the attempt
//! and never in its way. What cannot be written in time is left out and logged.
//!
//! A record that is there is changed only at the revision that was read. Erasing
//! a session takes its record away after its tombstone is stored, so such a
//! change is refused, or is erased too. A record that is made anew could come
//! after all that; who made one therefore looks at the log, and takes it away
//! again from behind a tombstone.

use std::time::Duration;

use broker::{Broker, Bucket, Epoch, Error, Expected, Key, Position, Result, Sequence};
use futures::FutureExt as _;
use prost::Message as _;
use proto::{Session, SessionRecord};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::turn::Turn;
use super::{Ended, News, Told, is_ahead, record};

/// How long a job waits for its turn's record.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is read from the log.
const READING: Duration = Duration::from_secs(1);
/// Entries that one read asks for.
const READ: usize = 4096;
/// The pause before a log is read again that lags behind.
const LAG: Duration = Duration::from_millis(20);
/// How often others may be first to change a record.
const TRIES: usize = 8;

/// Writes a session's record for one attempt.
#[derive(Debug)]
pub(crate) struct Writer {
    broker: Broker,
    session: Session,
    key: Key,
    told: mpsc::Receiver<Told>,
    /// The record as this attempt left it.
    known: Option<Found>,
}

/// A record that is there.
#[derive(Debug, Clone)]
struct Found {
    /// None where it cannot be read; then it is written anew.
    record: Option<SessionRecord>,
    revision: u64,
}

impl Writer {
    pub(crate) fn new(broker: Broker, session: Session, told: mpsc::Receiver<Told>) -> Self {
        let key = Key::session(&session);
        Self { broker, session, key, told, known: None }
    }

    /// Runs an attempt, and writes what it tells meanwhile; what is left then has
    /// a moment more.
    pub(crate) async fn beside<T>(self, attempt: impl Future<Output = T>) -> T {
        let session = self.session.clone();
        let mut writing = Box::pin(self.run().fuse());
        let mut attempt = std::pin::pin!(attempt);
        let done = tokio::select! {
            biased;
            done = &mut attempt => done,
            () = &mut writing => return attempt.await,
        };
        if timeout(PATIENCE, writing).await.is_err() {
            tracing::warn!(?session, "a session's record was not written in time");
        }
        done
    }

    /// Writes until nobody is left who could tell something.
    async fn run(mut self) {
        while let Some(told) = self.told.recv().await {
            let written = timeout(PATIENCE, self.write(told)).await;
            let error = match written {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => Error::Unavailable(format!("not within {PATIENCE:?}")),
            };
            // What was under way may be stored or not.
            self.known = None;
            tracing::warn!(session = ?self.session, %error, "a session's record was not written");
        }
    }

    async fn write(&mut self, told: Told) -> Result<()> {
        match told {
            Told::News(news) => self.news(news).await,
            Told::Erased(at) => self.erased(at).await,
        }
    }

    async fn news(&mut self, mut news: News) -> Result<()> {
        let mut found = match self.known.take() {
            Some(known) => Some(known),
            None => self.read().await?,
        };
        for _ in 0..TRIES {
            let there = found.as_ref().and_then(|it| it.record.as_ref());
            if there.is_some_and(|it| is_ahead(it, &news)) {
                self.known = found;
                return Ok(());
            }
            self.hear(&mut news).await;
            let Some(next) = record(there, &news) else {
                self.known = found;
                return Ok(());
            };
            let expected =
                found.as_ref().map_or(Expected::Absent, |it| Expected::Revision(it.revision));
            let value = next.encode_to_vec().into();
            match self.broker.records.put(Bucket::Sessions, &self.key, value, expected).await {
                Ok(revision) => {
                    self.known = Some(Found { record: Some(next), revision });
                    return match found {
                        Some(_) => Ok(()),
                        None => self.unless_erased(news.at).await,
                    };
                }
                Err(Error::Conflict) => {}
                Err(error) => return Err(error),
            }
            let was_there = found.is_some();
            found = self.read().await?;
            if was_there && found.is_none() && self.tombstone(news.at).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::Conflict)
    }

    async fn read(&self) -> Result<Option<Found>> {
        let found = self.broker.records.get(Bucket::Sessions, &self.key).await?;
        Ok(found.map(|it| {
            let record = SessionRecord::decode(it.value);
            if let Err(error) = &record {
                tracing::warn!(session = ?self.session, %error, "a session's record cannot be read");
            }
            Found { record: record.ok(), revision: it.revision }
        }))
    }

    /// Takes the record that was just made away again if the session was erased
    /// meanwhile.
    async fn unless_erased(&mut self, at: Position) -> Result<()> {
        match self.tombstone(at).await? {
            Some(tombstone) => self.erased(tombstone).await,
            None => Ok(()),
        }
    }

    /// Where the session was erased behind a place, if nothing came since.
    async fn tombstone(&self, at: Position) -> Result<Option<Position>> {
        let last = self.broker.log.last(&self.session).await?;
        let erased = last.filter(|it| it.sequence > at.sequence && it.entry.is_tombstone());
        Ok(erased.map(|it| Position { sequence: it.sequence, ..at }))
    }

    /// Removes a record of what was erased here.
    async fn erased(&mut self, at: Position) -> Result<()> {
        self.known = None;
        let Some(Found { record: Some(found), .. }) = self.read().await? else { return Ok(()) };
        if Epoch(found.epoch) == at.epoch && found.sequence < at.sequence.0 {
            self.broker.records.delete(Bucket::Sessions, &self.key).await?;
        }
        Ok(())
    }

    /// Reads from the log what the attempt has not heard of a turn that ended. A
    /// part is not told: the rest may take it back.
    async fn hear(&self, news: &mut News) {
        let Some(began) = news.end.as_mut().and_then(|it| it.began.take()) else { return };
        let recall = self.recall(&news.turn, began, news.at.sequence);
        match timeout(READING, recall).await {
            Ok(Ok(turn)) => news.heard(turn),
            Ok(Err(error)) => {
                tracing::warn!(session = ?self.session, %error, "an answer was not read");
            }
            Err(_) => tracing::warn!(session = ?self.session, "an answer was not read in time"),
        }
    }

    /// A turn that began in one entry, heard up to another.
    async fn recall(&self, turn: &str, began: Sequence, end: Sequence) -> Result<Turn> {
        let mut turn = Turn::new(turn);
        let mut after = began.before();
        while after < end && turn.end.is_none() {
            let entries = self.broker.log.read(&self.session, after, READ).await?;
            let Some(last) = entries.last() else {
                sleep(LAG).await;
                continue;
            };
            after = last.sequence;
            for stored in &entries {
                turn.hear(stored.sequence, &stored.entry);
            }
        }
        Ok(turn)
    }
}

impl News {
    /// Takes in what was read of the turn.
    fn heard(&mut self, turn: Turn) {
        let Some(end) = &mut self.end else { return };
        turn.answer.text().clone_into(&mut end.answer);
        if self.question.is_none() {
            self.question = turn.question;
        }
        if let Some(read) = turn.end {
            self.at.sequence = read.at;
            *end = Ended { ending: read.ending, error: read.error, ..end.clone() };
        }
    }
}
