//! What a session's turns said, in `Records`, for the next question's prompt.
//!
//! Bounded: the oldest turns go first, then what does not fit is cut. Never
//! brings back a transcript that was erased while its turn ran.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Expected, Record, Records};
use prost::Message as _;
use proto::{Citation, FORMAT, Message, Session, Transcript, TranscriptTurn, TurnId};

use crate::store::insist;

/// The largest transcript, encoded, in bytes.
const MAX_BYTES: usize = broker::MAX_RECORD_BYTES - 64 * 1024;

/// How long the past is asked for while the store does not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The transcripts of all sessions.
#[derive(Debug, Clone)]
pub(crate) struct Transcripts {
    records: Arc<dyn Records>,
}

/// A session's transcript as it was when a turn began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    /// What the other turns said, oldest first, without what the summary stands
    /// for.
    pub(crate) messages: Vec<Message>,
    /// Where each turn ends in `messages`, and its id.
    ends: Vec<(usize, String)>,
    /// What stands for everything before `messages`.
    pub(crate) summary: Summary,
    /// The places that tools have found, with their numbers.
    pub(crate) sources: Vec<Citation>,
    /// The last turn, if it waits for a human.
    pub(crate) interrupted: Option<Interrupted>,
    /// Turns whose ledgers nobody needs any more.
    pub(crate) ledgers: Vec<String>,
    /// There were turns.
    pub(crate) known: bool,
    /// This turn had been stored before, by another run of it.
    pub(crate) stored: bool,
    /// And later turns after it: it has long ended.
    pub(crate) over: bool,
    /// Which of the session's transcripts it was: erasing begins another one.
    pub(crate) generation: u64,
}

/// What stands for the oldest turns of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Empty when there is none.
    pub(crate) text: String,
    /// The last turn that it stands for.
    turn: String,
    /// How many messages it stands for.
    pub(crate) messages: u32,
}

/// A turn that waits for a human: how it was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupted {
    pub(crate) model: String,
    pub(crate) system: String,
}

impl Past {
    fn new(transcript: Transcript, turn: &str) -> Self {
        let Transcript { mut turns, generation, .. } = transcript;
        let own = turns.iter().position(|it| it.turn_id == turn);
        let over = own.is_some_and(|at| at + 1 < turns.len());
        turns.retain(|it| it.turn_id != turn);
        let mut past = Self {
            known: !turns.is_empty(),
            stored: own.is_some(),
            over,
            interrupted: turns
                .last()
                .filter(|it| it.interrupted)
                .map(|it| Interrupted { model: it.model.clone(), system: it.system.clone() }),
            summary: Summary {
                text: transcript.summary,
                turn: transcript.summarized,
                messages: transcript.summarized_messages,
            },
            generation,
            ..Self::default()
        };
        for it in &turns {
            past.ledgers.extend(it.ledger.then(|| it.turn_id.clone()));
            for source in &it.sources {
                past.sources.retain(|known| known.number != source.number);
                past.sources.push(source.clone());
            }
        }
        let summarized = turns.iter().position(|it| it.turn_id == past.summary.turn);
        for it in turns.into_iter().skip(summarized.map_or(0, |at| at + 1)) {
            past.messages.extend(it.messages);
            past.ends.push((past.messages.len(), it.turn_id));
        }
        past
    }

    /// Takes away what was said from the last question on: a turn that resumes
    /// the one before it goes on there.
    pub(crate) fn take_open(&mut self) -> Vec<Message> {
        let question = self.messages.iter().rposition(|it| it.role == "user");
        let open = self.messages.split_off(question.unwrap_or(0));
        self.ends.retain(|it| it.0 <= self.messages.len());
        open
    }

    /// Where the first turn begins, with a question, that is not even in part
    /// among so many of the oldest messages.
    pub(crate) fn boundary(&self, omitted: usize) -> usize {
        let asks = |at: usize| self.messages.get(at).is_none_or(|it| it.role == "user");
        let ends = self.ends.iter().map(|it| it.0);
        let from = ends.filter(|end| *end >= omitted && asks(*end)).min();
        if omitted == 0 { 0 } else { from.unwrap_or(self.messages.len()) }
    }

    /// Has a text stand for everything up to a boundary.
    pub(crate) fn summarize(&mut self, boundary: usize, text: String) {
        let last = self.ends.iter().rev().find(|it| it.0 == boundary);
        self.summary = Summary {
            text,
            turn: last.map(|it| it.1.clone()).unwrap_or_default(),
            messages: self.summary.messages + u32::try_from(boundary).unwrap_or(u32::MAX),
        };
        self.messages.drain(..boundary);
        self.ends.retain(|it| it.0 > boundary);
        for end in &mut self.ends {
            end.0 -= boundary;
        }
    }
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
        Ok(Past::new(decode(&record)?, &turn.to_string()))
    }

    /// Stores a turn where it belongs, in place of what was stored of it, and the
    /// summary of its `past`. Tries for as long as `patience`. `false` when
    /// another run of the turn has stored it meanwhile: that one is the turn.
    pub(crate) async fn store(
        &self,
        session: &Session,
        turn: &TranscriptTurn,
        past: &Past,
        patience: Duration,
    ) -> broker::Result<bool> {
        insist(patience, || self.change(session, turn, past)).await
    }

    async fn change(
        &self,
        session: &Session,
        turn: &TranscriptTurn,
        past: &Past,
    ) -> broker::Result<bool> {
        let key = broker::Key::session(session);
        let found = self.records.get(Bucket::Transcripts, &key).await?;
        let (transcript, expected) = match &found {
            Some(record) => (decode(record)?, Expected::Revision(record.revision)),
            None => (Transcript::default(), Expected::Absent),
        };
        if transcript.generation != past.generation {
            tracing::info!(?session, "a transcript was erased while its turn ran");
            return Ok(true);
        }
        let own = transcript.turns.iter().find(|it| it.turn_id == turn.turn_id);
        if let Some(own) = own.filter(|_| !past.stored) {
            // Equal when it was this run whose answer did not come.
            return Ok(own == turn);
        }
        let mut transcript = with(transcript, turn.clone());
        if past.summary.messages >= transcript.summarized_messages {
            let Summary { text, turn, messages } = past.summary.clone();
            transcript.summary = text;
            (transcript.summarized, transcript.summarized_messages) = (turn, messages);
        }
        let value = transcript.encode_to_vec().into();
        self.records.put(Bucket::Transcripts, &key, value, expected).await?;
        Ok(true)
    }
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

/// The transcript with the turn where it belongs, within the limit: where it
/// was, or behind those that began before it. A turn that was stopped may be
/// stored only after the next one has begun.
fn with(mut transcript: Transcript, turn: TranscriptTurn) -> Transcript {
    let turn = fit(turn);
    let mut turns = VecDeque::from(std::mem::take(&mut transcript.turns));
    let known = turns.iter().position(|it| it.turn_id == turn.turn_id);
    let began = |it: &TranscriptTurn| it.at.as_ref().map(|it| (it.seconds, it.nanos));
    if let Some(at) = known {
        turns[at] = TranscriptTurn { at: turns[at].at.or(turn.at), ..turn };
    } else {
        let later = turns.iter().rev().take_while(|it| began(it) > began(&turn)).count();
        let place = turns.len() - later;
        // What began before it has ended, and needs its ledger no more.
        for before in turns.iter_mut().take(place) {
            before.ledger = false;
        }
        turns.insert(place, turn);
    }
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
    if size_of_turn(&turn) > MAX_BYTES {
        turn.sources.clear();
    }
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

    #[test]
    fn a_summary_stands_for_whole_turns_and_ends_where_a_question_begins() {
        let mut resumed = turn(3, 3, 3);
        resumed.messages.remove(0);
        let turns = vec![turn(1, 3, 3), turn(2, 3, 3), resumed, turn(4, 3, 3)];
        let transcript = Transcript { turns, ..Transcript::default() };
        let past = Past::new(transcript.clone(), "9");
        for (omitted, boundary) in [(0, 0), (1, 2), (2, 2), (3, 5), (4, 5), (5, 5), (6, 7), (7, 7)]
        {
            assert_eq!(past.boundary(omitted), boundary, "{omitted}");
        }
        let mut past = past;
        past.summarize(5, "they spoke".to_owned());
        assert_eq!((past.messages.len(), past.boundary(1)), (2, 2));
        let Summary { text: summary, turn: summarized, messages: summarized_messages } =
            past.summary.clone();
        assert_eq!((summarized.as_str(), summarized_messages), ("3", 5));
        let stored = Transcript { summary, summarized, summarized_messages, ..transcript };
        let mut later = Past::new(stored, "9");
        assert_eq!((later.messages.len(), later.boundary(1)), (2, 2));
        later.summarize(2, String::new());
        assert_eq!(later.summary.messages, 7);
    }

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

    fn began(id: usize, seconds: i64) -> TranscriptTurn {
        let at = Some(proto::Timestamp { seconds, nanos: 0 });
        TranscriptTurn { at, ledger: true, ..turn(id, 3, 3) }
    }

    #[test]
    fn a_turn_stands_where_it_was_or_behind_those_that_began_before_it() {
        let mut transcript = Transcript::default();
        for turn in [began(1, 10), began(3, 30), began(2, 20), began(1, 40)] {
            transcript = with(transcript, turn);
        }
        let ids: Vec<_> = transcript.turns.iter().map(|it| it.turn_id.as_str()).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        let ledgers: Vec<_> = transcript.turns.iter().map(|it| it.ledger).collect();
        assert_eq!(ledgers, [true, true, true], "each has stored itself last");
        let later = with(transcript, began(4, 50));
        let ledgers: Vec<_> = later.turns.iter().map(|it| it.ledger).collect();
        assert_eq!(ledgers, [false, false, false, true]);
    }

    #[test]
    fn a_turn_with_later_ones_behind_it_is_over() {
        let turns = vec![turn(1, 3, 3), turn(2, 3, 3)];
        let transcript = Transcript { turns, ..Transcript::default() };
        let told = |id: &str| {
            let past = Past::new(transcript.clone(), id);
            (past.stored, past.over)
        };
        assert_eq!(told("1"), (true, true));
        assert_eq!(told("2"), (true, false));
        assert_eq!(told("3"), (false, false));
    }

    #[test]
    fn a_turn_stored_again_takes_its_own_place() {
        let mut transcript = with(Transcript::default(), turn(1, 3, 3));
        transcript = with(transcript, turn(1, 6, 6));
        assert_eq!(transcript.turns, [turn(1, 6, 6)]);
    }
}
