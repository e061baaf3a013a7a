//! A session's log as the attempt that writes it knows it: where the chain
//! ends, and the state there.

use std::sync::Arc;

use broker::{Broker, Delivery, Outcome, Position, Result, Sequence, Stored};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use process::clock;
use proto::{Entry, Event, Session, SessionState};
use tokio::time::Instant;

use crate::decide::{Me, Standing, standing};
use crate::hear::Place;
use crate::metrics;
use crate::pending::Words;
use crate::record::Account;

/// The end of a session's chain, and the right to try to go on from there.
#[derive(Debug)]
pub(crate) struct Seat {
    broker: Broker,
    session: Session,
    turn: String,
    attempt: u32,
    sequence: Sequence,
    state: Option<SessionState>,
    /// The log has refused an append, and why is not known yet.
    in_doubt: bool,
    account: Account,
}

/// An append on its way, and what became of it.
pub(crate) type Writing = BoxFuture<'static, (Entry, Result<Outcome>)>;

impl Seat {
    /// The seat that a delivery is to take; `account` is told what it stores.
    pub(crate) fn new(broker: Broker, delivery: &Delivery, account: Account) -> Self {
        let (session, turn) = (delivery.session.clone(), delivery.turn.to_string());
        let (sequence, state, in_doubt) = (Sequence::START, None, false);
        let attempt = delivery.attempt;
        Self { broker, session, turn, attempt, sequence, state, in_doubt, account }
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

    /// Reads on: what is this attempt's standing now?
    pub(crate) async fn look_again(&mut self) -> Result<Standing> {
        let place = self.place();
        self.look().await?;
        Ok(standing(self.me(), place, self.state()))
    }

    /// Reads on after a refusal.
    pub(crate) async fn refused(&mut self) -> Result<Standing> {
        self.in_doubt = true;
        self.look_again().await
    }

    /// Hears what somebody else has stored.
    pub(crate) fn hear(&mut self, stored: &Stored) -> Standing {
        let place = self.place();
        if stored.sequence > self.sequence {
            self.moved(stored.sequence, stored.entry.state.clone());
        }
        standing(self.me(), place, self.state())
    }

    /// The last of the agent's events that is known to be stored.
    pub(crate) fn place(&self) -> Place {
        let place = |it: &SessionState| Place { run: it.run, index: it.last_index };
        self.state.as_ref().map(place).unwrap_or_default()
    }

    /// Reads where the chain ends, for certain.
    pub(crate) async fn look(&mut self) -> Result<()> {
        let last = self.broker.log.last(&self.session).await?;
        match last {
            Some(last) => {
                self.account.looked(last.sequence, &last.entry);
                self.moved(last.sequence, Some(last.entry.state.unwrap_or_default()));
            }
            None => self.moved(Sequence::START, None),
        }
        if std::mem::take(&mut self.in_doubt) {
            self.tell_of_refusal();
        }
        Ok(())
    }

    /// Says once of each refused append that this attempt was no longer the one
    /// to write.
    fn tell_of_refusal(&self) {
        let Some(state) = &self.state else { return };
        if state.turn_id == self.turn && state.attempt > self.attempt {
            metrics::FENCED.add(1, []);
            tracing::info!(
                session = ?self.session,
                turn.id = self.turn,
                attempt.number = self.attempt,
                attempt.fenced = state.attempt,
                "the log refused an append of an attempt that was taken over"
            );
        }
    }

    /// This attempt stored an entry, with which the chain now ends.
    pub(crate) fn stored(&mut self, sequence: Sequence, entry: Entry) {
        self.account.stored(self.position(sequence), &entry, clock::now());
        self.moved(sequence, entry.state);
    }

    /// This attempt's turn was found to have ended.
    pub(crate) fn found_ended(&self) {
        if let Some(state) = &self.state {
            self.account.found(self.position(self.sequence), state, clock::now());
        }
    }

    fn position(&self, sequence: Sequence) -> Position {
        Position { epoch: self.broker.log.epoch(), sequence }
    }

    /// The chain now ends here.
    fn moved(&mut self, sequence: Sequence, state: Option<SessionState>) {
        self.sequence = sequence;
        self.state = state;
    }

    /// Begins to say something right after the end that is known.
    pub(crate) fn write(&self, words: impl Into<Words>) -> Writing {
        self.write_for(&self.turn, self.attempt, words.into())
    }

    /// Says something; `false` when the log went on without this attempt.
    pub(crate) async fn say(&mut self, words: impl Into<Words>) -> Result<bool> {
        let (entry, outcome) = self.write(words).await;
        Ok(self.landed(entry, outcome?))
    }

    /// Says something about another turn.
    pub(crate) async fn say_for(&mut self, turn: &str, attempt: u32, event: Event) -> Result<bool> {
        let (entry, outcome) = self.write_for(turn, attempt, vec![event].into()).await;
        Ok(self.landed(entry, outcome?))
    }

    /// Takes note of what became of an append; whether it is stored.
    fn landed(&mut self, entry: Entry, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Stored(sequence) => {
                self.stored(sequence, entry);
                true
            }
            Outcome::Refused => {
                self.in_doubt = true;
                false
            }
        }
    }

    fn write_for(&self, turn: &str, attempt: u32, Words { run, events }: Words) -> Writing {
        let last = self.state.as_ref().map(|state| (self.sequence.0, state));
        let entry = Entry::told(last, turn, (attempt, run), events);
        let (log, session) = (Arc::clone(&self.broker.log), self.session.clone());
        async move {
            let began = Instant::now();
            let outcome = broker::append(&*log, &session, &entry).await;
            metrics::appended(&entry, &outcome, began.elapsed());
            (entry, outcome)
        }
        .boxed()
    }
}
