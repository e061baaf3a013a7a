//! The reading half of every stream: a session's entries in order, what is
//! missing said aloud, and for one turn its end.
//!
//! Knows no dialect and no connection. Ends after the turn's stored end, or the
//! tombstone of its session; a reading of a session has no end. Tells nothing
//! that its client has already.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use broker::{Follow, Followed, From, Position, Stored};
use proto::{Session, TurnId, event};

use super::{Cut, Opened, follow};
use crate::access::Streaming;
use crate::caller::{Ends, Owned};
use crate::edge::{Edge, Room};
use crate::mark::{Mark, position};
use crate::so_far::{SoFar, Taken};
use crate::{metrics, turn};

/// What a reader is to be told.
#[derive(Debug)]
pub(crate) enum Told {
    /// An entry, without the first `skip` of its frames.
    Entry { at: Position, stored: Stored, skip: usize },
    /// The running turn up to a place, as one entry.
    SoFar { at: Position, stored: Stored },
    /// Entries are missing here.
    Gap(event::Kind),
}

/// A reader of one turn, or of all that happens in a session.
#[derive(Debug)]
pub(crate) struct Reading {
    edge: Arc<Edge>,
    follow: Follow,
    session: Owned,
    /// The one turn that is told, as the log spells it.
    turn: Option<String>,
    has: Option<Mark>,
    /// Whether the turn was begun anew after a gap.
    renewed: bool,
    /// The running turn, while a late reader catches up with it.
    so_far: Option<SoFar>,
    /// What came and was not judged yet.
    came: Option<Followed>,
    told: VecDeque<Told>,
    ended: bool,
    seen: Streaming,
}

impl Reading {
    /// A reading of one turn until its end, and the room that it takes.
    pub(super) fn of_turn(edge: &Arc<Edge>, opened: Opened, turn: TurnId) -> (Self, Room) {
        let (reading, room) = Self::of_session(edge, opened);
        (Self { turn: Some(turn.to_string()), so_far: None, ..reading }, room)
    }

    /// A reading of a session, and the room that it takes. One that begins with
    /// the running turn is told it up to now at once.
    pub(super) fn of_session(edge: &Arc<Edge>, opened: Opened) -> (Self, Room) {
        let Opened { session, follow, from, has, room } = opened;
        (Self { has, ..Self::new(edge, session, follow, from) }, room)
    }

    /// A reading of a session for somebody who has taken room before.
    pub(crate) async fn open(
        edge: &Arc<Edge>,
        session: &Owned,
        from: From,
        has: Option<Mark>,
    ) -> broker::Result<Self> {
        let follow = follow(edge, session, from).await?;
        Ok(Self { has, ..Self::new(edge, session.clone(), follow, from) })
    }

    fn new(edge: &Arc<Edge>, session: Owned, follow: Follow, from: From) -> Self {
        Self {
            so_far: SoFar::of(follow.head().filter(|_| from == From::Turn)),
            edge: Arc::clone(edge),
            follow,
            session,
            turn: None,
            has: None,
            renewed: false,
            came: None,
            told: VecDeque::new(),
            ended: false,
            seen: Streaming::begin(),
        }
    }

    /// Whether this is a reading of one turn, which has an end.
    pub(crate) fn has_end(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the end was told.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What comes next; `None` after the end. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, Cut> {
        loop {
            if let Some(told) = self.told.pop_front() {
                self.count(&told);
                return Ok(Some(told));
            }
            if self.ended {
                return Ok(None);
            }
            if self.came.is_none() {
                self.came = Some(self.follow.next().await?);
            }
            self.judge().await?;
        }
    }

    fn count(&mut self, told: &Told) {
        match told {
            Told::Entry { stored, skip, .. } => {
                self.seen.told(stored.entry.events.len().saturating_sub(*skip));
            }
            Told::SoFar { .. } => self.seen.told(1),
            Told::Gap(gap) => metrics::gap(gap),
        }
    }

    /// Makes what came into what is told. What is asked of the broker is asked
    /// before anything changes: a future that is dropped meanwhile leaves it to
    /// the next one.
    async fn judge(&mut self) -> Result<(), Cut> {
        match &self.came {
            None => {}
            Some(Followed::Entry(stored)) => {
                let tombstone = stored.entry.is_tombstone();
                let erased = match &self.turn {
                    Some(turn) if tombstone && *turn != stored.entry.turn_id => {
                        is_erased(&self.edge, &self.session, turn, stored).await?
                    }
                    Some(_) | None => false,
                };
                if let Some(Followed::Entry(stored)) = self.came.take() {
                    self.entry(stored, erased);
                }
            }
            Some(Followed::Gap(_)) => {
                let after = self.after_gap().await?;
                if let Some(Followed::Gap(gap)) = self.came.take() {
                    self.gap(gap, after);
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, stored: Stored, erased: bool) {
        let skip = self.skip(&stored);
        if self.gathers(&stored) {
            return;
        }
        let mine = self.turn.as_ref().map(|it| *it == stored.entry.turn_id);
        self.ended = match mine {
            None => false,
            Some(true) => stored.entry.ending().is_some(),
            Some(false) if erased => true,
            Some(false) => return,
        };
        let at = position(self.edge.broker.log.epoch(), stored.sequence);
        self.told.push_back(Told::Entry { at, stored, skip });
    }

    /// Whether an entry goes into what is told as one. The last one makes that.
    fn gathers(&mut self, stored: &Stored) -> bool {
        if stored.entry.is_tombstone() {
            self.so_far = None;
        }
        let Some(so_far) = &mut self.so_far else { return false };
        let taken = so_far.take(stored);
        if matches!(taken, Taken::Last | Taken::After) {
            self.tell_so_far();
        }
        matches!(taken, Taken::Yes | Taken::Last)
    }

    fn tell_so_far(&mut self) {
        if let Some(so_far) = self.so_far.take() {
            let stored = so_far.into_entry();
            let at = position(self.edge.broker.log.epoch(), stored.sequence);
            self.told.push_back(Told::SoFar { at, stored });
        }
    }

    /// How it goes on where entries are missing. The reader is then like one
    /// that comes late. A turn is told from its beginning, once: what is missing
    /// may be its end.
    async fn after_gap(&mut self) -> Result<Onward, Cut> {
        let log = self.edge.broker.log.as_ref();
        let Some(turn) = &self.turn else {
            return Ok(Onward::Live(
                SoFar::of(log.last(&self.session).await?.as_ref()).map(Box::new),
            ));
        };
        if self.renewed {
            return Err(Cut::Gap);
        }
        let turn = turn.parse().map_err(|_never| Cut::Gap)?;
        let Some(found) = turn::find(log, &self.session, turn).await? else {
            return Err(Cut::Gap);
        };
        let begins = From::At(position(log.epoch(), found.begins));
        Ok(Onward::Anew(Box::new(follow(&self.edge, &self.session, begins).await?)))
    }

    fn gap(&mut self, gap: event::Kind, onward: Onward) {
        self.has = None;
        self.tell_so_far();
        self.told.push_back(Told::Gap(gap));
        match onward {
            Onward::Live(so_far) => self.so_far = so_far.map(|it| *it),
            Onward::Anew(follow) => {
                self.renewed = true;
                let so_far = SoFar::of(follow.head());
                self.so_far = so_far.filter(|it| self.turn.as_deref() == Some(it.turn()));
                self.follow = follow.expecting();
            }
        }
    }

    /// How many frames of this entry the client has.
    fn skip(&mut self, stored: &Stored) -> usize {
        let Some(has) = self.has else { return 0 };
        if stored.sequence < has.position.sequence {
            return usize::MAX;
        }
        self.has = None;
        if stored.sequence > has.position.sequence {
            return 0;
        }
        has.frames.unwrap_or(usize::MAX)
    }
}

/// How a reading goes on after a gap.
enum Onward {
    /// Where it is, with the running turn told up to now.
    Live(Option<Box<SoFar>>),
    /// From the beginning of its turn.
    Anew(Box<Follow>),
}

/// Why a stream must stop before its end.
pub(crate) type Stop = Pin<Box<dyn Future<Output = Cut> + Send>>;

/// Ready when a stream under this credential must stop.
pub(crate) fn stop(edge: &Arc<Edge>, ends: Ends) -> Stop {
    let edge = Arc::clone(edge);
    Box::pin(async move {
        tokio::select! {
            biased;
            () = edge.life.draining() => Cut::Draining,
            () = ends.ended() => Cut::Unauthenticated,
        }
    })
}

async fn is_erased(
    edge: &Edge,
    session: &Session,
    turn: &str,
    tombstone: &Stored,
) -> broker::Result<bool> {
    match turn.parse() {
        Ok(turn) => turn::is_erased(&edge.broker, session, turn, tombstone).await,
        Err(_never) => Ok(false),
    }
}
