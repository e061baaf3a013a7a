//! Session logs on the stream `LOG`: the condition of an append is the last
//! sequence of its subject, and readers hear what the stream republishes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use async_nats::header::NATS_SEQUENCE;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message as _;
use proto::{Entry, Session};
use serde_json::json;
use tokio::time::timeout;

use super::guard::{Declared, Guard};
use super::live::{self, Subscribed};
use super::read;
use super::settings::LOG;
use super::wire::{CAPACITY, Trouble, Wire, code, right_after};
use crate::{
    AppendError, Epoch, Error, Live, Log, MAX_ENTRY_BYTES, Result, Sequence, Stored, token,
};

/// The most entries of one read, and the bytes after which no more are added.
/// All of a read must fit into its inbox, with the mark that ends it: what does
/// not is dropped. So a read holds this and one entry at most.
const MOST: usize = 32;
const _: () = assert!(MOST < CAPACITY);
const MOST_BYTES: usize = 128 * 1024;
/// How long the next entry of a read is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a server may believe that it leads when another one does: one that
/// wakes up for milliseconds, one that is cut off until it misses the others.
const DOUBT: Duration = Duration::from_secs(15);

/// The entries of all sessions.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) wire: Wire,
    pub(super) declared: Arc<Declared>,
    /// Keeps the declaration true for as long as the log is used.
    pub(super) _guard: Guard,
}

#[async_trait]
impl Log for Entries {
    fn epoch(&self) -> Epoch {
        self.declared.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        let size = entry.len();
        if size > MAX_ENTRY_BYTES {
            return Err(AppendError::Failed(too_large(size)));
        }
        let condition = || right_after(follows.0);
        match self.wire.publish(&token::log(session), condition, entry).await {
            Ok(stored) => Ok(Sequence(stored.seq)),
            Err(Trouble::Silent(why)) => Err(AppendError::Unknown(why)),
            Err(Trouble::Refused(no)) if no.err_code == code::WRONG_LAST_SEQUENCE => {
                Err(self.refusal(session, follows, &no.description).await)
            }
            Err(trouble) => Err(AppendError::Failed(trouble.into())),
        }
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        let last = read::last(&self.wire, LOG, &token::log(session)).await?;
        last.map(|it| stored(it.seq, &it.data)).transpose()
    }

    fn doubt(&self) -> Duration {
        if self.declared.is_replicated() { DOUBT } else { Duration::ZERO }
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        // One request and one inbox for the whole range: the stream answers
        // with the messages themselves and an end mark.
        let inbox = self.wire.client().new_inbox();
        let mut answers = self.wire.subscribe(inbox.clone()).await?;
        let most = most.clamp(1, MOST);
        let question = json!({
            "seq": after.0 + 1,
            "next_by_subj": token::log(session),
            "batch": most,
            "max_bytes": MOST_BYTES,
        });
        let ask = format!("$JS.API.DIRECT.GET.{LOG}");
        let sent =
            self.wire.client().publish_with_reply(ask.clone(), inbox, question.to_string().into());
        match timeout(PATIENCE, sent).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Error::Unavailable(error.to_string())),
            Err(_) => return Err(Error::Unavailable("the connection is stuck".to_owned())),
        }
        let mut read = Vec::new();
        loop {
            match timeout(PATIENCE, answers.next()).await {
                Ok(Some(answer)) if answer.status.is_none() => read.push(heard(&answer)?),
                Ok(Some(answer)) => return end(&answer, read),
                // What has come so far is the beginning of the range.
                Ok(None) | Err(_) if !read.is_empty() => return Ok(read),
                Ok(None) | Err(_) => {
                    let why = self.wire.silence(&ask, PATIENCE);
                    return Err(Error::Unavailable(format!("a read was not answered: {why}")));
                }
            }
        }
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        let subscriber = self.wire.subscribe(token::live(session)).await?;
        Ok(live::bounded(Subscribed::new(subscriber, self.declared.missed())))
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        if before <= Sequence(1) {
            return Ok(0);
        }
        read::purge(&self.wire, LOG, &token::log(session), Some(before.0)).await
    }
}

impl Entries {
    /// What a refusal means. One that names an end before the place that was to
    /// be followed is not another writer's doing; when the log goes further, it
    /// came from a server that is behind, and another may have stored the entry.
    async fn refusal(&self, session: &Session, follows: Sequence, says: &str) -> AppendError {
        let behind =
            self.declared.is_replicated() && last_said(says).is_some_and(|it| it < follows);
        if behind
            && let Ok(Some(last)) = self.last(session).await
            && last.sequence >= follows
        {
            return AppendError::Unknown("refused by a server that is behind".to_owned());
        }
        AppendError::Refused
    }
}

/// The last sequence that a refusal names: `wrong last sequence: 41`.
fn last_said(description: &str) -> Option<Sequence> {
    description.rsplit(' ').next()?.parse().ok().map(Sequence)
}

fn too_large(size: usize) -> Error {
    Error::TooLarge { what: "entry", size, limit: MAX_ENTRY_BYTES }
}

/// What a status message says about the read that it ends.
fn end(answer: &Message, read: Vec<Stored>) -> Result<Vec<Stored>> {
    let status = answer.status.map_or(0, |it| it.as_u16());
    match status {
        204 | 404 => Ok(read),
        503 => Err(Error::Unavailable("nobody answers reads".to_owned())),
        other => {
            let says = answer.description.as_deref().unwrap_or_default();
            Err(Error::Unavailable(format!("a read was refused: {other} {says}")))
        }
    }
}

/// A message that the stream republished or read out.
pub(super) fn heard(message: &Message) -> Result<Stored> {
    let headers = message.headers.as_ref();
    let sequence = headers.and_then(|it| it.get(NATS_SEQUENCE)?.as_str().parse().ok());
    match sequence {
        Some(sequence) => stored(sequence, &message.payload),
        None => Err(Error::Corrupt("a log message without its sequence".to_owned())),
    }
}

fn stored(sequence: u64, payload: &Bytes) -> Result<Stored> {
    let entry = Entry::decode(payload.clone())
        .map_err(|error| Error::Corrupt(format!("entry {sequence} of the log: {error}")))?;
    Ok(Stored { sequence: Sequence(sequence), entry })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_last_sequence() {
        assert_eq!(last_said("wrong last sequence: 41"), Some(Sequence(41)));
        assert_eq!(last_said("wrong last sequence"), None);
    }
}
