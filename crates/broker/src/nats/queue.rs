//! Jobs on the stream `JOBS`: accepted is stored, and a session's admission is
//! the condition of the publish itself. Acknowledges only what an answer
//! confirms; a job that cannot be read is buried, never retried for ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::header::{NATS_MESSAGE_ID, NATS_ROLLUP};
use async_nats::{HeaderMap, Message, Request, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use proto::{DeadLetter, FORMAT, Job, Session, SessionId, TurnId, UserId};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::guard::Declared;
use super::pull::{Pulled, Puller};
use super::read;
use super::records::Buckets;
use super::settings::{self, JOBS};
use super::wire::{ASK, Trouble, Wire, code, right_after};
use crate::{
    Admission, Bucket, Delivery, Error, Expected, Key, Lease, Limits, MAX_BUSY, MAX_JOB_BYTES,
    Pending, Queue, Records as _, Result, Sequence, Submitted, token,
};

/// How long a submit is tried while the queue has no leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a settlement is tried.
const SETTLE: Duration = Duration::from_secs(5);
/// The pause before a pull that was refused is made anew.
const PAUSE: Duration = Duration::from_millis(250);

/// The jobs of all sessions.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) wire: Wire,
    pub(super) limits: Limits,
    pub(super) declared: Arc<Declared>,
    pub(super) buckets: Buckets,
    /// Pullers that wait for nothing right now: as many as ever waited at once.
    pub(super) idle: Mutex<Vec<Puller>>,
}

#[async_trait]
impl Queue for Jobs {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> Result<Submitted> {
        let payload = Bytes::from(job.encode_to_vec());
        if payload.len() > MAX_JOB_BYTES {
            return Err(Error::TooLarge { what: "job", size: payload.len(), limit: MAX_JOB_BYTES });
        }
        if let Err(why) = job.turn_id.parse::<TurnId>() {
            return Err(Error::Unsuitable(format!("a job's turn id {why}")));
        }
        if admission == Admission::Enqueue && self.is_held_or_full(session, job).await? {
            return Ok(Submitted::Duplicate);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut doubtful = false;
        loop {
            match self.submit_once(session, job, &payload, admission).await {
                Err(Error::Unavailable(why)) if Instant::now() < deadline => {
                    tracing::debug!(?session, why, "a submit is in doubt; trying again");
                    doubtful = true;
                    sleep(Duration::from_millis(50)).await;
                }
                // Most likely the doubtful try's own success.
                Ok(Submitted::Duplicate) if doubtful => {
                    let held = self.holds(session, &job.turn_id).await?;
                    return Ok(held.map_or(Submitted::Duplicate, Submitted::Accepted));
                }
                outcome => return outcome,
            }
        }
    }

    async fn next(&self) -> Result<Delivery> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut puller = match idle {
            Some(puller) => puller,
            None => Puller::open(&self.wire).await?,
        };
        loop {
            match puller.pull().await? {
                Pulled::Job(message) => {
                    if let Some(delivery) = self.delivered(message).await? {
                        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(puller);
                        return Ok(delivery);
                    }
                }
                Pulled::Nothing => {}
                Pulled::Broken => puller = Puller::open(&self.wire).await?,
                Pulled::Refused(why) => {
                    tracing::debug!(why, "a pull was refused");
                    sleep(PAUSE).await;
                    if let Err(error) = self.declared.repair().await {
                        tracing::warn!(%error, "no jobs can be pulled");
                    }
                    puller = Puller::open(&self.wire).await?;
                }
            }
        }
    }

    async fn first(&self, session: &Session) -> Result<Option<Sequence>> {
        read::first(&self.wire, JOBS, &token::jobs(session)).await
    }

    async fn pending(&self, session: &Session) -> Result<Vec<Pending>> {
        let subject = token::jobs(session);
        let mut pending = Vec::new();
        let mut from = 1;
        while let Some(message) = read::next(&self.wire, JOBS, &subject, from).await? {
            from = message.seq + 1;
            // What cannot be read is buried when it is delivered.
            if let Ok((job, turn)) = readable(session, &message.data) {
                let sequence = Sequence(message.seq);
                pending.push(Pending { sequence, turn, job });
            }
        }
        Ok(pending)
    }

    async fn clear(&self, session: &Session) -> Result<u64> {
        read::purge(&self.wire, JOBS, &token::jobs(session), None).await
    }

    async fn busy(&self, user: &UserId) -> Result<Vec<(SessionId, u64)>> {
        let counts = read::subjects(&self.wire, JOBS, &token::jobs_of(user), MAX_BUSY).await?;
        let named = |(subject, count): (String, u64)| Some((token::session(&subject)?.id, count));
        let mut busy: Vec<_> = counts.into_iter().filter_map(named).collect();
        busy.sort();
        busy.truncate(MAX_BUSY);
        Ok(busy)
    }

    async fn depth(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            messages: u64,
        }
        let call = format!("STREAM.INFO.{JOBS}");
        let info: Info = self.wire.api(&call, &json!({}), ASK).await?;
        Ok(info.state.messages)
    }
}

impl Jobs {
    async fn submit_once(
        &self,
        session: &Session,
        job: &Job,
        payload: &Bytes,
        admission: Admission,
    ) -> Result<Submitted> {
        let headers = || {
            let mut headers = match admission {
                Admission::Enqueue => HeaderMap::new(),
                Admission::IfEmpty => right_after(0),
                Admission::IfLast(at) => right_after(at.0),
            };
            headers.insert(NATS_MESSAGE_ID, job.turn_id.as_str());
            headers
        };
        let subject = token::jobs(session);
        match self.wire.publish(&subject, headers, payload.clone()).await {
            Ok(stored) if stored.duplicate => Ok(Submitted::Duplicate),
            Ok(stored) => Ok(Submitted::Accepted(Sequence(stored.seq))),
            Err(trouble) => {
                let busy = trouble.is(code::WRONG_LAST_SEQUENCE);
                let full = matches!(&trouble, Trouble::Refused(no) if no.is_full());
                // The condition may be judged before the repetition is noticed.
                if (busy || full) && self.knows(session, job).await? {
                    return Ok(Submitted::Duplicate);
                }
                Err(if busy { Error::Busy } else { trouble.into() })
            }
        }
    }

    /// Whether this turn's job is unfinished. The server forgets a submit after
    /// a while, and keeps the depth of whoever asked for the deepest queue.
    async fn is_held_or_full(&self, session: &Session, job: &Job) -> Result<bool> {
        let pending = self.pending(session).await?;
        if pending.iter().any(|it| it.job.turn_id == job.turn_id) {
            return Ok(true);
        }
        let full = pending.len() >= self.limits.queue_depth as usize;
        if full && !self.knows(session, job).await? {
            let many = pending.len();
            return Err(Error::Full(format!("the session has {many} unfinished turns")));
        }
        Ok(full)
    }

    /// Whether this turn's job was submitted before.
    async fn knows(&self, session: &Session, job: &Job) -> Result<bool> {
        if self.holds(session, &job.turn_id).await?.is_some() {
            return Ok(true);
        }
        // A publish that can only be refused, or be told that it is a repetition:
        // that is judged before the rollup, which this stream does not allow. (An
        // expected last id would serve as well, but its refusal leaves purges of
        // a replicated stream unanswered for ever; seen with 2.15.1.)
        let headers = || {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_MESSAGE_ID, job.turn_id.as_str());
            headers.insert(NATS_ROLLUP, "never");
            headers
        };
        match self.wire.publish(&token::jobs(session), headers, Bytes::new()).await {
            Ok(stored) => Ok(stored.duplicate),
            Err(trouble) if trouble.is(code::NO_ROLLUP) => Ok(false),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// Where the session's unfinished job of this turn stands.
    async fn holds(&self, session: &Session, turn: &str) -> Result<Option<Sequence>> {
        let mut pending = self.pending(session).await?.into_iter();
        Ok(pending.find(|it| it.job.turn_id == turn).map(|it| it.sequence))
    }

    /// `None` for a job that cannot be read; it is filed instead.
    async fn delivered(&self, message: Message) -> Result<Option<Delivery>> {
        let Some((reply, (attempt, sequence))) =
            message.reply.as_ref().and_then(|it| Some((it.clone(), place(it)?)))
        else {
            return Err(Error::Corrupt("a job that cannot be acknowledged".to_owned()));
        };
        let hold = Hold { wire: self.wire.clone(), reply, lasts: self.limits.lease };
        let session = token::session(&message.subject);
        let read = match &session {
            Some(session) => readable(session, &message.payload),
            None => Err("its subject names no session".to_owned()),
        };
        match (session, read) {
            (Some(session), Ok((job, turn))) => {
                if job.version != FORMAT {
                    let reason = format!("its format is {}, not {FORMAT}", job.version);
                    self.file(&message, sequence, reason).await?;
                }
                Ok(Some(Delivery { session, turn, job, sequence, attempt, lease: Box::new(hold) }))
            }
            (_, Err(reason)) => {
                self.file(&message, sequence, reason).await?;
                Box::new(hold).acknowledge().await?;
                Ok(None)
            }
            (None, Ok(_)) => Err(Error::Corrupt("a job of no session".to_owned())),
        }
    }

    async fn file(&self, message: &Message, sequence: Sequence, reason: String) -> Result<()> {
        tracing::error!(%sequence, reason, "a job cannot be read; filed under dead letters");
        let key = match token::session(&message.subject) {
            Some(session) => Key::session(&session),
            None => Key::spelled(token::encode(&message.subject)),
        };
        let letter = DeadLetter {
            job: None,
            payload: message.payload.clone(),
            code: proto::code::UNREADABLE.to_owned(),
            reason,
            // The record's own time says when.
            buried: None,
        };
        let (key, letter) = (key.child(&sequence.to_string()), letter.encode_to_vec().into());
        self.buckets.put(Bucket::DeadLetters, &key, letter, Expected::Any).await?;
        Ok(())
    }
}

/// A job as its subject says it must be, or why it is not.
fn readable(session: &Session, payload: &Bytes) -> Result<(Job, TurnId), String> {
    let job = Job::decode(payload.clone()).map_err(|error| error.to_string())?;
    if job.user_id != session.user.as_str() || job.session_id != session.id.as_str() {
        return Err("it names another session than its subject".to_owned());
    }
    match job.turn_id.parse() {
        Ok(turn) => Ok((job, turn)),
        Err(why) => Err(format!("its turn id {why}")),
    }
}

/// The delivery count and the sequence that an acknowledgement's subject tells:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.…`, or with domain and
/// account after `ACK`.
fn place(reply: &str) -> Option<(u32, Sequence)> {
    let tokens: Vec<_> = reply.split('.').collect();
    let from = match tokens.len() {
        9 => 4,
        11.. => 6,
        _ => return None,
    };
    Some((tokens.get(from)?.parse().ok()?, Sequence(tokens.get(from + 1)?.parse().ok()?)))
}

/// The hold on a delivered job.
#[derive(Debug)]
struct Hold {
    wire: Wire,
    reply: Subject,
    lasts: Duration,
}

impl Hold {
    /// Sends a settlement until it is answered. Repeating it does no harm.
    async fn settle(&self, says: Bytes, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let request = Request::new().payload(says.clone());
            match self.wire.ask(self.reply.clone(), request, ASK).await {
                Ok(_) => return Ok(()),
                Err(Trouble::Silent(_)) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }
}

#[async_trait]
impl Lease for Hold {
    fn lasts(&self) -> Duration {
        self.lasts
    }

    async fn progress(&self) -> Result<()> {
        self.settle(Bytes::from_static(b"+WPI"), Duration::ZERO).await
    }

    async fn acknowledge(self: Box<Self>) -> Result<()> {
        self.settle(Bytes::from_static(b"+ACK"), SETTLE).await
    }

    async fn later(self: Box<Self>, delay: Duration) -> Result<()> {
        let says = format!("-NAK {}", json!({"delay": settings::nanoseconds(delay)}));
        self.settle(says.into(), SETTLE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_acknowledgement_subject_are_read() {
        for reply in [
            "$JS.ACK.JOBS.workers.3.41.57.1763686800000000000.0",
            "$JS.ACK._.ABCDEF.JOBS.workers.3.41.57.1763686800000000000.0",
            "$JS.ACK.hub.ABCDEF.JOBS.workers.3.41.57.1763686800000000000.0.x",
        ] {
            assert_eq!(place(reply), Some((3, Sequence(41))));
        }
        for bad in ["", "_INBOX.a", "$JS.ACK.JOBS.workers.x.41.57.1.0"] {
            assert_eq!(place(bad), None);
        }
    }
}
