//! What a session's turns said, in `Records`, for the next question's prompt.
//!
//! Bounded: the oldest turns go first, then what does not fit is cut. Never
//! brings back a transcript that was erased while its turn ran, nor a turn whose
//! place another one has taken.

mod cut;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Expected, Record, Records};
use prost::Message as _;
use proto::{Citation, FORMAT, Message, Session, Transcript, TranscriptTurn, TurnId};

use crate::request::Replaces;
use crate::store::insist;
use cut::Cut;

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
    /// The turns that were there when this one began, and stay.
    turns: Vec<String>,
    /// Where each turn ends in `messages`, and its id.
    ends: Vec<(usize, String)>,
    /// What was said before the question whose place this turn takes, if that
    /// was the first; or before this one's, as an earlier run of it stored it.
    pub(crate) history: Vec<Message>,
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
    /// Why this turn cannot begin.
    pub(crate) refused: Option<Refused>,
    /// Which of the session's transcripts it was: erasing begins another one.
    pub(crate) generation: u64,
    /// How often turns had taken the place of others by then.
    pub(crate) replacements: u64,
    /// What goes when this turn is stored.
    cut: Option<Cut>,
}

/// Why a turn cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was stored, and later turns after it or in its place: it has long ended.
    Over,
    /// It is to take the place of a turn, and there is none.
    Unplaced,
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
    fn new(mut transcript: Transcript, turn: &str, replaces: Option<&Replaces>) -> Self {
        let own = transcript.position(turn);
        let later = own.is_some_and(|at| at + 1 < transcript.turns.len());
        let over = later || transcript.replaced.iter().any(|it| it == turn);
        // Where this turn is stored, the one whose place it took is gone, and it
        // has the history itself.
        let history = own.map(|at| transcript.turns[at].history().to_vec());
        transcript.turns.retain(|it| it.turn_id != turn);
        let mut past = Self {
            stored: own.is_some(),
            history: history.unwrap_or_default(),
            refused: over.then_some(Refused::Over),
            interrupted: transcript
                .turns
                .last()
                .filter(|it| it.interrupted)
                .map(|it| Interrupted { model: it.model.clone(), system: it.system.clone() }),
            generation: transcript.generation,
            replacements: transcript.replacements,
            ..Self::default()
        };
        let ledgers = transcript.turns.iter().filter(|it| it.ledger);
        past.ledgers = ledgers.map(|it| it.turn_id.clone()).collect();
        if let Some(replaces) = replaces {
            past.take_place(&mut transcript, replaces);
        }
        past.read(transcript);
        past
    }

    /// Leaves what was said before the place that this turn takes. A run of it
    /// that stored it before has left nothing else.
    fn take_place(&mut self, transcript: &mut Transcript, replaces: &Replaces) {
        let name = replaces.turn.to_string();
        let Some(place) = transcript.place(&name, replaces.behind.as_deref()) else {
            let unplaced = (!self.stored).then_some(Refused::Unplaced);
            self.refused = self.refused.or(unplaced);
            return;
        };
        if !self.ledgers.contains(&name) {
            self.ledgers.push(name.clone());
        }
        let cut = Cut::new(transcript, name, place);
        if let Some(first) = transcript.turns.get(place) {
            self.history = first.history().to_vec();
        }
        cut.take(transcript);
        self.cut = Some(cut);
    }

    fn read(&mut self, transcript: Transcript) {
        let Transcript { turns, summary: text, summarized: turn, summarized_messages, .. } =
            transcript;
        self.known = !turns.is_empty();
        self.turns = turns.iter().map(|it| it.turn_id.clone()).collect();
        self.summary = Summary { text, turn, messages: summarized_messages };
        for source in turns.iter().flat_map(|it| &it.sources) {
            self.sources.retain(|known| known.number != source.number);
            self.sources.push(source.clone());
        }
        let summarized = turns.iter().position(|it| it.turn_id == self.summary.turn);
        for it in turns.into_iter().skip(summarized.map_or(0, |at| at + 1)) {
            self.messages.extend(it.messages);
            self.ends.push((self.messages.len(), it.turn_id));
        }
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

    /// What the session said before this turn, or before the one that it
    /// `replaces`. Waits out a short outage.
    pub(crate) async fn before(
        &self,
        session: &Session,
        turn: TurnId,
        replaces: Option<&Replaces>,
    ) -> broker::Result<Past> {
        let key = broker::Key::session(session);
        let read = || self.records.get(Bucket::Transcripts, &key);
        let found = insist(PATIENCE, read).await?;
        let transcript = found.map(|it| decode(&it)).transpose()?.unwrap_or_default();
        Ok(Past::new(transcript, &turn.to_string(), replaces))
    }

    /// Stores a turn where it belongs, in place of what was stored of it, and the
    /// summary of its `past`; the turns whose place it takes go in the same write.
    /// Tries for as long as `patience`. `false` when another run of the turn has
    /// stored it meanwhile, which then is the turn, or when the conversation that
    /// it is an answer in is another one by now.
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
        let needs = past.turns.iter().chain([&turn.turn_id]);
        if transcript.replacements != past.replacements
            && (past.cut.is_some() || cut::may_be_gone(&transcript, needs))
        {
            tracing::info!(?session, turn = turn.turn_id, "turns were replaced while it ran");
            return Ok(false);
        }
        // One that said nothing takes nothing away.
        let cut = past.cut.as_ref().filter(|_| !turn.messages.is_empty());
        let Some(transcript) = cut::made(transcript, cut, &turn.turn_id) else {
            tracing::info!(?session, turn = turn.turn_id, "another turn was stored since it began");
            return Ok(false);
        };
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
