//! What becomes of a record, and what an attempt tells of what it stores.

use std::time::Duration;

use broker::{Epoch, Position, Sequence};
use prost::Message as _;
use proto::{
    Cancelled, Completed, Deleted, Ending, Entry, Event, FORMAT, Failed, Job, Message, Resumed,
    Rewind, SessionRecord, SessionState, Started, Status, event,
};

use super::answer::MOST_BYTES;
use super::{Account, ERROR_BYTES, Ended, News, Told, record};

const EPOCH: u64 = 7;
const NOW: Duration = Duration::from_secs(1_000);

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(EPOCH), sequence: Sequence(sequence) }
}

/// A turn began.
fn began(turn: &str, question: &str, sequence: u64) -> News {
    News {
        turn: turn.to_owned(),
        question: Some(question.to_owned()),
        at: at(sequence),
        when: NOW,
        erased: None,
        end: None,
    }
}

/// A turn ended.
fn ended(turn: &str, ending: Ending, sequence: u64) -> News {
    let answer = "because".to_owned();
    let end = Ended { ending, error: String::new(), answer, began: None };
    News { end: Some(end), ..began(turn, "why?", sequence) }
}

/// What is there after all that, one after the other.
fn after(all: &[News]) -> SessionRecord {
    let mut found = None;
    for news in all {
        found = record(found.as_ref(), news).or(found);
    }
    found.unwrap()
}

#[test]
fn a_turn_that_begins_and_ends_is_shown_so() {
    let running = after(&[began("a", "why?", 10)]);
    let expected = SessionRecord {
        version: FORMAT,
        title: "why?".to_owned(),
        created: Some(proto::timestamp(NOW)),
        updated: Some(proto::timestamp(NOW)),
        turn_id: "a".to_owned(),
        question: "why?".to_owned(),
        status: Status::Running.into(),
        epoch: EPOCH,
        sequence: 10,
        ..SessionRecord::default()
    };
    assert_eq!(running, expected);
    let later = News { when: NOW * 2, ..ended("a", Ending::Completed, 12) };
    let done = after(&[began("a", "why?", 10), later]);
    let expected = SessionRecord {
        updated: Some(proto::timestamp(NOW * 2)),
        answer: "because".to_owned(),
        status: Status::Idle.into(),
        ending: Ending::Completed.into(),
        sequence: 12,
        ..expected
    };
    assert_eq!(done, expected);
}

#[test]
fn each_end_has_its_status() {
    for (ending, status) in [
        (Ending::Completed, Status::Idle),
        (Ending::Failed, Status::Idle),
        (Ending::Cancelled, Status::Idle),
        (Ending::Interrupted, Status::Interrupted),
    ] {
        let record = after(&[ended("a", ending, 12)]);
        assert_eq!((record.status(), record.ending()), (status, ending));
        let next = after(&[ended("a", ending, 12), began("b", "and?", 13)]);
        assert_eq!((next.status(), next.ending()), (Status::Running, Ending::Unspecified));
        assert_eq!(next.answer, "because", "of the last turn that ended");
    }
}

#[test]
fn a_record_never_goes_back() {
    let done = after(&[began("a", "why?", 10), ended("a", Ending::Completed, 12)]);
    for stale in [
        began("a", "why?", 10),
        began("a", "why?", 11),
        ended("a", Ending::Failed, 12),
        began("z", "old?", 9),
        // It has ended, whatever else is behind that.
        began("a", "why?", 13),
        ended("a", Ending::Failed, 14),
    ] {
        assert_eq!(record(Some(&done), &stale), None, "{stale:?}");
    }
    for news in [began("b", "and?", 13), ended("b", Ending::Cancelled, 13)] {
        assert!(record(Some(&done), &news).is_some(), "{news:?}");
    }
    // A later version of this program knows better.
    let newer = SessionRecord { version: FORMAT + 1, ..SessionRecord::default() };
    assert_eq!(record(Some(&newer), &began("b", "and?", 13)), None);
}

#[test]
fn of_two_logs_the_one_in_use_counts() {
    let of = |epoch: u64, updated: Duration| SessionRecord {
        title: "kept".to_owned(),
        epoch,
        sequence: 99,
        turn_id: "a".to_owned(),
        ending: Ending::Completed.into(),
        updated: Some(proto::timestamp(updated)),
        ..SessionRecord::default()
    };
    for (epoch, updated, written) in [
        (EPOCH - 1, NOW / 2, true),
        (EPOCH - 1, NOW * 2, true),
        (EPOCH + 1, NOW / 2, true),
        (EPOCH + 1, NOW * 2, false),
        // Somebody gave a title to a conversation that had said nothing yet.
        (0, NOW / 2, true),
    ] {
        let next = record(Some(&of(epoch, updated)), &began("a", "why?", 2));
        assert_eq!(next.is_some(), written, "{epoch} {updated:?}");
        let title = next.map(|it| it.title);
        assert!(title.is_none_or(|it| it == "kept"));
    }
}

#[test]
fn a_chosen_title_stays_and_another_is_the_first_questions() {
    let first = after(&[began("a", "why?", 1), began("b", "and?", 2)]);
    assert_eq!((first.title.as_str(), first.question.as_str()), ("why?", "and?"));
    for title in ["mine", ""] {
        let named = SessionRecord { named: true, title: title.to_owned(), ..first.clone() };
        let next = record(Some(&named), &began("c", "so?", 3)).unwrap();
        assert_eq!((next.named, next.title.as_str()), (true, title));
    }
    let late = after(&[began("a", " \n\t", 1), began("b", "and?", 2)]);
    assert_eq!(late.title, "and?");
}

#[test]
fn a_title_is_one_line_of_80_characters_at_most() {
    let (exact, long) = ("é".repeat(80), "é".repeat(81));
    let cut = format!("{}…", "é".repeat(80));
    let spaced = format!("{} {}", "x".repeat(79), "y".repeat(9));
    let unspaced = format!("{}…", "x".repeat(79));
    for (question, title) in [
        ("  Why\t is \u{3000}it?  \nand more", "Why is it?"),
        ("\r\n\n  second\nthird", "second"),
        ("be\u{7}ep\u{1b}[31m", "beep[31m"),
        ("", ""),
        (&exact, &exact),
        (&long, &cut),
        (&spaced, &unspaced),
    ] {
        assert_eq!(after(&[began("a", question, 1)]).title, title, "{question:?}");
    }
}

#[test]
fn only_the_beginning_of_what_is_long_is_kept() {
    let question = format!("{}é", "x".repeat(MOST_BYTES - 1));
    let mut news = ended("a", Ending::Failed, 2);
    news.question = Some(question);
    news.end.as_mut().unwrap().error = "é".repeat(ERROR_BYTES);
    let record = after(&[news]);
    assert_eq!(record.question.len(), MOST_BYTES - 1);
    assert_eq!(record.error.len(), ERROR_BYTES);
    let answer = "y".repeat(MOST_BYTES);
    let size = SessionRecord { answer, ..record }.encoded_len();
    assert!(size <= 4 * 1024, "{size} bytes: lists read 10,000 of them");
}

#[test]
fn decisions_keep_the_question_that_they_are_about() {
    let waits = ended("a", Ending::Interrupted, 2);
    let decides = News { question: None, ..began("b", "", 3) };
    let record = after(&[waits, decides]);
    let (turn, question) = (record.turn_id.as_str(), record.question.as_str());
    assert_eq!((turn, question, record.status()), ("b", "why?", Status::Running));
}

#[test]
fn nothing_is_taken_over_from_before_an_erasure() {
    let old = ended("a", Ending::Completed, 12);
    let anew = News { erased: Some(Sequence(13)), when: NOW * 2, ..began("a", "hello?", 14) };
    let record = after(&[old, anew]);
    let said = (record.title.as_str(), record.answer.as_str(), record.question.as_str());
    assert_eq!(said, ("hello?", "", "hello?"));
    assert_eq!(record.created, Some(proto::timestamp(NOW * 2)));
    // What came after it stays.
    let named = SessionRecord { named: true, title: "mine".to_owned(), ..record };
    let done = News { erased: Some(Sequence(13)), ..ended("a", Ending::Completed, 15) };
    let next = super::record(Some(&named), &done).unwrap();
    assert_eq!((next.title.as_str(), next.answer.as_str()), ("mine", "because"));
}

/// An attempt that stores entries; what it tells of each.
struct Tale {
    account: Account,
    told: tokio::sync::mpsc::Receiver<Told>,
    state: Option<SessionState>,
    sequence: u64,
}

impl Tale {
    fn new() -> Self {
        let content = "why?".to_owned();
        let messages = vec![Message { content, ..Message::default() }];
        let job = Job { turn_id: "a".to_owned(), messages, ..Job::default() };
        let (account, told) = Account::open(&job);
        Self { account, told, state: None, sequence: 10 }
    }

    fn entry(&mut self, turn: &str, events: Vec<Event>) -> Entry {
        let last = self.state.as_ref().map(|it| (self.sequence, it));
        let entry = Entry::after(last, turn, 1, events);
        self.sequence += 1;
        self.state.clone_from(&entry.state);
        entry
    }

    /// Stores events; what it tells then.
    fn stores(&mut self, turn: &str, events: Vec<Event>) -> Option<News> {
        let entry = self.entry(turn, events);
        self.account.stored(at(self.sequence), &entry, NOW);
        match self.told.try_recv() {
            Ok(Told::News(news)) => Some(news),
            Ok(Told::Erased(at)) => panic!("erased at {at}"),
            Err(_nothing) => None,
        }
    }

    /// Somebody else stores events, and the attempt finds them to be the last.
    fn finds(&mut self, turn: &str, events: Vec<Event>) {
        let entry = self.entry(turn, events);
        self.account.looked(Sequence(self.sequence), &entry);
    }
}

fn note(kind: event::Kind) -> Vec<Event> {
    vec![kind.into()]
}

fn started() -> Vec<Event> {
    let started = Started { input: "why?".to_owned(), ..Started::default() };
    note(event::Kind::Started(started))
}

fn completed() -> Vec<Event> {
    note(event::Kind::Completed(Completed::default()))
}

fn text(index: u32, text: &str) -> Vec<Event> {
    vec![Event { index, kind: Some(event::Kind::Text(text.to_owned())) }]
}

#[test]
fn an_attempt_tells_the_beginning_and_the_end_and_nothing_between() {
    let mut tale = Tale::new();
    assert_eq!(tale.stores("a", started()), Some(began("a", "why?", 11)));
    let rewind = Event { index: 1, kind: Some(event::Kind::Rewind(Rewind { to: 1 })) };
    for events in [text(1, "be"), text(2, "?"), vec![rewind], text(2, "cause")] {
        assert_eq!(tale.stores("a", events), None);
    }
    assert_eq!(tale.stores("a", completed()), Some(ended("a", Ending::Completed, 16)));
}

#[test]
fn a_turn_that_ends_as_it_begins_is_told_once() {
    let mut tale = Tale::new();
    let both = [started(), note(event::Kind::Cancelled(Cancelled {}))].concat();
    let news = tale.stores("a", both).unwrap();
    let end = Ended {
        ending: Ending::Cancelled,
        error: String::new(),
        answer: String::new(),
        began: None,
    };
    assert_eq!((news.question.as_deref(), news.end), (Some("why?"), Some(end)));
}

#[test]
fn who_takes_over_tells_that_the_beginning_is_in_the_log() {
    let mut tale = Tale::new();
    tale.finds("a", started());
    tale.finds("a", text(1, "be"));
    let news = tale.stores("a", note(event::Kind::Resumed(Resumed {}))).unwrap();
    assert_eq!(news, began("a", "why?", 13));
    tale.stores("a", text(2, "cause"));
    let end = tale.stores("a", completed()).unwrap().end.unwrap();
    assert_eq!((end.began, end.answer.as_str()), (Some(Sequence(11)), ""));
}

#[test]
fn who_ends_a_turn_that_lost_its_job_tells_of_that_one() {
    let mut tale = Tale::new();
    tale.finds("z", started());
    let failed = Failed { message: "lost".to_owned(), ..Failed::default() };
    let news = tale.stores("z", note(event::Kind::Failed(failed))).unwrap();
    let end = news.end.unwrap();
    assert_eq!((news.turn.as_str(), news.question, end.began), ("z", None, Some(Sequence(11))));
    assert_eq!((end.ending, end.error.as_str()), (Ending::Failed, "lost"));
    assert_eq!(tale.stores("a", started()), Some(began("a", "why?", 13)));
}

#[test]
fn who_finds_his_turn_ended_tells_where_it_began() {
    let mut tale = Tale::new();
    tale.finds("a", started());
    tale.finds("a", completed());
    tale.account.found(at(12), &tale.state.clone().unwrap(), NOW);
    let Ok(Told::News(news)) = tale.told.try_recv() else { panic!("nothing was told") };
    let end = news.end.unwrap();
    assert_eq!((end.ending, end.began), (Ending::Completed, Some(Sequence(11))));
}

#[test]
fn who_finds_his_turn_erased_tells_where() {
    let mut tale = Tale::new();
    tale.finds("a", started());
    tale.finds("", note(event::Kind::Deleted(Deleted {})));
    tale.account.found(at(12), &tale.state.clone().unwrap(), NOW);
    let Ok(Told::Erased(place)) = tale.told.try_recv() else { panic!("it was not told") };
    assert_eq!(place, at(12));
    // The id is used again, and the turn too.
    let news = tale.stores("a", started()).unwrap();
    assert_eq!(news.erased, Some(Sequence(12)));
}
