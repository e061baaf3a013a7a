//! How a session's state follows from what is said: the one place where the
//! state in an [`Entry`] is computed. Pure.

use crate::{Ending, Entry, Event, FORMAT, SessionState, Status, event};

impl Entry {
    /// The entry in which `turn`'s `attempt` says `events` right after `last`,
    /// the session's last entry by its sequence and state; `None` for the
    /// first of all.
    pub fn after(
        last: Option<(u64, &SessionState)>,
        turn: &str,
        attempt: u32,
        events: Vec<Event>,
    ) -> Self {
        Self::told(last, turn, (attempt, 0), events)
    }

    /// The same, where the events of an agent are of one `run` (0 for a run
    /// without a name).
    pub fn told(
        last: Option<(u64, &SessionState)>,
        turn: &str,
        (attempt, run): (u32, u32),
        events: Vec<Event>,
    ) -> Self {
        let (follows, mut state) = match last {
            Some((sequence, state)) => (sequence, state.clone().following(sequence)),
            None => (0, SessionState { status: Status::Idle.into(), ..SessionState::default() }),
        };
        for event in &events {
            state.apply(turn, (attempt, run), event);
        }
        Self {
            version: FORMAT,
            follows,
            turn_id: turn.to_owned(),
            attempt,
            events,
            state: Some(state),
        }
    }
}

impl SessionState {
    /// Whether somebody asked to stop this turn.
    pub fn is_cancelled(&self, turn: &str) -> bool {
        self.cancels.iter().any(|it| it == turn)
    }

    /// The state as the entry after `sequence` inherits it: the entry that
    /// started a turn could not know its own place.
    fn following(mut self, sequence: u64) -> Self {
        if self.began == 0 && !self.turn_id.is_empty() {
            self.began = sequence;
        }
        self
    }

    fn apply(&mut self, turn: &str, (attempt, run): (u32, u32), event: &Event) {
        let Some(kind) = &event.kind else { return };
        match kind {
            event::Kind::Started(_) => self.start(turn, attempt),
            event::Kind::Resumed(_) => {
                self.attempt = attempt;
                self.fruitless += 1;
            }
            // Leaving on purpose is no failure to make progress.
            event::Kind::HandedOver(_) => self.fruitless = self.fruitless.saturating_sub(1),
            event::Kind::CancelRequested(_) => {
                if !self.is_cancelled(turn) {
                    self.cancels.push(turn.to_owned());
                }
            }
            event::Kind::Deleted(_) => self.erase(),
            event::Kind::Gap(_) => {}
            event::Kind::Text(_)
            | event::Kind::Reasoning(_)
            | event::Kind::ToolCall(_)
            | event::Kind::ToolResult(_)
            | event::Kind::Citation(_)
            | event::Kind::Usage(_)
            | event::Kind::Rewind(_) => self.progress(run, event.index),
            event::Kind::Completed(_)
            | event::Kind::Interrupted(_)
            | event::Kind::Failed(_)
            | event::Kind::Cancelled(_) => {
                self.progress(run, event.index);
                self.end(turn, kind.ending().unwrap_or_default());
            }
        }
    }

    fn start(&mut self, turn: &str, attempt: u32) {
        turn.clone_into(&mut self.turn_id);
        self.set_status(Status::Running);
        self.set_ending(Ending::Unspecified);
        self.attempt = attempt;
        self.began = 0;
        (self.run, self.last_index, self.furthest) = (0, 0, 0);
        self.fruitless = 1;
    }

    /// Everything said is gone, but the turn that ran, or ran last, stays known
    /// as ended: its job may still be delivered once more.
    fn erase(&mut self) {
        let idle = self.status() == Status::Idle;
        let ending = if idle { self.ending() } else { Ending::Cancelled };
        *self = Self {
            status: Status::Idle.into(),
            turn_id: std::mem::take(&mut self.turn_id),
            ending: ending.into(),
            ..Self::default()
        };
    }

    /// Saying once more what another run had said is no progress.
    fn progress(&mut self, run: u32, index: u32) {
        if run != 0 && run != self.run {
            (self.run, self.last_index) = (run, 0);
        }
        self.last_index = self.last_index.max(index);
        if index > self.furthest {
            self.furthest = index;
            self.fruitless = 0;
        }
    }

    fn end(&mut self, turn: &str, ending: Ending) {
        let interrupted = ending == Ending::Interrupted;
        self.set_status(if interrupted { Status::Interrupted } else { Status::Idle });
        self.set_ending(ending);
        self.cancels.retain(|it| it != turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        CancelRequested, Cancelled, Completed, Deleted, HandedOver, Resumed, Rewind, Started,
    };

    fn text(index: u32) -> Event {
        Event { index, kind: Some(event::Kind::Text("x".into())) }
    }

    fn note(kind: event::Kind) -> Vec<Event> {
        vec![kind.into()]
    }

    /// Says one thing after another, as sequences 10, 20, 30, …
    fn tell(told: &[(&str, u32, Vec<Event>)]) -> Vec<SessionState> {
        let mut states: Vec<SessionState> = Vec::new();
        for (at, (turn, attempt, events)) in told.iter().enumerate() {
            let last = states.last().map(|it| (at as u64 * 10, it));
            states.push(Entry::after(last, turn, *attempt, events.clone()).state.unwrap());
        }
        states
    }

    #[test]
    fn the_beginning_of_a_turn_is_known_from_its_second_entry_on() {
        let states = tell(&[
            ("a", 1, note(event::Kind::Started(Started::default()))),
            ("a", 1, vec![text(1)]),
            ("a", 1, note(event::Kind::Completed(Completed::default()))),
            ("b", 1, note(event::Kind::Started(Started::default()))),
            ("b", 1, vec![text(1)]),
        ]);
        let began: Vec<u64> = states.iter().map(|it| it.began).collect();
        assert_eq!(began, [0, 10, 10, 0, 40]);
        assert_eq!(states[2].ending(), Ending::Completed);
        assert_eq!(states[4].status(), Status::Running);
    }

    #[test]
    fn attempts_without_progress_are_counted_and_progress_forgives_them() {
        let resumed = || note(event::Kind::Resumed(Resumed {}));
        let states = tell(&[
            ("a", 1, note(event::Kind::Started(Started::default()))),
            ("a", 2, resumed()),
            ("a", 4, resumed()),
            ("a", 4, vec![text(3)]),
            ("a", 5, resumed()),
            ("a", 5, note(event::Kind::HandedOver(HandedOver {}))),
        ]);
        let fruitless: Vec<u32> = states.iter().map(|it| it.fruitless).collect();
        assert_eq!(fruitless, [1, 2, 3, 0, 1, 0]);
        assert_eq!((states[4].attempt, states[4].last_index), (5, 3));
    }

    #[test]
    fn another_run_counts_from_its_own_beginning_and_makes_progress_only_beyond_the_last() {
        let began = ("a", 1, note(event::Kind::Started(Started::default())));
        let mut last = tell(&[began]).remove(0);
        let mut told = |run: u32, index: u32| {
            last.fruitless = 3;
            let entry = Entry::told(Some((10, &last)), "a", (1, run), vec![text(index)]);
            last = entry.state.unwrap();
            (last.run, last.last_index, last.fruitless)
        };
        assert_eq!(told(7, 1), (7, 1, 0));
        assert_eq!(told(7, 5), (7, 5, 0));
        assert_eq!(told(9, 0), (9, 0, 3));
        assert_eq!(told(9, 5), (9, 5, 3));
        assert_eq!(told(0, 5), (9, 5, 3), "an event without a name is of the run before it");
        assert_eq!(told(9, 6), (9, 6, 0));
    }

    #[test]
    fn another_run_goes_on_from_what_it_has_in_common_with_the_last() {
        let began = ("a", 1, note(event::Kind::Started(Started::default())));
        let mut last = tell(&[began]).remove(0);
        let mut told = |run: u32, events: Vec<Event>| {
            last.fruitless = 3;
            last = Entry::told(Some((10, &last)), "a", (1, run), events).state.unwrap();
            (last.run, last.last_index, last.furthest, last.fruitless)
        };
        let rewind = |to| Event { index: to, kind: Some(event::Kind::Rewind(Rewind { to })) };
        assert_eq!(told(7, vec![text(6)]), (7, 6, 6, 0));
        assert_eq!(told(9, vec![rewind(4)]), (9, 4, 6, 3));
        assert_eq!(told(9, vec![text(6)]), (9, 6, 6, 3), "it says again what was said");
        assert_eq!(told(9, vec![text(7)]), (9, 7, 7, 0));
        assert_eq!(told(8, vec![rewind(7), text(8)]), (8, 8, 8, 0), "in one entry");
        assert_eq!(told(6, vec![rewind(0), text(2)]), (6, 2, 8, 3));
    }

    #[test]
    fn a_cancel_request_changes_only_the_cancels_until_its_turn_ends() {
        let cancel = || note(event::Kind::CancelRequested(CancelRequested {}));
        let states = tell(&[
            ("a", 1, note(event::Kind::Started(Started::default()))),
            ("b", 0, cancel()),
            ("b", 0, cancel()),
            ("a", 0, cancel()),
            ("a", 1, note(event::Kind::Cancelled(Cancelled {}))),
        ]);
        assert_eq!((states[2].turn_id.as_str(), states[2].attempt), ("a", 1));
        assert_eq!(states[2].cancels, ["b"]);
        assert_eq!(states[3].cancels, ["b", "a"]);
        assert_eq!(states[4].cancels, ["b"]);
        assert_eq!(states[4].ending(), Ending::Cancelled);
    }

    #[test]
    fn a_tombstone_ends_what_ran_and_the_chain_goes_on() {
        let running = tell(&[("a", 1, note(event::Kind::Started(Started::default())))]);
        let entry =
            Entry::after(Some((10, &running[0])), "", 0, note(event::Kind::Deleted(Deleted {})));
        assert_eq!(entry.follows, 10);
        let state = entry.state.unwrap();
        let ended = (state.status(), state.turn_id.as_str(), state.ending());
        assert_eq!(ended, (Status::Idle, "a", Ending::Cancelled));
    }
}
