//! The agent's stream into the log: one append in flight, and whatever is said
//! meanwhile becomes the next entry.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use broker::{Follow, Followed, From, MAX_ENTRY_BYTES, Outcome, Position, Result};
use futures::future::FusedFuture as _;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use proto::{Cancelled, Ending, Entry, Event, Failed, HandedOver, code, event};
use tokio::time::{Instant, Sleep, sleep};

use crate::agents::Agents;
use crate::call::Asked;
use crate::decide::Standing;
use crate::pending::{Pending, Said, Words};
use crate::seat::{Seat, Writing};

/// How long the agent may be silent before the log is watched for a cancel;
/// until then the next append tells.
const QUIET: Duration = Duration::from_millis(200);
/// The room in which others may write, in appends like the last one and within
/// these limits; and after how many such appends in a row, and how long, without
/// any they are given some. Against a writer that never rests, a request to stop
/// would lose every race for the log. What is said meanwhile is merged, so that
/// it costs no throughput.
const ROOM: (u32, Duration, Duration) = (3, Duration::from_millis(5), Duration::from_millis(50));
const STREAK: (u32, Duration) = (16, Duration::from_millis(50));
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
    asked: Asked,
    leaves: impl Future<Output = ()> + Send + Unpin,
) -> Result<Ended> {
    let mut relay = Relay {
        seat,
        agents: Arc::clone(agents),
        asked,
        pending: Pending::default(),
        writing: None,
        wrote: Instant::now(),
        landed: Instant::now(),
        rested: Instant::now(),
        room: None,
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
    asked: Asked,
    pending: Pending,
    writing: Option<Writing>,
    /// When the append in flight, or the last one, was begun.
    wrote: Instant,
    /// When the last append had landed.
    landed: Instant,
    /// When others had room to write.
    rested: Instant,
    /// Others may write as long as this lasts.
    room: Option<Pin<Box<Sleep>>>,
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
    Said(Option<Said>),
    Heard(Option<Result<Followed>>),
    Quiet,
    Rested,
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
                Happened::Said(said) => {
                    self.said(said);
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
                Happened::Rested => {
                    self.room = None;
                    self.rested = Instant::now();
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
        if self.writing.is_none() && self.room.is_none() && !self.pending.is_empty() {
            // Whoever speaks often is told by the append; whoever speaks now
            // and then goes on listening.
            if !self.silent {
                self.watch = None;
            }
            let took = self.landed.saturating_duration_since(self.wrote);
            self.wrote = Instant::now();
            if self.wrote - self.landed >= room(took) {
                self.rested = self.wrote;
            }
            self.writing = Some(self.seat.write(self.pending.take()));
        }
    }

    /// Leaves others room to write, if there was none for long.
    fn make_room(&mut self) {
        self.landed = Instant::now();
        let took = self.landed - self.wrote;
        let long = (took * STREAK.0).max(STREAK.1);
        if self.landed - self.rested >= long && !self.over {
            self.room = Some(Box::pin(sleep(room(took))));
        }
    }

    async fn happening(&mut self) -> Happened {
        let listening = !self.over && self.pending.has_room();
        let idle = self.writing.is_none();
        let watching = idle && self.watch.is_some();
        tokio::select! {
            biased;
            (entry, outcome) = landing(&mut self.writing) => Happened::Written(entry, outcome),
            () = resting(&mut self.room) => Happened::Rested,
            said = self.asked.events.next(), if listening => Happened::Said(said),
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
        self.room = None;
        if !std::mem::replace(&mut self.over, true) {
            self.pending.push(Event::from(event::Kind::HandedOver(HandedOver {})));
        }
    }

    fn said(&mut self, said: Option<Said>) {
        let Some(said) = said else {
            self.over = true;
            return;
        };
        self.over = said.event.kind.as_ref().is_some_and(|it| it.ending().is_some());
        let size = prost::Message::encoded_len(&said.event);
        if size <= MAX_ENTRY_BYTES - FRAME {
            self.pending.push(said);
            return;
        }
        self.over = true;
        let message = format!("the agent said {size} bytes in one event");
        let code = code::EVENT_TOO_LARGE.to_owned();
        let failed = event::Kind::Failed(Failed { code, message, retryable: false });
        self.pending.push(Event::from(failed));
    }

    /// Lets no agent go on with the turn.
    fn dismiss(&self) {
        if let Some(agent) = self.asked.at() {
            self.agents.dismiss(self.seat.session(), self.seat.me().turn, agent);
        }
    }

    async fn written(&mut self, entry: Entry, outcome: Outcome) -> Result<Option<Ended>> {
        self.writing = None;
        self.quiet.as_mut().reset(Instant::now() + QUIET);
        self.silent = false;
        if let Outcome::Stored(sequence) = outcome {
            let ending = entry.ending();
            self.seat.stored(sequence, entry);
            if ending == Some(Ending::Failed) {
                // Only now: an agent that is told to stop ends the turn as
                // cancelled, and the next attempt would believe it.
                self.dismiss();
            }
            self.make_room();
            return Ok(ending.map(|_| Ended::Stored));
        }
        let standing = self.seat.refused().await?;
        let words = Words::from(entry);
        if standing == Standing::Mine {
            self.writing = Some(self.seat.write(words));
            return Ok(None);
        }
        self.stand(standing, words).await
    }

    /// An entry of somebody else's, while the agent was silent.
    async fn heard(&mut self, followed: &Followed) -> Result<Option<Ended>> {
        let standing = match followed {
            Followed::Entry(stored) => self.seat.hear(stored),
            Followed::Gap(_) => self.seat.look_again().await?,
        };
        self.stand(standing, Vec::new().into()).await
    }

    /// Does what the standing asks for; `unsaid` was refused.
    async fn stand(&mut self, standing: Standing, unsaid: Words) -> Result<Option<Ended>> {
        match standing {
            Standing::Mine => Ok(None),
            Standing::Cancelled => self.cancel(unsaid).await.map(Some),
            Standing::Fenced => Ok(Some(Ended::Fenced)),
            Standing::Over => {
                self.dismiss();
                Ok(Some(Ended::Fenced))
            }
        }
    }

    /// Ends the turn as cancelled; what was said before stays.
    async fn cancel(&mut self, unsaid: Words) -> Result<Ended> {
        self.watch = None;
        let (session, turn) = (self.seat.session(), self.seat.me().turn);
        let stopping = self.agents.cancel(session, turn, self.asked.at()).await;
        let mut last = vec![unsaid];
        while !self.pending.is_empty() {
            last.push(self.pending.take());
        }
        for words in &mut last {
            words.events.retain(|it| it.kind.as_ref().is_some_and(|it| it.ending().is_none()));
        }
        let cancelled = Event::from(event::Kind::Cancelled(Cancelled {}));
        if let Some(words) = last.last_mut() {
            words.events.push(cancelled);
        }
        for words in last.into_iter().filter(|it| !it.events.is_empty()) {
            while !self.seat.say(words.clone()).await? {
                match self.seat.look_again().await? {
                    Standing::Mine | Standing::Cancelled => {}
                    Standing::Fenced => return Ok(Ended::Fenced),
                    Standing::Over => {
                        stopping.stored();
                        return Ok(Ended::Fenced);
                    }
                }
            }
        }
        stopping.stored();
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

/// How long others need, where an append took so long.
fn room(took: Duration) -> Duration {
    (took * ROOM.0).clamp(ROOM.1, ROOM.2)
}

/// Waits until others had their room; for ever when nobody was given any.
async fn resting(room: &mut Option<Pin<Box<Sleep>>>) {
    match room {
        Some(room) => room.await,
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
