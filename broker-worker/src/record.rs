//! What a list of conversations shows of a session: what its worker knows, and
//! what becomes of the record then. Pure but for the channel that carries the
//! news; `writer` acts. Never moves a record backwards, and takes nobody's title
//! away.

mod answer;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

use std::time::Duration;

use broker::{Position, Sequence};
use proto::{Ending, Entry, FORMAT, Job, SessionRecord, SessionState, Status};
use tokio::sync::mpsc;

use answer::{MOST_BYTES, beginning};
use turn::{End, Turn};
pub(crate) use writer::Writer;

/// News that wait to be written; an attempt has two, and two more for each turn
/// that it finds lost.
const WAITING: usize = 8;
/// What is kept of a title, in characters.
const TITLE: usize = 80;
/// What is kept of a failure's sentence, in bytes.
const ERROR_BYTES: usize = 1024;

/// What an attempt knows that the record is to say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    /// The turn that began, or ended.
    pub(crate) turn: String,
    /// None leaves the one that is known.
    pub(crate) question: Option<String>,
    /// The entry that says so.
    pub(crate) at: Position,
    /// When it was stored, since the Unix epoch.
    pub(crate) when: Duration,
    /// The session was erased here, before that turn began.
    pub(crate) erased: Option<Sequence>,
    pub(crate) end: Option<Ended>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    pub(crate) error: String,
    pub(crate) answer: String,
    /// What it said was not heard from its beginning on, which is this entry.
    pub(crate) began: Option<Sequence>,
}

/// The record as it is to be; none when what is there needs no change.
pub(crate) fn record(found: Option<&SessionRecord>, news: &News) -> Option<SessionRecord> {
    if found.is_some_and(|it| is_ahead(it, news)) {
        return None;
    }
    let before = found.filter(|it| !is_void(it, news)).cloned().unwrap_or_default();
    let when = proto::timestamp(news.when);
    let mut record = SessionRecord {
        version: FORMAT,
        created: before.created.or(Some(when)),
        updated: Some(when),
        turn_id: news.turn.clone(),
        epoch: news.at.epoch.0,
        sequence: news.at.sequence.0,
        status: status(news).into(),
        ending: Ending::Unspecified.into(),
        error: String::new(),
        ..before
    };
    if let Some(question) = &news.question {
        beginning(question, MOST_BYTES).clone_into(&mut record.question);
        if !record.named && record.title.is_empty() {
            record.title = title(question);
        }
    }
    if let Some(end) = &news.end {
        record.ending = end.ending.into();
        beginning(&end.error, ERROR_BYTES).clone_into(&mut record.error);
        record.answer.clone_from(&end.answer);
    }
    Some(record)
}

/// Whether a record says already what there is to say, or more.
pub(crate) fn is_ahead(found: &SessionRecord, news: &News) -> bool {
    if found.version > FORMAT {
        // Of a later version of this program, which may know more than this one
        // can keep.
        return true;
    }
    if is_void(found, news) {
        return false;
    }
    if found.epoch == news.at.epoch.0 {
        let ended = found.turn_id == news.turn && found.ending() != Ending::Unspecified;
        return ended || found.sequence >= news.at.sequence.0;
    }
    // Another log: the one that was born later is the one in use. A clock may
    // have gone back since, but not for both.
    let updated = found.updated.as_ref().map_or(0, |it| it.seconds);
    found.epoch > news.at.epoch.0 && u64::try_from(updated).is_ok_and(|it| it > news.when.as_secs())
}

/// Whether a record is of the conversation that was erased before this one.
fn is_void(found: &SessionRecord, news: &News) -> bool {
    let same = found.epoch == news.at.epoch.0;
    same && news.erased.is_some_and(|it| found.sequence < it.0)
}

fn status(news: &News) -> Status {
    match news.end.as_ref().map(|it| it.ending) {
        None => Status::Running,
        Some(Ending::Interrupted) => Status::Interrupted,
        Some(Ending::Unspecified | Ending::Completed | Ending::Failed | Ending::Cancelled) => {
            Status::Idle
        }
    }
}

/// The first line that says something, as a title.
fn title(question: &str) -> String {
    let line = question.lines().find(|it| !it.trim().is_empty()).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|it| !it.is_control()).collect();
    match line.char_indices().nth(TITLE) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

/// An attempt's account of what it stores, entry by entry.
#[derive(Debug)]
pub(crate) struct Account {
    turn: Turn,
    /// The session was erased here, and nothing from before counts any more.
    erased: Option<Sequence>,
    news: mpsc::Sender<Told>,
}

/// What a [`Writer`] is told.
#[derive(Debug)]
pub(crate) enum Told {
    News(News),
    /// The session was erased at this place.
    Erased(Position),
}

impl Account {
    /// The account of an attempt at a job, and what it tells.
    pub(crate) fn open(job: &Job) -> (Self, mpsc::Receiver<Told>) {
        let (news, told) = mpsc::channel(WAITING);
        (Self { turn: Turn::of(job), erased: None, news }, told)
    }

    /// The log ends here.
    pub(crate) fn looked(&mut self, at: Sequence, entry: &Entry) {
        if entry.is_tombstone() {
            self.erased = Some(at);
        }
    }

    /// An entry was stored, at this time.
    pub(crate) fn stored(&mut self, at: Position, entry: &Entry, when: Duration) {
        let news = if entry.turn_id == self.turn.id {
            self.turn.hear(at.sequence, entry);
            let end = self.turn.end.clone().map(|it| self.ended(it, entry.state.as_ref()));
            let begins = entry.events.iter().filter_map(|it| it.kind.as_ref()).any(begins);
            (begins || end.is_some()).then(|| (self.turn.question.clone(), end))
        } else {
            // Another turn, whose job is gone.
            let mut lost = Turn::new(&entry.turn_id);
            lost.hear(at.sequence, entry);
            lost.end.map(|it| (None, Some(unheard(it, entry.state.as_ref()))))
        };
        if let Some((question, end)) = news {
            let (turn, erased) = (entry.turn_id.clone(), self.erased);
            self.tell(Told::News(News { turn, question, at, when, erased, end }));
        }
    }

    /// The turn was found to have ended; the log ends here, with this state.
    pub(crate) fn found(&self, at: Position, state: &SessionState, when: Duration) {
        if self.erased == Some(at.sequence) {
            return self.tell(Told::Erased(at));
        }
        let end = End { ending: state.ending(), error: String::new(), at: at.sequence };
        let end = Some(unheard(end, Some(state)));
        let Turn { id: turn, question, .. } = &self.turn;
        let (turn, question, erased) = (turn.clone(), question.clone(), self.erased);
        self.tell(Told::News(News { turn, question, at, when, erased, end }));
    }

    fn ended(&self, end: End, state: Option<&SessionState>) -> Ended {
        if !self.turn.whole {
            return unheard(end, state);
        }
        let answer = self.turn.answer.text().to_owned();
        Ended { ending: end.ending, error: end.error, answer, began: None }
    }

    fn tell(&self, told: Told) {
        if let Err(error) = self.news.try_send(told) {
            tracing::warn!(%error, "a session's record falls behind");
        }
    }
}

/// The end of a turn that began before this attempt heard of it.
fn unheard(end: End, state: Option<&SessionState>) -> Ended {
    let began = state.map(|it| it.began).filter(|it| *it > 0);
    let began = Some(began.map_or(end.at, Sequence));
    Ended { ending: end.ending, error: end.error, answer: String::new(), began }
}

fn begins(kind: &proto::event::Kind) -> bool {
    use proto::event::Kind::{Resumed, Started};
    matches!(kind, Started(_) | Resumed(_))
}
