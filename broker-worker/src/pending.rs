//! What the agent has said and the log does not have yet. Adjacent pieces of
//! text become one. Pure.

use proto::{Entry, Event, event};

/// Text in one event, in bytes, before the next event is begun.
const TEXT_BYTES: usize = 32 * 1024;
/// What one entry takes, in bytes; a single event may be larger.
const ENTRY_BYTES: usize = 128 * 1024;
/// What may wait, in bytes, before the agent is made to wait.
const ROOM_BYTES: usize = 256 * 1024;

/// An event, and the agent's run that says it; 0 for what is of no run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) run: u32,
    pub(crate) event: Event,
}

impl From<Event> for Said {
    /// An event that no agent said.
    fn from(event: Event) -> Self {
        Self { run: 0, event }
    }
}

/// The events of one entry: what an agent said in them is of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    pub(crate) run: u32,
    pub(crate) events: Vec<Event>,
}

impl From<Vec<Event>> for Words {
    /// Events that no agent said.
    fn from(events: Vec<Event>) -> Self {
        Self { run: 0, events }
    }
}

impl From<Entry> for Words {
    /// The words of an entry, to be said once more.
    fn from(entry: Entry) -> Self {
        Self { run: entry.state.map_or(0, |it| it.run), events: entry.events }
    }
}

/// Events on their way into the log, in order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    events: std::collections::VecDeque<(Said, usize)>,
    bytes: usize,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the agent may say more.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < ROOM_BYTES
    }

    /// Adds what was said after everything else.
    pub(crate) fn push(&mut self, said: impl Into<Said>) {
        let said = said.into();
        let size = size(&said.event);
        self.bytes += size;
        if let Some((last, bytes)) = self.events.back_mut()
            && *bytes + size <= TEXT_BYTES
            && last.run == said.run
            && merge(&mut last.event, &said.event)
        {
            *bytes += size;
            return;
        }
        self.events.push_back((said, size));
    }

    /// Takes the events of the next entry: as many as fit, at least one, all of
    /// one run.
    pub(crate) fn take(&mut self) -> Words {
        let mut taken = Words { run: 0, events: Vec::with_capacity(self.events.len().min(16)) };
        let mut bytes = 0;
        while let Some((said, size)) = self.events.front() {
            let fits = taken.events.is_empty() || bytes + size <= ENTRY_BYTES;
            let belongs = taken.run == 0 || said.run == 0 || taken.run == said.run;
            if !fits || !belongs {
                break;
            }
            bytes += size;
            taken.run = taken.run.max(said.run);
            taken.events.extend(self.events.pop_front().map(|it| it.0.event));
        }
        self.bytes -= bytes;
        taken
    }
}

/// Appends a piece of text to the event before it, if both are of one kind.
fn merge(last: &mut Event, next: &Event) -> bool {
    match (&mut last.kind, &next.kind) {
        (Some(event::Kind::Text(text)), Some(event::Kind::Text(more)))
        | (Some(event::Kind::Reasoning(text)), Some(event::Kind::Reasoning(more))) => {
            text.push_str(more);
            last.index = next.index;
            true
        }
        _ => false,
    }
}

fn size(event: &Event) -> usize {
    match &event.kind {
        Some(event::Kind::Text(text) | event::Kind::Reasoning(text)) => text.len() + 8,
        Some(_) | None => prost::Message::encoded_len(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(index: u32, text: &str) -> Event {
        Event { index, kind: Some(event::Kind::Text(text.into())) }
    }

    fn reasoning(index: u32, text: &str) -> Event {
        Event { index, kind: Some(event::Kind::Reasoning(text.into())) }
    }

    #[test]
    fn adjacent_text_becomes_one_event_with_the_last_index() {
        let mut pending = Pending::default();
        for event in
            [text(1, "Hel"), text(2, "lo"), reasoning(3, "h"), reasoning(4, "m"), text(5, "!")]
        {
            pending.push(event);
        }
        assert_eq!(pending.take().events, [text(2, "Hello"), reasoning(4, "hm"), text(5, "!")]);
        assert!(pending.is_empty());
    }

    #[test]
    fn two_runs_share_neither_an_event_nor_an_entry() {
        let mut pending = Pending::default();
        let said = |run, event| Said { run, event };
        for it in [said(7, text(1, "a")), said(7, text(2, "b")), said(9, text(3, "c"))] {
            pending.push(it);
        }
        pending.push(reasoning(0, "of no run"));
        assert_eq!(pending.take(), Words { run: 7, events: vec![text(2, "ab")] });
        let rest = Words { run: 9, events: vec![text(3, "c"), reasoning(0, "of no run")] };
        assert_eq!(pending.take(), rest);
        assert!(pending.is_empty() && pending.bytes == 0);
    }

    #[test]
    fn an_entry_takes_what_fits_and_the_rest_stays_in_order() {
        let mut pending = Pending::default();
        let large = "x".repeat(30 * 1024);
        for index in 1..=9 {
            pending.push(text(index, &large));
        }
        assert!(!pending.has_room());
        let mut indexes = Vec::new();
        while !pending.is_empty() {
            let taken = pending.take().events;
            assert!(taken.iter().map(size).sum::<usize>() <= ENTRY_BYTES);
            indexes.extend(taken.iter().map(|it| it.index));
        }
        assert_eq!(indexes, (1..=9).collect::<Vec<_>>());
        assert!(pending.has_room());
        assert_eq!(pending.bytes, 0);
    }

    #[test]
    fn a_single_event_larger_than_an_entry_is_still_taken() {
        let mut pending = Pending::default();
        pending.push(text(1, &"x".repeat(ENTRY_BYTES * 2)));
        assert_eq!(pending.take().events.len(), 1);
    }
}
