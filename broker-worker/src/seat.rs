//! A session's log as the attempt that writes it knows it: where the chain
//! ends, and the state there.

use std::sync::Arc;

use broker::{Broker, Outcome, Result, Sequence, Stored};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use proto::{Entry, Event, Session, SessionState};

use crate::decide::{Me, Standing, standing};

/// The end of a session's chain, and the right to try to go on from there.
#[derive(Debug)]
pub(crate) struct Seat {
    broker: Broker,
    session: Session,
    turn: String,
    attempt: u32,
    sequence: Sequence,
    state: Option<SessionState>,
}

/// An append on its way, and what became of it.
pub(crate) type Writing = BoxFuture<'static, (Entry, Result<Outcome>)>;

impl Seat {
    pub(crate) fn new(broker: Broker, session: Session, turn: String, attempt: u32) -> Self {
        Self { broker, session, turn, attempt, sequence: Sequence::START, state: None }
    }

    pub(crate) fn me(&self) -> Me<'_> {
        Me { turn: &self.turn, attempt: self.attempt }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.broker
    }

    pub(crate) fn sequence(&self) -> Sequence {
        self.sequence
    }

    pub(crate) fn state(&self) -> Option<&SessionState> {
        self.state.as_ref()
    }

    /// Reads on after a refusal: what is this attempt's standing now?
    pub(crate) async fn look_again(&mut self) -> Result<Standing> {
        let index = self.index();
        self.look().await?;
        Ok(standing(self.me(), index, self.state()))
    }

    /// Hears what somebody else has stored.
    pub(crate) fn hear(&mut self, stored: &Stored) -> Standing {
        let index = self.index();
        if stored.sequence > self.sequence {
            self.moved(stored.sequence, stored.entry.state.clone());
        }
        standing(self.me(), index, self.state())
    }

    /// The last agent index that is known to be stored.
    pub(crate) fn index(&self) -> u32 {
        self.state.as_ref().map_or(0, |it| it.last_index)
    }

    /// Reads where the chain ends, for certain.
    pub(crate) async fn look(&mut self) -> Result<()> {
        let last = self.broker.log.last(&self.session).await?;
        match last {
            Some(last) => {
                self.moved(last.sequence, Some(last.entry.state.unwrap_or_default()));
            }
            None => self.moved(Sequence::START, None),
        }
        Ok(())
    }

    /// The chain now ends here.
    pub(crate) fn moved(&mut self, sequence: Sequence, state: Option<SessionState>) {
        self.sequence = sequence;
        self.state = state;
    }

    /// Begins to say something right after the end that is known.
    pub(crate) fn write(&self, events: Vec<Event>) -> Writing {
        self.write_for(&self.turn, self.attempt, events)
    }

    /// Says something; `false` when the log went on without this attempt.
    pub(crate) async fn say(&mut self, events: Vec<Event>) -> Result<bool> {
        let (entry, outcome) = self.write(events).await;
        Ok(self.landed(entry, outcome?))
    }

    /// Says something about another turn.
    pub(crate) async fn say_for(&mut self, turn: &str, attempt: u32, event: Event) -> Result<bool> {
        let (entry, outcome) = self.write_for(turn, attempt, vec![event]).await;
        Ok(self.landed(entry, outcome?))
    }

    fn landed(&mut self, entry: Entry, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Stored(sequence) => {
                self.moved(sequence, entry.state);
                true
            }
            Outcome::Refused => false,
        }
    }

    fn write_for(&self, turn: &str, attempt: u32, events: Vec<Event>) -> Writing {
        let last = self.state.as_ref().map(|state| (self.sequence.0, state));
        let entry = Entry::after(last, turn, attempt, events);
        let (log, session) = (Arc::clone(&self.broker.log), self.session.clone());
        async move {
            let outcome = broker::append(&*log, &session, &entry).await;
            (entry, outcome)
        }
        .boxed()
    }
}
