//! What a session's turns said, in `Records`, for the next question's prompt.
//!
//! Bounded: the oldest turns go first, then what does not fit is cut. Never
//! brings back a transcript that was erased while its turn ran.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Expected, Record, Records};
use prost::Message as _;
use proto::{FORMAT, Message, Session, Transcript, TranscriptTurn, TurnId};

/// The largest transcript, encoded, in bytes.
const MAX_BYTES: usize = broker::MAX_RECORD_BYTES - 64 * 1024;

/// How long the past is asked for while the store does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The first pause between two tries; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// The transcripts of all sessions.
#[derive(Debug, Clone)]
pub(crate) struct Transcripts {
    records: Arc<dyn Records>,
}

/// A session's transcript as it was when a turn began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    /// Messages of the other turns, oldest first; `None` when there were none.
    pub(crate) messages: Option<Vec<Message>>,
    /// Which of the session's transcripts it was: erasing begins another one.
    generation: u64,
}

impl Transcripts {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self { records }
    }

    /// What the session said before this turn. Waits out a short outage.
    pub(crate) async fn before(&self, session: &Session, turn: TurnId) -> broker::Result<Past> {
        let key = broker::Key::session(session);
        let read = || self.records.get(Bucket::Transcripts, &key);
        let Some(record) = insist(PATIENCE, read).await? else {
            return Ok(Past::default());
        };
        let turn = turn.to_string();
        let Transcript { turns: mut others, generation, .. } = decode(&record)?;
        others.retain(|it| it.turn_id != turn);
        let known = !others.is_empty();
        let messages = others.into_iter().flat_map(|it| it.messages);
        Ok(Past { messages: known.then(|| messages.collect()), generation })
    }

    /// Stores a turn as the session's last, in place of what was stored of it.
    /// Tries for as long as `patience`.
    pub(crate) async fn store(
        &self,
        session: &Session,
        turn: &TranscriptTurn,
        past: &Past,
        patience: Duration,
    ) -> broker::Result<()> {
        insist(patience, || self.change(session, turn, past)).await
    }

    async fn change(
        &self,
        session: &Session,
        turn: &TranscriptTurn,
        past: &Past,
    ) -> broker::Result<()> {
        let key = broker::Key::session(session);
        let found = self.records.get(Bucket::Transcripts, &key).await?;
        let (transcript, expected) = match &found {
            Some(record) => (decode(record)?, Expected::Revision(record.revision)),
            None => (Transcript::default(), Expected::Absent),
        };
        if transcript.generation != past.generation {
            tracing::info!(?session, "a transcript was erased while its turn ran");
            return Ok(());
        }
        let value = with(transcript, turn.clone()).encode_to_vec().into();
        self.records.put(Bucket::Transcripts, &key, value, expected).await?;
        Ok(())
    }
}

/// Tries again after a conflict, and after a pause when the store does not
/// answer, until `patience` is over.
async fn insist<T, F>(
    patience: Duration,
    attempt: impl Fn() -> F + Send + Sync,
) -> broker::Result<T>
where
    T: Send,
    F: Future<Output = broker::Result<T>> + Send,
{
    let trying = async {
        let mut pause = PAUSE;
        loop {
            match attempt().await {
                Err(broker::Error::Conflict) => {}
                Err(broker::Error::Unavailable(reason) | broker::Error::NoRoom(reason)) => {
                    tracing::debug!(reason, "a transcript waits for the store");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    };
    tokio::time::timeout(patience, trying).await.unwrap_or_else(|_| {
        Err(broker::Error::Unavailable("the store did not answer in time".to_owned()))
    })
}

fn decode(record: &Record) -> broker::Result<Transcript> {
    let transcript = Transcript::decode(record.value.clone())
        .map_err(|error| broker::Error::Corrupt(format!("a transcript: {error}")))?;
    if transcript.version > FORMAT {
        return Err(broker::Error::Corrupt(format!(
            "a transcript of format {}, newer than {FORMAT}",
            transcript.version
        )));
    }
    Ok(transcript)
}

/// The transcript with the turn as its last, within the limit.
fn with(mut transcript: Transcript, turn: TranscriptTurn) -> Transcript {
    let turn = fit(turn);
    let mut turns = VecDeque::from(std::mem::take(&mut transcript.turns));
    turns.retain(|it| it.turn_id != turn.turn_id);
    turns.push_back(turn);
    let mut size: usize = turns.iter().map(size_of_turn).sum();
    while size > MAX_BYTES {
        let Some(oldest) = turns.pop_front() else {
            break;
        };
        size -= size_of_turn(&oldest);
    }
    Transcript { version: FORMAT, turns: turns.into(), ..transcript }
}

/// A turn that fits alone: without the oldest of its earlier messages, and with
/// question and answer cut when these two alone are too long.
fn fit(mut turn: TranscriptTurn) -> TranscriptTurn {
    let kept = turn.messages.len().saturating_sub(2);
    let mut size = size_of_turn(&turn);
    let dropped = turn.messages[..kept]
        .iter()
        .take_while(|message| {
            let over = size > MAX_BYTES;
            size = size.saturating_sub(message.encoded_len() + 6);
            over
        })
        .count();
    turn.messages.drain(..dropped);
    if size_of_turn(&turn) > MAX_BYTES {
        for message in &mut turn.messages {
            let keep = message.content.floor_char_boundary(MAX_BYTES / 2 - 1024);
            message.content.truncate(keep);
        }
    }
    turn
}

/// A turn's bytes inside a transcript, with its tag and length.
fn size_of_turn(turn: &TranscriptTurn) -> usize {
    turn.encoded_len() + 6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(id: usize, question: usize, answer: usize) -> TranscriptTurn {
        let message = |role: &str, size: usize| Message {
            role: role.to_owned(),
            content: "三".repeat(size / 3),
            ..Message::default()
        };
        TranscriptTurn {
            turn_id: id.to_string(),
            messages: vec![message("user", question), message("assistant", answer)],
            ..TranscriptTurn::default()
        }
    }

    #[test]
    fn the_oldest_turns_are_dropped_past_the_limit() {
        let mut transcript = Transcript::default();
        for id in 0..20 {
            transcript = with(transcript, turn(id, 30_000, 70_000));
            assert!(transcript.encoded_len() <= MAX_BYTES);
        }
        let ids: Vec<_> = transcript.turns.iter().map(|it| &it.turn_id).collect();
        assert_eq!(ids, ["13", "14", "15", "16", "17", "18", "19"]);
    }

    #[test]
    fn a_turn_too_long_alone_is_cut_but_stored() {
        let stored = with(Transcript::default(), turn(1, 500_000, 4_000_000));
        assert_eq!(stored.turns.len(), 1);
        assert!(stored.encoded_len() <= MAX_BYTES);
        let mut with_history = turn(1, 1_000, 1_000);
        with_history.messages.splice(..0, turn(1, 500_000, 500_000).messages);
        let stored = with(Transcript::default(), with_history);
        assert_eq!(stored.turns[0].messages.len(), 3);
    }

    #[test]
    fn a_turn_stored_again_takes_its_own_place() {
        let mut transcript = with(Transcript::default(), turn(1, 3, 3));
        transcript = with(transcript, turn(1, 6, 6));
        assert_eq!(transcript.turns, [turn(1, 6, 6)]);
    }
}
