//! The sessions of a user in the order of their last activity, and places in it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker::{Bucket, Error, Key};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use proto::{Session, SessionId, SessionRecord, UserId};

use crate::edge::Edge;
use crate::openai::is_passing;
use crate::problem::Refusal;
use crate::record;

/// Sessions without a record whose jobs are looked at, and how many at once.
const MOST_NEW: usize = 512;
const AT_ONCE: usize = 16;

/// Where a session stands in the order, also when it is there no more. Later is
/// greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Seconds and nanoseconds since 1970.
    at: (i64, i32),
    id: String,
}

impl Place {
    fn of(session: &SessionId, record: &SessionRecord) -> Self {
        let at = record.updated.as_ref().map_or((0, 0), |it| (it.seconds, it.nanos));
        Self { at, id: session.to_string() }
    }

    /// Reads a cursor that a page gave.
    pub(crate) fn parse(cursor: &str) -> Result<Self, Refusal> {
        let place = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
            let mut parts = text.splitn(3, '.');
            let at = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let id = parts.next()?.parse::<SessionId>().ok()?.to_string();
            Some(Self { at, id })
        };
        place().ok_or_else(|| Refusal::field("cursor", "must be one that a page has given"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{}.{}", self.at.0, self.at.1, self.id);
        f.write_str(&URL_SAFE_NO_PAD.encode(text))
    }
}

/// A session in the order.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) session: Session,
    pub(crate) place: Place,
    pub(crate) record: SessionRecord,
    /// It had unfinished jobs.
    pub(crate) busy: bool,
}

impl Listed {
    fn new(session: Session, record: SessionRecord, busy: bool) -> Self {
        Self { place: Place::of(&session.id, &record), session, record, busy }
    }
}

/// The sessions of a user, the one with the latest activity first; without those
/// of one request each.
pub(crate) async fn of_user(edge: &Edge, user: &UserId) -> Result<Vec<Listed>, Error> {
    // In this order: a session whose job is gone has a record.
    let busy = edge.broker.queue.busy(user).await?;
    let lasting = busy.into_iter().filter(|it| !is_passing(&it.0));
    let mut busy: BTreeMap<SessionId, u64> = lasting.collect();
    let mut listed = Vec::new();
    for (key, found) in edge.broker.records.below(Bucket::Sessions, &Key::user(user)).await? {
        let Some(id) = id(&key).filter(|it| !is_passing(it)) else { continue };
        let record = record::decode(&found).unwrap_or_else(|error| {
            tracing::error!(%error, %key, "a session is listed without its title");
            SessionRecord::default()
        });
        let is_busy = busy.remove(&id).is_some();
        listed.push(Listed::new(Session { user: user.clone(), id }, record, is_busy));
    }
    let new = busy.into_keys().take(MOST_NEW);
    let new = new.map(|id| new_one(edge, Session { user: user.clone(), id }));
    let new = stream::iter(new).buffered(AT_ONCE);
    let new = new.try_filter_map(|it| std::future::ready(Ok(it)));
    listed.extend(new.try_collect::<Vec<_>>().await?);
    listed.sort_by(|one, other| other.place.cmp(&one.place));
    Ok(listed)
}

/// The session of a record's key.
fn id(key: &Key) -> Option<SessionId> {
    match key.names().as_slice() {
        [_, id] => id.parse().ok(),
        [] | [_] | [_, _, ..] => None,
    }
}

/// A session that had no record, but a job.
async fn new_one(edge: &Edge, session: Session) -> Result<Option<Listed>, Error> {
    if let Some(first) = edge.broker.queue.pending(&session).await?.first() {
        return Ok(Some(Listed::new(session, record::of_job(&first.job), true)));
    }
    // Its turn has begun, and even ended, meanwhile.
    let found = record::of(edge, &session).await?;
    Ok(found.map(|it| Listed::new(session, it.0, true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Timestamp;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_is_one() {
        for id in ["s", "a.b", "用户", "1.2.3"] {
            let record = SessionRecord {
                updated: Some(Timestamp { seconds: 1_700_000_000, nanos: 5 }),
                ..SessionRecord::default()
            };
            let place = Place::of(&id.parse().unwrap(), &record);
            assert_eq!(Place::parse(&place.to_string()).unwrap(), place);
        }
        for bad in ["", "x", "MS4y", "MS4yLg", "5", "=", "MS54LnM", &"A".repeat(9999)] {
            assert!(Place::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn later_activity_is_a_greater_place() {
        let place = |seconds, nanos, id: &str| Place { at: (seconds, nanos), id: id.to_owned() };
        assert!(place(2, 0, "a") > place(1, 9, "b"));
        assert!(place(1, 9, "a") > place(1, 8, "b"));
        assert!(place(1, 9, "b") > place(1, 9, "a"));
    }
}
