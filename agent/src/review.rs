//! Tool calls that wait for a human, in `Records`: which they are, which turns
//! ended because of them, and what was decided.
//!
//! Holds nothing between two turns. A call is decided once; a record of another
//! generation of the session's transcript means nothing.

mod summary;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Expected, Record, Records};
use prost::Message as _;
use proto::review::{Refused, arguments_hash};
use proto::{
    Decision, FORMAT, Interrupted, PendingCall, Resume, Review, Transcript, code, timestamp,
};

use crate::registry::Key;
use crate::store::insist;
use summary::summary;

/// How long a decision, or a question to a human, waits for the store.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pending calls of all sessions.
#[derive(Debug, Clone)]
pub(crate) struct Reviews {
    records: Arc<dyn Records>,
}

/// What a human decided about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is made.
    Accept,
    /// It is made with these arguments, which fit.
    Edit(String),
    /// It is not made; why, if it was said.
    Reject(String),
    /// It is not made; this stands for its result.
    Respond(String),
}

/// What a turn is to carry out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decided {
    /// The calls that this turn decides, in the calls' order. Empty for a turn
    /// that is interrupted already by what remains.
    pub(crate) calls: Vec<(PendingCall, Answer)>,
    /// The calls that still wait.
    pub(crate) remaining: Vec<PendingCall>,
}

/// Why nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Undecided {
    /// The decisions do not count.
    Refused {
        /// `decision_refused` or `decision_expired`.
        code: &'static str,
        /// Why, in a sentence for people.
        message: String,
    },
    /// The store did not answer, or its record cannot be read.
    Store(broker::Error),
}

impl Reviews {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self { records }
    }

    /// Records that a turn ends because of calls that wait for a human, and
    /// returns how it ends. New calls begin a new review, in which calls that
    /// this turn was to decide and did not still wait; without new calls the
    /// turn joins the present review. Doing it again changes nothing.
    ///
    /// Of a new call, id, name, arguments and reason count; the hash is made
    /// here, and the summary unless there is one. `expires` says how long a
    /// human may take.
    pub(crate) async fn open(
        &self,
        key: &Key,
        generation: u64,
        calls: Vec<PendingCall>,
        expires: Option<Duration>,
    ) -> broker::Result<Interrupted> {
        let calls: Vec<_> = calls.into_iter().map(|it| complete(key, it)).collect();
        let now = process::clock::now();
        let fresh = Review {
            calls: calls.clone(),
            at: Some(timestamp(now)),
            expires: expires.map(|it| timestamp(now + it)),
            ..Review::default()
        };
        let changed = |present: &Review| opened(present, key, &fresh);
        let (review, revision) = self.change(key, generation, changed).await?;
        if let Some(revision) = revision {
            self.forget_erased(key, generation, revision).await?;
        }
        let erased = review.generation != generation;
        let calls = if erased { calls } else { waiting(&review) };
        Ok(Interrupted { calls, expires: review.expires })
    }

    /// Decides calls, all that the request names or none. `fits` says why
    /// a call cannot be made with its arguments; then nothing is decided. The same turn asking again finds what
    /// it decided.
    pub(crate) async fn decide(
        &self,
        key: &Key,
        generation: u64,
        resume: &Resume,
        fits: impl Fn(&str, &str) -> Result<(), String> + Send + Sync,
    ) -> Result<Decided, Undecided> {
        let decided = insist(PATIENCE, || self.decide_once(key, generation, resume, &fits)).await;
        decided.map_err(Undecided::Store)?
    }

    /// The conversation goes on with this turn, which decides nothing: what
    /// waits from before it waits no more.
    pub(crate) async fn close(&self, key: &Key, generation: u64) -> broker::Result<()> {
        let closed = |present: &Review| {
            let open = !present.closed && !present.has_turn(key.turn) && !present.calls.is_empty();
            open.then(|| Review { closed: true, ..present.clone() })
        };
        self.change(key, generation, closed).await.map(drop)
    }

    /// Puts what `changed` makes of the present review, if anything, in its
    /// place; returns what is there now, and its revision if it was changed. Of
    /// an erased session nothing is there, and nothing is put there.
    async fn change(
        &self,
        key: &Key,
        generation: u64,
        changed: impl Fn(&Review) -> Option<Review> + Send + Sync,
    ) -> broker::Result<(Review, Option<u64>)> {
        insist(PATIENCE, || async {
            let (present, expected) = self.read(key).await?;
            if present.generation > generation {
                return Ok((Review::default(), None));
            }
            let present = Some(present).filter(|it| it.generation == generation);
            let present = present.unwrap_or_default();
            let Some(review) = changed(&present) else { return Ok((present, None)) };
            let review = Review { version: FORMAT, generation, ..review };
            let revision = self.put(key, &review, expected).await?;
            Ok((review, Some(revision)))
        })
        .await
    }

    async fn decide_once(
        &self,
        key: &Key,
        generation: u64,
        resume: &Resume,
        fits: &(impl Fn(&str, &str) -> Result<(), String> + Send + Sync),
    ) -> broker::Result<Result<Decided, Undecided>> {
        let (present, expected) = self.read(key).await?;
        let present = Some(present).filter(|it| it.generation == generation).unwrap_or_default();
        let judged = match present.judge(key.turn, resume, process::clock::now()) {
            Ok(judged) => judged,
            // It had come to its end before, and is asked once more.
            Err(_) if present.has_turn(key.turn) => {
                return Ok(Ok(Decided { calls: Vec::new(), remaining: present.pending() }));
            }
            Err(refused) => return Ok(Err(refused.into())),
        };
        if !judged.repeated {
            if let Err(undecided) = check(&judged.calls, fits) {
                return Ok(Err(undecided));
            }
            match self.put(key, &judged.after, expected).await {
                Err(broker::Error::TooLarge { .. }) => return Ok(Err(too_large())),
                put => drop(put?),
            }
        }
        let remaining = judged.after.pending();
        let calls = judged.calls.into_iter().map(|(call, it)| (call, answer(it))).collect();
        Ok(Ok(Decided { calls, remaining }))
    }

    async fn read(&self, key: &Key) -> broker::Result<(Review, Expected)> {
        let found = self.records.get(Bucket::Reviews, &name(key)).await?;
        let Some(record) = found else { return Ok((Review::default(), Expected::Absent)) };
        Ok((decode(&record)?, Expected::Revision(record.revision)))
    }

    async fn put(&self, key: &Key, review: &Review, expected: Expected) -> broker::Result<u64> {
        let value = review.encode_to_vec().into();
        self.records.put(Bucket::Reviews, &name(key), value, expected).await
    }

    /// Takes a review back that came to lie in a session behind its erasure,
    /// which marks the transcript before it removes anything.
    async fn forget_erased(&self, key: &Key, generation: u64, revision: u64) -> broker::Result<()> {
        insist(PATIENCE, || async {
            let found = self.records.get(Bucket::Transcripts, &name(key)).await?;
            let transcript = found.map(|it| Transcript::decode(it.value)).transpose();
            let transcript = transcript
                .map_err(|error| broker::Error::Corrupt(format!("a transcript: {error}")))?
                .unwrap_or_default();
            if transcript.generation == generation && !transcript.erasing {
                return Ok(());
            }
            let empty = Review { version: FORMAT, generation, ..Review::default() };
            match self.put(key, &empty, Expected::Revision(revision)).await {
                // Somebody else's by now, or gone.
                Ok(_) | Err(broker::Error::Conflict) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

impl From<Refused> for Undecided {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Expired => code::DECISION_EXPIRED,
            Refused::Unknown
            | Refused::Closed
            | Refused::Decided(_)
            | Refused::NoSuchCall(_)
            | Refused::Altered(_)
            | Refused::Twice(_) => code::DECISION_REFUSED,
        };
        Self::Refused { code, message: refused.to_string() }
    }
}

fn refused(message: impl Into<String>) -> Undecided {
    Undecided::Refused { code: code::DECISION_REFUSED, message: message.into() }
}

fn too_large() -> Undecided {
    refused("the decisions are too large to be kept together with those before them")
}

fn check(
    calls: &[(PendingCall, Decision)],
    fits: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<(), Undecided> {
    for (call, decision) in calls {
        let (id, name) = (&call.call_id, &call.name);
        let arguments = match decision.r#type.as_str() {
            "edit" => &decision.arguments,
            "accept" => &call.arguments,
            _ => continue,
        };
        fits(name, arguments).map_err(|why| {
            refused(format!("the call `{id}` of `{name}` cannot be made like that now: {why}"))
        })?;
    }
    Ok(())
}

/// Its type is one of these four: a request is checked before.
fn answer(decision: Decision) -> Answer {
    match decision.r#type.as_str() {
        "accept" => Answer::Accept,
        "edit" => Answer::Edit(decision.arguments),
        "respond" => Answer::Respond(decision.message),
        _ => Answer::Reject(decision.message),
    }
}

/// The call as humans are asked about it.
fn complete(key: &Key, call: PendingCall) -> PendingCall {
    let or = |text: String, made: &dyn Fn() -> String| if text.is_empty() { made() } else { text };
    PendingCall {
        arguments_hash: arguments_hash(&key.session, key.turn, &call),
        summary: or(call.summary, &|| summary(&call.name, &call.arguments)),
        reason: or(call.reason, &|| "review".to_owned()),
        ..call
    }
}

/// The calls of a review that are still to be decided.
fn waiting(review: &Review) -> Vec<PendingCall> {
    if review.closed { Vec::new() } else { review.pending() }
}

/// What becomes of the present review when the turn ends because of the calls of
/// `fresh`; `None` when nothing does.
fn opened(present: &Review, key: &Key, fresh: &Review) -> Option<Review> {
    let mut carried = waiting(present);
    let interrupted = present.has_turn(key.turn);
    if fresh.calls.is_empty() {
        let joins = !interrupted && !carried.is_empty();
        return joins.then(|| joined(present.clone(), key));
    }
    let own = |it: &PendingCall| arguments_hash(&key.session, key.turn, it) == it.arguments_hash;
    let holds = |review: &Review, it: &PendingCall| review.calls.iter().any(|call| same(call, it));
    let said = fresh.calls.iter().all(|it| holds(present, it));
    if interrupted && said && present.calls.iter().all(|it| !own(it) || holds(fresh, it)) {
        return None;
    }
    let turn = key.turn.to_string();
    let takes_part = interrupted || present.decided.iter().any(|it| it.turn_id == turn);
    carried.retain(|it| takes_part && !own(it));
    let mut calls = fresh.calls.clone();
    calls.retain(|it| !carried.iter().any(|old| same(old, it)));
    carried.retain(|it| !calls.iter().any(|call| call.call_id == it.call_id));
    let turn_ids = if carried.is_empty() { Vec::new() } else { present.turn_ids.clone() };
    carried.append(&mut calls);
    Some(joined(Review { turn_ids, calls: carried, ..fresh.clone() }, key))
}

fn same(one: &PendingCall, other: &PendingCall) -> bool {
    (&one.call_id, &one.name, &one.arguments) == (&other.call_id, &other.name, &other.arguments)
}

fn joined(mut review: Review, key: &Key) -> Review {
    review.turn_ids.push(key.turn.to_string());
    review
}

fn decode(record: &Record) -> broker::Result<Review> {
    let review = Review::decode(record.value.clone())
        .map_err(|error| broker::Error::Corrupt(format!("pending calls: {error}")))?;
    if review.version > FORMAT {
        return Err(broker::Error::Corrupt(format!(
            "pending calls of format {}, newer than {FORMAT}",
            review.version
        )));
    }
    Ok(review)
}

fn name(key: &Key) -> broker::Key {
    broker::Key::session(&key.session)
}
