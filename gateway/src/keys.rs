//! What idempotency keys were used for: a record of each, written before its
//! question is submitted. Whoever writes it first knows that the key is new
//! without a look at the log; everybody else finds out what became of it.
//!
//! The record decides nothing alone: between it and the submit a gateway may
//! die, and then the next request with the key submits the same turn, which the
//! queue takes once. A second write, once the question is accepted, tells a turn
//! that is no longer kept from one that never was. A key belongs to the first
//! question that was asked with it and not refused, for 24 hours;
//! after that only to a turn that the log still has. Erasing a session erases
//! its keys; the queue still remembers their turns for a while (15 minutes), in
//! which a question under such a key is refused, not asked again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Error, Expected, Key};
use bytes::Bytes;
use proto::{Session, TurnId};
use serde::{Deserialize, Serialize};

use crate::caller::Owned;
use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use crate::question::Question;
use crate::submit::{Standing, known, reused};

/// How long a key is remembered without its turn.
pub(crate) const KEPT: Duration = Duration::from_hours(24);
/// How often the record may change while it is read.
const TRIES: usize = 8;
/// One in so many new keys looks for old ones of its session.
const SWEEP: u8 = 16;
/// Records that one look reads at most.
const SWEPT: usize = 256;
const FORMAT: u32 = 1;

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// Of the question, as hexadecimal digits.
    fingerprint: String,
    /// Seconds since 1970.
    at: u64,
    /// Whether the queue has taken the question, as far as is known.
    accepted: bool,
}

/// The right to submit a question under its key.
#[derive(Debug)]
pub(crate) struct Claim {
    session: Owned,
    turn: TurnId,
    record: Record,
    revision: u64,
}

/// How a key stands.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// Its question is to be submitted.
    Open(Claim),
    /// Its question was accepted before.
    Used(Standing),
}

/// Looks up what the key of a question was used for; a new one is written down.
pub(crate) async fn claim(edge: &Edge, question: &Question) -> Result<Claimed, Refusal> {
    let records = &edge.broker.records;
    let key = name(&question.session, question.turn);
    let mine = Record {
        version: FORMAT,
        fingerprint: hex(&question.job.fingerprint),
        at: process::clock::now().as_secs(),
        accepted: false,
    };
    let open = |revision| {
        let (session, turn) = (question.session.clone(), question.turn);
        Ok(Claimed::Open(Claim { session, turn, record: mine.clone(), revision }))
    };
    for _ in 0..TRIES {
        match records.put(Bucket::Keys, &key, mine.to_bytes(), Expected::Absent).await {
            Ok(revision) => return open(revision),
            Err(Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(found) = records.get(Bucket::Keys, &key).await? else { continue };
        let before = Record::from_bytes(&found.value)?;
        let lapsed = before.is_lapsed(mine.at);
        if !lapsed && before.fingerprint != mine.fingerprint {
            return Err(reused(question));
        }
        if let Some(standing) = known(edge, question).await? {
            return Ok(Claimed::Used(standing));
        }
        if !lapsed && before.accepted {
            let detail = "the question was accepted before, and its turn is no longer kept";
            return Err(Refusal::new(Code::TurnExpired, detail).about(question.turn));
        }
        if !lapsed {
            return open(found.revision);
        }
        let expected = Expected::Revision(found.revision);
        match records.put(Bucket::Keys, &key, mine.to_bytes(), expected).await {
            Ok(revision) => return open(revision),
            Err(Error::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::new(Code::Unavailable, "others use this key at this moment; try again"))
}

impl Claim {
    /// The question was accepted. Written down beside the answer, which does not
    /// depend on it.
    pub(crate) fn accepted(self, edge: &Arc<Edge>) {
        let owner = Arc::clone(edge);
        edge.life.spawn_as("notes of keys", async move {
            let edge = owner;
            if let Err(error) = self.note(&edge).await {
                tracing::debug!(%error, turn = %self.turn, "an accepted key was not noted");
            }
        });
    }

    /// The question was refused: the key is as if it had not been used, and a
    /// client that is refused again and again leaves nothing behind.
    pub(crate) async fn refused(self, edge: &Edge) {
        let records = &edge.broker.records;
        let key = name(&self.session, self.turn);
        let withdrawn = async {
            let found = records.get(Bucket::Keys, &key).await?;
            // Not when another gateway went on with the key meanwhile.
            if found.is_some_and(|it| it.revision == self.revision) {
                records.delete(Bucket::Keys, &key).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = withdrawn.await {
            tracing::debug!(%error, turn = %self.turn, "a refused key stays bound");
        }
    }

    async fn note(&self, edge: &Edge) -> broker::Result<()> {
        let records = &edge.broker.records;
        let value = Record { accepted: true, ..self.record.clone() }.to_bytes();
        let expected = Expected::Revision(self.revision);
        let key = name(&self.session, self.turn);
        match records.put(Bucket::Keys, &key, value, expected).await {
            // Noted by another gateway, or erased.
            Ok(_) | Err(Error::Conflict) => {}
            Err(error) => return Err(error),
        }
        let chosen = self.turn.to_string().bytes().fold(0_u8, u8::wrapping_add);
        if chosen.is_multiple_of(SWEEP) {
            sweep(edge, &self.session, self.record.at).await
        } else {
            Ok(())
        }
    }
}

/// Removes keys of a session that are past their time.
async fn sweep(edge: &Edge, session: &Session, now: u64) -> broker::Result<()> {
    let records = &edge.broker.records;
    for key in records.list(Bucket::Keys, &Key::session(session)).await?.iter().take(SWEPT) {
        let Some(found) = records.get(Bucket::Keys, key).await? else { continue };
        if Record::from_bytes(&found.value).is_ok_and(|it| it.is_lapsed(now)) {
            records.delete(Bucket::Keys, key).await?;
        }
    }
    Ok(())
}

impl Record {
    fn to_bytes(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers are always JSON").into()
    }

    fn from_bytes(bytes: &[u8]) -> broker::Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("the record of an idempotency key: {error}")))
    }

    fn is_lapsed(&self, now: u64) -> bool {
        now.saturating_sub(self.at) > KEPT.as_secs()
    }
}

fn name(session: &Session, turn: TurnId) -> Key {
    Key::session(session).child(&turn.to_string())
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _infallible = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_lapses_after_a_day() {
        let fingerprint = hex(&[0, 15, 255]);
        assert_eq!(fingerprint, "000fff");
        let record = Record { version: FORMAT, fingerprint, at: 1_000, accepted: true };
        assert_eq!(Record::from_bytes(&record.to_bytes()).unwrap(), record);
        let day = KEPT.as_secs();
        for (now, lapsed) in [(0, false), (1_000 + day, false), (1_001 + day, true)] {
            assert_eq!(record.is_lapsed(now), lapsed, "{now}");
        }
    }
}
