//! The agent's stream into the log: one append in flight, and whatever is said
//! meanwhile becomes the next entry.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use broker::{Follow, Followed, From, MAX_ENTRY_BYTES, Outcome, Position, Result};
use futures::future::FusedFuture as _;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use proto::{Cancelled, Entry, Event, Failed, HandedOver, event};
use tokio::time::{Instant, Sleep, sleep};

use crate::agents::Agents;
use crate::decide::Standing;
use crate::pending::Pending;
use crate::seat::{Seat, Writing};

/// How long the agent may be silent before the log is watched for a cancel;
/// until then the next append tells.
const QUIET: Duration = Duration::from_millis(200);
/// What an entry's own fields may take, in bytes.
const FRAME: usize = 16 * 1024;

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The turn's terminal event is stored.
    Stored,
    /// The session is no longer this attempt's.
    Fenced,
    /// All that was said is stored, and another worker is to go on.
    Left,
}

/// Relays until the turn ends, the session is lost, or `leaves` is ready.
pub(crate) async fn relay(
    seat: &mut Seat,
    agents: &Arc<Agents>,
    events: BoxStream<'static, Event>,
    leaves: impl Future<Output = ()> + Send + Unpin,
) -> Result<Ended> {
    let mut relay = Relay {
        seat,
        agents: Arc::clone(agents),
        events,
        pending: Pending::default(),
        writing: None,
        watch: None,
        quiet: Box::pin(sleep(QUIET)),
        silent: false,
        over: false,
    };
    relay.run(leaves).await
}

struct Relay<'a> {
    seat: &'a mut Seat,
    agents: Arc<Agents>,
    events: BoxStream<'static, Event>,
    pending: Pending,
    writing: Option<Writing>,
    /// Hears what others write; only while the agent is silent.
    watch: Option<BoxStream<'static, Result<Followed>>>,
    quiet: Pin<Box<Sleep>>,
    /// Nothing was written for so long that the log is watched.
    silent: bool,
    /// The agent has said its terminal event.
    over: bool,
}

/// What happened next.
enum Happened {
    Written(Entry, Result<Outcome>),
    Said(Option<Event>),
    Heard(Option<Result<Followed>>),
    Quiet,
    Left,
}

impl Relay<'_> {
    async fn run(&mut self, leaves: impl Future<Output = ()> + Send + Unpin) -> Result<Ended> {
        let mut leaves = leaves.fuse();
        loop {
            self.write();
            if leaves.is_terminated() && self.writing.is_none() {
                return Ok(Ended::Left);
            }
            let happened = tokio::select! {
                biased;
                () = &mut leaves => Happened::Left,
                happened = self.happening() => happened,
            };
            let ended = match happened {
                Happened::Written(entry, outcome) => self.written(entry, outcome?).await?,
                Happened::Said(event) => {
                    self.said(event);
                    None
                }
                Happened::Heard(Some(followed)) => self.heard(&followed?).await?,
                Happened::Heard(None) => {
                    self.watch = None;
                    self.listen();
                    None
                }
                Happened::Quiet => {
                    self.silent = true;
                    self.listen();
                    None
                }
                Happened::Left => {
                    self.leave();
                    None
                }
            };
            if let Some(ended) = ended {
                return Ok(ended);
            }
        }
    }

    /// Puts an append in flight when there is none and something to say.
    fn write(&mut self) {
        if self.writing.is_none() && !self.pending.is_empty() {
            // Whoever speaks often is told by the append; whoever speaks now
            // and then goes on listening.
            if !self.silent {
                self.watch = None;
            }
            self.writing = Some(self.seat.write(self.pending.take()));
        }
    }

    async fn happening(&mut self) -> Happened {
        let listening = !self.over && self.pending.has_room();
        let idle = self.writing.is_none();
        let watching = idle && self.watch.is_some();
        tokio::select! {
            biased;
            (entry, outcome) = landing(&mut self.writing) => Happened::Written(entry, outcome),
            event = self.events.next(), if listening => Happened::Said(event),
            followed = hearing(&mut self.watch), if watching => Happened::Heard(followed),
            () = &mut self.quiet, if idle && !self.silent => Happened::Quiet,
        }
    }

    /// Hears from now on what others write.
    fn listen(&mut self) {
        if self.watch.is_none() {
            self.watch = Some(self.watch());
        }
    }

    /// Follows the log from where this attempt wrote last.
    fn watch(&self) -> BoxStream<'static, Result<Followed>> {
        let (log, session) = (Arc::clone(&self.seat.broker().log), self.seat.session().clone());
        let sequence = self.seat.sequence();
        let from = From::After(Position { epoch: log.epoch(), sequence });
        stream::once(Follow::open(log, session, from))
            .map_ok(|follow| {
                stream::try_unfold(follow, |mut follow| async move {
                    let followed = follow.next().await?;
                    Ok(Some((followed, follow)))
                })
            })
            .try_flatten()
            .boxed()
    }

    /// Takes no more, and says so after what was taken.
    fn leave(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.pending.push(event::Kind::HandedOver(HandedOver {}).into());
        }
    }

    fn said(&mut self, event: Option<Event>) {
        let Some(event) = event else {
            self.over = true;
            return;
        };
        self.over = event.kind.as_ref().is_some_and(|it| it.ending().is_some());
        let size = prost::Message::encoded_len(&event);
        if size <= MAX_ENTRY_BYTES - FRAME {
            self.pending.push(event);
            return;
        }
        self.over = true;
        let message = format!("the agent said {size} bytes in one event");
        let code = "event_too_large".to_owned();
        self.pending.push(event::Kind::Failed(Failed { code, message, retryable: false }).into());
    }

    async fn written(&mut self, entry: Entry, outcome: Outcome) -> Result<Option<Ended>> {
        self.writing = None;
        self.quiet.as_mut().reset(Instant::now() + QUIET);
        self.silent = false;
        match outcome {
            Outcome::Stored(sequence) => {
                let ended = entry.ending().is_some();
                self.seat.moved(sequence, entry.state);
                Ok(ended.then_some(Ended::Stored))
            }
            Outcome::Refused => match self.seat.look_again().await? {
                Standing::Mine => {
                    self.writing = Some(self.seat.write(entry.events));
                    Ok(None)
                }
                Standing::Cancelled => self.cancel(entry.events).await.map(Some),
                Standing::Fenced => Ok(Some(Ended::Fenced)),
            },
        }
    }

    /// An entry of somebody else's, while the agent was silent.
    async fn heard(&mut self, followed: &Followed) -> Result<Option<Ended>> {
        let standing = match followed {
            Followed::Entry(stored) => self.seat.hear(stored),
            Followed::Gap(_) => self.seat.look_again().await?,
        };
        match standing {
            Standing::Mine => Ok(None),
            Standing::Cancelled => self.cancel(Vec::new()).await.map(Some),
            Standing::Fenced => Ok(Some(Ended::Fenced)),
        }
    }

    /// Ends the turn as cancelled; what was said before stays.
    async fn cancel(&mut self, unsaid: Vec<Event>) -> Result<Ended> {
        self.watch = None;
        let me = self.seat.me();
        self.agents.cancel(self.seat.session(), me.turn).await;
        let mut events = unsaid;
        while !self.pending.is_empty() {
            events.extend(self.pending.take());
        }
        events.retain(|it| it.kind.as_ref().is_some_and(|kind| kind.ending().is_none()));
        let mut pending = Pending::default();
        for event in events {
            pending.push(event);
        }
        pending.push(event::Kind::Cancelled(Cancelled {}).into());
        while !pending.is_empty() {
            let events = pending.take();
            while !self.seat.say(events.clone()).await? {
                if self.seat.look_again().await? == Standing::Fenced {
                    return Ok(Ended::Fenced);
                }
            }
        }
        Ok(Ended::Stored)
    }
}

/// Waits for what others write; for ever when nobody listens.
async fn hearing(
    watch: &mut Option<BoxStream<'static, Result<Followed>>>,
) -> Option<Result<Followed>> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for the append in flight; for ever when there is none.
async fn landing(writing: &mut Option<Writing>) -> (Entry, Result<Outcome>) {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}
