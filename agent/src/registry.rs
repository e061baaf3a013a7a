//! The turns that this agent knows: those that run and those that ended a
//! short while ago, so that a caller that was cut gets the rest.
//!
//! Holds no text itself and starts nothing. Refuses a turn past its bound;
//! forgets the oldest ended turns past theirs.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::{Session, TurnId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buffer::{Buffer, Writer};
use crate::reader::Reader;

/// Names a turn: the session with its user, and the turn's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) session: Session,
    pub(crate) turn: TurnId,
}

/// What a caller has of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The run that said it; 0 when the caller does not know.
    pub(crate) run: u32,
    /// Its last event there; 0 for none.
    pub(crate) index: u32,
}

/// What a registry may hold.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Turns that run at once.
    pub(crate) running: usize,
    /// Ended turns that are kept.
    pub(crate) ended: usize,
    /// Bytes that the ended turns hold together.
    pub(crate) ended_bytes: usize,
    /// How long a turn runs on without a reader, and how long an ended one is
    /// kept.
    pub(crate) grace: Duration,
}

/// Why a turn cannot be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many turns run as may.
    Full,
    /// The agent is stopping and does not know the turn.
    Draining,
}

/// The turns that this agent knows.
#[derive(Debug)]
pub(crate) struct Registry {
    limits: Limits,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    known: HashMap<Key, Known>,
    ended: VecDeque<Ended>,
    ended_bytes: usize,
    running: usize,
}

#[derive(Debug)]
struct Known {
    events: watch::Receiver<Buffer>,
    readers: watch::Sender<usize>,
    cancel: CancellationToken,
}

impl Known {
    fn reader(&self, has: Place) -> Reader {
        Reader::new(self.events.clone(), self.readers.clone(), has)
    }
}

#[derive(Debug)]
struct Ended {
    at: Instant,
    bytes: usize,
    key: Key,
}

impl Registry {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, turns: Mutex::default() })
    }

    /// How long a turn runs on without a reader.
    pub(crate) fn grace(&self) -> Duration {
        self.limits.grace
    }

    /// A reader of the turn for a caller who has something of it. With it comes
    /// a seat when the turn is not known: then the caller must run it.
    pub(crate) fn attach(
        self: &Arc<Self>,
        key: &Key,
        place: Place,
        draining: bool,
    ) -> Result<(Reader, Option<Seat>), Refused> {
        let mut turns = self.lock();
        turns.sweep(&self.limits);
        if let Some(known) = turns.known.get(key) {
            return Ok((known.reader(place), None));
        }
        if draining {
            return Err(Refused::Draining);
        }
        if turns.running >= self.limits.running {
            return Err(Refused::Full);
        }
        let (writer, events) = Writer::new(name());
        let (readers, presence) = watch::channel(0);
        let cancel = CancellationToken::new();
        let known = Known { events, readers, cancel: cancel.clone() };
        let reader = known.reader(place);
        turns.running += 1;
        turns.known.insert(key.clone(), known);
        let (key, registry) = (key.clone(), Arc::clone(self));
        let shown = place.index > 0;
        Ok((reader, Some(Seat { writer, shown, cancel, readers: presence, key, registry })))
    }

    /// Tells a running turn to end as `cancelled`; whether it runs here.
    pub(crate) fn cancel(&self, key: &Key) -> bool {
        let turns = self.lock();
        let Some(known) = turns.known.get(key) else {
            return false;
        };
        let running = !known.events.borrow().ended();
        if running {
            known.cancel.cancel();
        }
        running
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self, seat: &Seat) {
        let mut turns = self.lock();
        turns.running -= 1;
        if !seat.writer.ended() {
            turns.known.remove(&seat.key);
            return;
        }
        let bytes = seat.writer.bytes();
        turns.ended_bytes += bytes;
        turns.ended.push_back(Ended { at: Instant::now(), bytes, key: seat.key.clone() });
        turns.sweep(&self.limits);
    }
}

impl Turns {
    /// Forgets ended turns that are too old or too many.
    fn sweep(&mut self, limits: &Limits) {
        while let Some(oldest) = self.ended.front() {
            let keep = oldest.at.elapsed() < limits.grace
                && self.ended.len() <= limits.ended
                && self.ended_bytes <= limits.ended_bytes;
            if keep {
                return;
            }
            let Some(gone) = self.ended.pop_front() else {
                return;
            };
            self.ended_bytes -= gone.bytes;
            self.known.remove(&gone.key);
        }
    }
}

/// A name for a run: not 0, and hardly ever that of another one.
fn name() -> u32 {
    rand::random::<NonZeroU32>().get()
}

/// The right to run a turn. Dropped without an end (abandoned, superseded,
/// aborted or panicked), the turn is unknown again and lost to its readers.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) writer: Writer,
    /// Who asked has something of an earlier run.
    pub(crate) shown: bool,
    /// Somebody asked for the turn's end: it ends as `cancelled`.
    pub(crate) cancel: CancellationToken,
    readers: watch::Receiver<usize>,
    key: Key,
    registry: Arc<Registry>,
}

impl Seat {
    /// Ready once nobody has read the turn for the grace.
    pub(crate) async fn abandoned(&self) {
        let mut readers = self.readers.clone();
        let grace = self.registry.grace();
        loop {
            if readers.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            let back = readers.wait_for(|count| *count > 0);
            if tokio::time::timeout(grace, back).await.is_err() {
                return;
            }
        }
    }

    /// Ready while nobody reads the turn.
    pub(crate) async fn unread(&self) {
        let mut readers = self.readers.clone();
        drop(readers.wait_for(|count| *count == 0).await);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.registry.left(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Lost;
    use futures::FutureExt as _;
    use proto::ask_event::Kind;

    const GRACE: Duration = Duration::from_secs(30);

    fn registry(running: usize, ended: usize) -> Arc<Registry> {
        Registry::new(Limits { running, ended, ended_bytes: 1024, grace: GRACE })
    }

    fn key(session: &str) -> Key {
        Key {
            session: Session::parse("ann", session).unwrap(),
            turn: TurnId::from_key(&"ann".parse().unwrap(), session),
        }
    }

    fn unnamed(index: u32) -> Place {
        Place { run: 0, index }
    }

    fn start(registry: &Arc<Registry>, key: &Key) -> (Reader, Seat) {
        let (reader, seat) = registry.attach(key, unnamed(0), false).unwrap();
        (reader, seat.expect("the turn was not known"))
    }

    fn end(seat: Seat) {
        seat.writer.end(Kind::Cancelled(proto::Cancelled {}));
        drop(seat);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_abandoned_only_after_the_grace_without_any_reader() {
        let registry = registry(8, 8);
        let (first, seat) = start(&registry, &key("s"));
        let (second, none) = registry.attach(&key("s"), unnamed(0), false).unwrap();
        assert!(none.is_none());
        drop(first);
        let waited = tokio::time::timeout(GRACE * 3, seat.abandoned()).await;
        assert!(waited.is_err(), "one reader is still there");
        drop(second);
        let began = Instant::now();
        seat.abandoned().await;
        assert_eq!(began.elapsed(), GRACE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_turn_is_kept_for_the_grace_and_then_forgotten() {
        let registry = registry(8, 8);
        let (_, seat) = start(&registry, &key("s"));
        end(seat);
        let (mut late, none) = registry.attach(&key("s"), unnamed(0), false).unwrap();
        assert!(none.is_none());
        assert!(late.next().await.is_some());
        assert!(late.next().await.is_none());
        tokio::time::advance(GRACE).await;
        let (_, seat) = registry.attach(&key("s"), unnamed(0), false).unwrap();
        assert!(seat.is_some(), "it is not known any more");
    }

    #[tokio::test]
    async fn running_and_ended_turns_are_bounded() {
        let registry = registry(2, 1);
        let (_, one) = start(&registry, &key("1"));
        let (_, two) = start(&registry, &key("2"));
        let refused = registry.attach(&key("3"), unnamed(0), false).unwrap_err();
        assert_eq!(refused, Refused::Full);
        end(one);
        end(two);
        let (_, seat) = registry.attach(&key("1"), unnamed(0), false).unwrap();
        assert!(seat.is_some(), "the older of two ended turns was forgotten");
        let (_, seat) = registry.attach(&key("2"), unnamed(0), false).unwrap();
        assert!(seat.is_none());
    }

    #[tokio::test]
    async fn a_turn_that_stops_without_an_end_is_lost_to_its_readers_and_unknown() {
        let registry = registry(8, 8);
        let (mut reader, seat) = start(&registry, &key("s"));
        drop(seat);
        assert_eq!(reader.next().await, Some(Err(Lost)));
        let (_, seat) = registry.attach(&key("s"), unnamed(0), false).unwrap();
        assert!(seat.is_some());
    }

    #[tokio::test]
    async fn a_caller_with_more_than_is_known_here_gets_it_taken_back_and_then_everything() {
        let registry = registry(8, 8);
        let (mut first, seat) = start(&registry, &key("s"));
        seat.writer.say(Kind::Text("a".into())).unwrap();
        let run = first.next().await.unwrap().unwrap().run;
        for place in [unnamed(7), Place { run, index: 7 }] {
            let (mut reader, none) = registry.attach(&key("s"), place, false).unwrap();
            assert!(none.is_none(), "one run is enough for {place:?}");
            let back = reader.next().await.unwrap().unwrap();
            let rewind = Kind::Rewind(proto::Rewind { to: 0 });
            assert_eq!((back.index, back.run, back.kind), (0, run, Some(rewind)));
            let said = reader.next().await.unwrap().unwrap();
            assert_eq!((said.index, said.kind), (1, Some(Kind::Text("a".into()))));
        }
        end(seat);
    }

    #[tokio::test]
    async fn readers_wait_until_it_is_known_what_a_run_inherits() {
        let registry = registry(8, 8);
        let place = Place { run: 5, index: 41 };
        let (mut reader, seat) = registry.attach(&key("s"), place, false).unwrap();
        let seat = seat.expect("the turn was not known");
        let unnamed = registry.attach(&key("s"), unnamed(1), false).unwrap().0;
        assert!(reader.next().now_or_never().is_none());
        seat.writer.open(None);
        seat.writer.say(Kind::Text("a".into())).unwrap();
        for mut early in [reader, unnamed] {
            let back = early.next().now_or_never().expect("it is open").unwrap().unwrap();
            assert_eq!(back.kind, Some(Kind::Rewind(proto::Rewind { to: 0 })));
            let said = early.next().now_or_never().unwrap().unwrap().unwrap();
            assert_eq!((said.index, said.kind), (1, Some(Kind::Text("a".into()))));
        }
        end(seat);
        let (mut unopened, seat) = registry.attach(&key("t"), place, false).unwrap();
        drop(seat);
        assert_eq!(unopened.next().await, Some(Err(Lost)));
    }

    #[tokio::test]
    async fn a_caller_with_something_of_another_run_gets_it_taken_back_and_then_everything() {
        let registry = registry(8, 8);
        let (mut first, seat) = start(&registry, &key("s"));
        seat.writer.say(Kind::Text("mine".into())).unwrap();
        let said = first.next().await.unwrap().unwrap();
        assert_ne!(said.run, 0);
        let theirs = said.run ^ 1;
        for (place, want) in [
            (Place { run: said.run, index: 0 }, vec![(1, "mine")]),
            (Place { run: said.run, index: 1 }, vec![]),
            (Place { run: theirs, index: 0 }, vec![(1, "mine")]),
            (Place { run: theirs, index: 1 }, vec![(0, "rewind"), (1, "mine")]),
            (Place { run: theirs, index: 41 }, vec![(0, "rewind"), (1, "mine")]),
        ] {
            let (mut reader, none) = registry.attach(&key("s"), place, true).unwrap();
            assert!(none.is_none(), "the run that is known goes on for {place:?}");
            for (index, words) in want {
                let event = reader.next().await.unwrap().unwrap();
                assert_eq!((event.run, event.index), (said.run, index), "{place:?}");
                let expected = match words {
                    "rewind" => Kind::Rewind(proto::Rewind { to: 0 }),
                    words => Kind::Text(words.to_owned()),
                };
                assert_eq!(event.kind, Some(expected), "{place:?}");
            }
            assert!(reader.next().now_or_never().is_none(), "{place:?}");
        }
        end(seat);
    }

    #[tokio::test]
    async fn a_turn_that_is_not_known_here_is_run_under_a_new_name_from_index_one() {
        let registry = registry(8, 8);
        let place = Place { run: 5, index: 41 };
        let (mut reader, seat) = registry.attach(&key("s"), place, false).unwrap();
        let seat = seat.expect("the turn was not known");
        seat.writer.say(Kind::Text("a".into())).unwrap();
        let back = reader.next().await.unwrap().unwrap();
        assert_eq!((back.index, back.kind), (0, Some(Kind::Rewind(proto::Rewind { to: 0 }))));
        assert!(back.run != 5 && back.run != 0);
        let said = reader.next().await.unwrap().unwrap();
        assert_eq!((said.index, said.run), (1, back.run));
        end(seat);
    }

    #[tokio::test]
    async fn a_draining_agent_takes_readers_but_no_turns() {
        let registry = registry(8, 8);
        let (_reader, _seat) = start(&registry, &key("s"));
        assert!(registry.attach(&key("s"), unnamed(0), true).is_ok());
        let refused = registry.attach(&key("t"), unnamed(0), true).unwrap_err();
        assert_eq!(refused, Refused::Draining);
    }
}
