//! Single messages by subject, and which subjects there are, from the stream's
//! leader: what is read here is certain. Never a direct get, which any replica
//! may answer.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::wire::{ASK, Trouble, Wire, code};
use crate::{Error, Result, Sequence};

/// How long a question or an erasure is tried while the stream has no leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// A stored message.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) seq: u64,
    #[serde(default, deserialize_with = "decoded")]
    pub(super) data: Bytes,
    #[serde(default, deserialize_with = "decoded")]
    hdrs: Bytes,
}

impl Message {
    /// Whether it only marks that a key was removed.
    pub(super) fn is_marker(&self) -> bool {
        let headers = String::from_utf8_lossy(&self.hdrs);
        headers.contains("KV-Operation: DEL") || headers.contains("KV-Operation: PURGE")
    }
}

fn decoded<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(serde::de::Error::custom)
}

/// The last message of a subject.
pub(super) async fn last(wire: &Wire, stream: &str, subject: &str) -> Result<Option<Message>> {
    message(wire, stream, &json!({"last_by_subj": subject})).await
}

/// Where the first message of a subject stands. The server has no answer
/// without the content, but that is neither decoded nor copied here.
pub(super) async fn first(wire: &Wire, stream: &str, subject: &str) -> Result<Option<Sequence>> {
    #[derive(Deserialize)]
    struct Place {
        seq: u64,
    }
    let question = json!({"seq": 1, "next_by_subj": subject});
    let first: Option<Place> = message(wire, stream, &question).await?;
    Ok(first.map(|it| Sequence(it.seq)))
}

/// The first message of a subject at or after a place.
pub(super) async fn next(
    wire: &Wire,
    stream: &str,
    subject: &str,
    from: u64,
) -> Result<Option<Message>> {
    message(wire, stream, &json!({"seq": from.max(1), "next_by_subj": subject})).await
}

/// A message, or of it what `T` wants to know.
async fn message<T: DeserializeOwned>(
    wire: &Wire,
    stream: &str,
    question: &Value,
) -> Result<Option<T>> {
    #[derive(Deserialize)]
    struct Answer<T> {
        message: T,
    }
    let call = format!("STREAM.MSG.GET.{stream}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match wire.api::<Answer<T>>(&call, question, ASK).await {
            Ok(answer) => return Ok(Some(answer.message)),
            Err(trouble) if trouble.is(code::NO_MESSAGE) => return Ok(None),
            Err(Trouble::Silent(_)) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(trouble) => return Err(trouble.into()),
        }
    }
}

/// The subjects that a filter matches, each with how many messages it has: all,
/// or at least `most` of them. The server tells a part of them at a time.
pub(super) async fn subjects(
    wire: &Wire,
    stream: &str,
    filter: &str,
    most: usize,
) -> Result<BTreeMap<String, u64>> {
    #[derive(Deserialize)]
    struct Page {
        state: State,
        #[serde(default)]
        total: usize,
    }
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        subjects: Option<BTreeMap<String, u64>>,
    }
    let call = format!("STREAM.INFO.{stream}");
    let (mut found, mut offset) = (BTreeMap::new(), 0);
    loop {
        let question = json!({"subjects_filter": filter, "offset": offset});
        let page: Page = wire.api(&call, &question, ASK).await?;
        let subjects = page.state.subjects.unwrap_or_default();
        offset += subjects.len();
        let done = subjects.is_empty() || offset >= page.total.min(most);
        found.extend(subjects);
        if done {
            return Ok(found);
        }
    }
}

/// Erases a subject's messages, or those before a place; returns how many.
/// Doing it twice does no harm, so it is tried until it is answered.
pub(super) async fn purge(
    wire: &Wire,
    stream: &str,
    subject: &str,
    before: Option<u64>,
) -> Result<u64> {
    #[derive(Deserialize)]
    struct Purged {
        purged: u64,
    }
    let call = format!("STREAM.PURGE.{stream}");
    let mut question = json!({"filter": subject});
    if let Some(before) = before {
        question["seq"] = json!(before);
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match wire.api::<Purged>(&call, &question, ASK).await {
            Ok(answer) => return Ok(answer.purged),
            Err(Trouble::Silent(_)) if Instant::now() < deadline => {
                sleep(PAUSE).await;
            }
            Err(trouble) => return Err(Error::from(trouble)),
        }
    }
}
