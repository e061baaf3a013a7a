//! Whatever a turn says, wherever its runs die, and wherever its readers were:
//! in the end each of them has exactly what the last run said.

use futures::FutureExt as _;
use proptest::prelude::*;
use proto::{AskEvent, Rewind};

use super::*;
use crate::reader::Reader;
use crate::registry::Place;

#[derive(Debug, Clone)]
enum Act {
    Say(Kind),
    /// Says these once they are stored.
    Write(Vec<Kind>),
    /// Takes back what was said since the last call or the last write.
    Back,
    /// The run dies; of its readers those go on at once that this lets.
    Die(u8),
}

fn spoken() -> impl Strategy<Value = Kind> {
    prop_oneof![
        3 => "[a-z三四]{1,3}".prop_map(Kind::Text),
        1 => "[a-z三四]{1,3}".prop_map(Kind::Reasoning),
        1 => "[0-9]{2}".prop_map(|it| asked(&it)),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => spoken().prop_map(Act::Say),
        3 => proptest::collection::vec(spoken(), 0..3).prop_map(Act::Write),
        1 => Just(Act::Back),
        2 => any::<u8>().prop_map(Act::Die),
    ]
}

/// Somebody who reads the turn wherever it runs.
struct Somebody {
    reader: Option<Reader>,
    /// Reads after every so many acts.
    every: usize,
    /// Neighbouring text is one event here, whoever said it.
    merges: bool,
    has: Vec<AskEvent>,
    at: Place,
}

impl Somebody {
    fn new(every: usize, merges: bool) -> Self {
        Self { reader: None, every, merges, has: Vec::new(), at: Place { run: 0, index: 0 } }
    }

    fn attach(&mut self, run: &Run) {
        let (readers, _) = watch::channel(0);
        self.reader = Some(Reader::new(run.events.clone(), readers, self.at));
    }

    fn read(&mut self) {
        let Some(mut reader) = self.reader.take() else { return };
        while let Some(Some(Ok(event))) = reader.next().now_or_never() {
            self.take(event);
        }
        self.reader = Some(reader);
    }

    fn take(&mut self, event: AskEvent) {
        let place = Place { run: event.run, index: event.index };
        if let Some(Kind::Rewind(back)) = &event.kind {
            let switches = self.at.run != 0 && self.at.run != event.run;
            assert!(!switches || back.to == event.index && back.to <= self.at.index, "{event:?}");
            self.has.retain(|it| it.index <= back.to);
        } else {
            assert!(self.at.index == 0 || self.at.run == event.run, "{event:?}");
            assert!(self.at.run != event.run || self.at.index < event.index, "{event:?}");
            self.keep(event);
        }
        self.at = place;
    }

    fn keep(&mut self, event: AskEvent) {
        let last = self.has.last_mut().filter(|_| self.merges);
        match (last.and_then(|it| Some((&mut it.index, it.kind.as_mut()?))), &event.kind) {
            (Some((index, Kind::Text(text))), Some(Kind::Text(more)))
            | (Some((index, Kind::Reasoning(text))), Some(Kind::Reasoning(more))) => {
                text.push_str(more);
                *index = event.index;
            }
            _ => self.has.push(event),
        }
    }

    fn said(&self) -> String {
        words(self.has.iter().filter_map(|it| it.kind.as_ref()))
    }
}

fn words<'a>(kinds: impl Iterator<Item = &'a Kind>) -> String {
    let word = |kind: &Kind| {
        if let Kind::Text(it) = kind {
            it.clone()
        } else if let Kind::Reasoning(it) = kind {
            format!("<{it}>")
        } else if let Kind::ToolCall(it) = kind {
            format!("[{}]", it.call_id)
        } else {
            panic!("{kind:?} is not said here")
        }
    };
    kinds.map(word).collect::<String>().replace("><", "")
}

struct Story {
    world: World,
    run: Run,
    name: u32,
    /// The index below which nothing may be taken back.
    floor: u32,
    readers: Vec<Somebody>,
}

impl Story {
    async fn new() -> Self {
        let world = World::new().await;
        let run = world.run(1).await;
        let mut story = Self { world, run, name: 1, floor: 0, readers: Vec::new() };
        story.come();
        story
    }

    /// New readers of the run that is.
    fn come(&mut self) {
        for every in [1, 2, 5] {
            for merges in [false, true] {
                let mut somebody = Somebody::new(every, merges);
                somebody.attach(&self.run);
                self.readers.push(somebody);
            }
        }
    }

    async fn act(&mut self, at: usize, act: Act) {
        match act {
            Act::Say(kind) => self.say(kind),
            Act::Write(kinds) => {
                let calls = |calls: &mut Vec<LedgerCall>| calls.push(begun(&at.to_string()));
                let calls_back = kinds.iter().any(|it| matches!(it, Kind::ToolCall(_)));
                self.run.book.write(&self.run.writer, kinds, calls).await.unwrap();
                // Nothing that is stored may be taken back, and of text that
                // goes on no half.
                let ends = self.run.said().last().is_some_and(|it| matches!(it, Kind::ToolCall(_)));
                self.floor = if ends && calls_back { self.run.writer.last() } else { u32::MAX };
            }
            Act::Back if self.floor <= self.run.writer.last() => {
                self.say(Kind::Rewind(Rewind { to: self.floor }));
            }
            Act::Back => {}
            Act::Die(mask) => self.die(mask).await,
        }
        for reader in self.readers.iter_mut().filter(|it| at.is_multiple_of(it.every)) {
            reader.read();
        }
    }

    fn say(&mut self, kind: Kind) {
        let alone = matches!(kind, Kind::ToolCall(_));
        let index = self.run.writer.say(kind).unwrap();
        if alone {
            self.floor = index;
        }
    }

    async fn die(&mut self, mask: u8) {
        self.name += 1;
        let next = self.world.run(self.name).await;
        let dead = std::mem::replace(&mut self.run, next);
        // One that never stored anything is not known to have been there.
        if self.run.book.inherited().is_some() {
            assert_eq!(dead.write("late").await, Err(Unwritten::Superseded));
        }
        self.floor = u32::MAX;
        for (at, reader) in self.readers.iter_mut().enumerate() {
            // The others stay with the dead one, or come back much later.
            if mask & (1 << (at % 8)) != 0 {
                reader.attach(&self.run);
            }
        }
        self.come();
    }

    fn end(mut self) {
        let said = self.run.said();
        let expected = words(said.iter());
        for (at, reader) in self.readers.iter_mut().enumerate() {
            reader.attach(&self.run);
            reader.read();
            assert_eq!(reader.said(), expected, "reader {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_everybody_has_exactly_what_the_last_run_said(
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut story = Story::new().await;
            for (at, act) in acts.into_iter().enumerate() {
                story.act(at, act).await;
            }
            story.end();
        });
    }
}
