//! What a running turn has said up to now, for a reader that was not there:
//! neighbouring text as one event, all under the position of the last entry it
//! comes from. Nothing is merged across an event of another kind, because a `rewind`
//! that comes later goes back to one; one into the middle of a text, which no agent
//! of ours makes, takes all of that text back. What is past a limit is not gathered: it
//! is told as it stands in the log, so that a late reader costs no more than
//! another one.

use broker::{Sequence, Stored};
use proto::{Entry, Event, Status, event};

use crate::dialect::said::Said;

/// Bytes that are gathered, give or take an entry.
const MOST: usize = 128 * 1024;

/// Gathers the turn that runs until the entry that was the session's last when
/// the reader came.
#[derive(Debug)]
pub(crate) struct SoFar {
    turn: String,
    until: Sequence,
    at: Sequence,
    /// The turn's last entry, without its events.
    last: Entry,
    /// What was not said by the agent.
    notes: Vec<Event>,
    parts: Vec<Part>,
    bytes: usize,
}

/// Something that is told as one event.
#[derive(Debug)]
enum Part {
    Text(Said),
    Reasoning(Said),
    One(Event),
}

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was gathered, or belongs to another turn; the turn goes on.
    Yes,
    /// It was the last one: time to tell.
    Last,
    /// It is to be told by itself.
    No,
    /// It comes after the last one: time to tell, and then to tell it too.
    After,
}

impl SoFar {
    /// `None` when no turn runs.
    pub(crate) fn of(last: Option<&Stored>) -> Option<Self> {
        let last = last?;
        let state = last.entry.state.as_ref()?;
        (state.status() == Status::Running).then(|| Self {
            turn: state.turn_id.clone(),
            until: last.sequence,
            at: Sequence::START,
            last: Entry::default(),
            notes: Vec::new(),
            parts: Vec::new(),
            bytes: 0,
        })
    }

    /// The turn, as the log spells it.
    pub(crate) fn turn(&self) -> &str {
        &self.turn
    }

    /// Takes the entry in, when it is of the turn.
    pub(crate) fn take(&mut self, stored: &Stored) -> Taken {
        if stored.sequence > self.until {
            return Taken::After;
        }
        let mine = stored.entry.turn_id == self.turn;
        // Attempts are counted from 1; the rest is about the turn, not of it.
        if mine && stored.entry.attempt > 0 {
            self.bytes +=
                stored.entry.events.iter().map(prost::Message::encoded_len).sum::<usize>();
            stored.entry.events.iter().for_each(|it| self.event(it));
            self.last = Entry { events: Vec::new(), state: None, ..stored.entry.clone() };
        }
        self.at = stored.sequence;
        let enough = mine && self.bytes >= MOST;
        match (mine, stored.sequence == self.until || enough) {
            (_, true) => Taken::Last,
            (true, false) => Taken::Yes,
            (false, false) => Taken::No,
        }
    }

    fn event(&mut self, event: &Event) {
        use event::Kind as K;
        let index = event.index;
        match (&event.kind, self.parts.last_mut()) {
            (Some(K::Rewind(back)), _) => self.parts.retain_mut(|it| it.rewind(back.to)),
            (_, _) if index == 0 => self.notes.push(event.clone()),
            (Some(K::Text(text)), Some(Part::Text(said)))
            | (Some(K::Reasoning(text)), Some(Part::Reasoning(said))) => said.push(index, text),
            (Some(K::Text(text)), _) => self.parts.push(Part::Text(Said::of(index, text))),
            (Some(K::Reasoning(text)), _) => {
                self.parts.push(Part::Reasoning(Said::of(index, text)));
            }
            (Some(_) | None, _) => self.parts.push(Part::One(event.clone())),
        }
    }

    /// The place and the content of all that was gathered, as one entry.
    pub(crate) fn into_entry(self) -> Stored {
        let mut events = self.notes;
        events.extend(self.parts.into_iter().map(Event::from));
        Stored { sequence: self.at, entry: Entry { events, ..self.last } }
    }
}

impl Part {
    /// Takes back what comes after an index; whether anything is left.
    fn rewind(&mut self, to: u32) -> bool {
        match self {
            Self::Text(said) | Self::Reasoning(said) => {
                said.rewind(to);
                said.index() > 0
            }
            Self::One(event) => event.index <= to,
        }
    }
}

impl From<Part> for Event {
    fn from(part: Part) -> Self {
        let (index, kind) = match part {
            Part::One(event) => return event,
            Part::Text(said) => (said.index(), event::Kind::Text(said.into_text())),
            Part::Reasoning(said) => (said.index(), event::Kind::Reasoning(said.into_text())),
        };
        Self { index, kind: Some(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Kind as K;
    use proto::SessionState;

    #[test]
    fn the_text_so_far_is_one_event_under_the_last_position() {
        let state = SessionState {
            status: Status::Running.into(),
            turn_id: "t".into(),
            ..SessionState::default()
        };
        let stored = |sequence: u64, turn: &str, attempt, index, kind| Stored {
            sequence: Sequence(sequence),
            entry: Entry {
                turn_id: turn.into(),
                attempt,
                events: vec![Event { index, kind: Some(kind) }],
                state: Some(state.clone()),
                ..Entry::default()
            },
        };
        let started = K::Started(proto::Started { input: "?".into(), ..Default::default() });
        let told = [
            (stored(3, "before", 1, 1, K::Text("-".into())), Taken::No),
            (stored(4, "t", 1, 0, started.clone()), Taken::Yes),
            (stored(5, "t", 1, 1, K::Text("a".into())), Taken::Yes),
            (stored(6, "t", 0, 0, K::CancelRequested(proto::CancelRequested {})), Taken::Yes),
            (stored(7, "t", 1, 2, K::Text("x".into())), Taken::Yes),
            (stored(8, "t", 2, 3, K::Rewind(proto::Rewind { to: 1 })), Taken::Yes),
            (stored(9, "t", 2, 2, K::Text("b".into())), Taken::Last),
            (stored(10, "t", 2, 3, K::Text("c".into())), Taken::After),
        ];
        let mut so_far = SoFar::of(Some(&told[6].0)).unwrap();
        for (stored, expected) in &told {
            assert_eq!(so_far.take(stored), *expected, "{stored:?}");
        }
        let merged = so_far.into_entry();
        assert_eq!((merged.sequence, merged.entry.attempt), (Sequence(9), 2));
        let events = [(0, started), (2, K::Text("ab".into()))];
        let events = events.map(|(index, kind)| Event { index, kind: Some(kind) });
        assert_eq!(merged.entry.events, events);
    }

    #[test]
    fn a_rewind_to_any_step_finds_the_text_before_it_whoever_came_late() {
        let state = SessionState {
            status: Status::Running.into(),
            turn_id: "t".into(),
            ..SessionState::default()
        };
        let call = K::ToolCall(proto::ToolCall::default());
        let told = [
            (1, K::Reasoning("h".into())),
            (2, K::Reasoning("m".into())),
            (3, K::Text("a".into())),
            (4, K::Text("b".into())),
            (5, call.clone()),
            (6, K::Text("c".into())),
            (7, K::Text("d".into())),
        ];
        let stored = |at: usize, index, kind| Stored {
            sequence: Sequence(at as u64),
            entry: Entry {
                turn_id: "t".into(),
                attempt: 1,
                events: vec![Event { index, kind: Some(kind) }],
                state: Some(state.clone()),
                ..Entry::default()
            },
        };
        let entries: Vec<_> =
            (1..).zip(told).map(|(at, (index, kind))| stored(at, index, kind)).collect();
        let mut so_far = SoFar::of(entries.last()).unwrap();
        for it in &entries {
            so_far.take(it);
        }
        let gathered = |so_far: SoFar| -> Vec<_> {
            let events = so_far.into_entry().entry.events.into_iter();
            events.map(|it| (it.index, it.kind.unwrap())).collect()
        };
        so_far.event(&Event { index: 5, kind: Some(K::Rewind(proto::Rewind { to: 5 })) });
        let kept = [(2, K::Reasoning("hm".into())), (4, K::Text("ab".into())), (5, call)];
        assert_eq!(gathered(so_far), kept);

        let mut so_far = SoFar::of(entries.last()).unwrap();
        for it in &entries {
            so_far.take(it);
        }
        so_far.event(&Event { index: 3, kind: Some(K::Rewind(proto::Rewind { to: 3 })) });
        assert_eq!(gathered(so_far), [kept[0].clone(), (3, K::Text("a".into()))]);
    }

    #[test]
    fn more_than_a_reader_may_hold_is_told_as_it_stands_in_the_log() {
        let state = SessionState {
            status: Status::Running.into(),
            turn_id: "t".into(),
            ..SessionState::default()
        };
        let piece = "x".repeat(MOST / 4);
        let stored = |sequence: u64| Stored {
            sequence: Sequence(sequence),
            entry: Entry {
                turn_id: "t".into(),
                attempt: 1,
                events: vec![Event { index: 1, kind: Some(K::Text(piece.clone())) }],
                state: Some(state.clone()),
                ..Entry::default()
            },
        };
        let mut so_far = SoFar::of(Some(&stored(100))).unwrap();
        let taken: Vec<_> = (1..=4).map(|it| so_far.take(&stored(it))).collect();
        assert_eq!(taken, [Taken::Yes, Taken::Yes, Taken::Yes, Taken::Last]);
        assert_eq!(so_far.into_entry().sequence, Sequence(4));
    }

    #[test]
    fn without_a_running_turn_there_is_nothing_so_far() {
        assert!(SoFar::of(None).is_none());
        let idle = Stored { sequence: Sequence(1), entry: Entry::default() };
        assert!(SoFar::of(Some(&idle)).is_none());
    }
}
