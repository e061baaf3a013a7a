//! One delivery of one job: decide, acquire, relay, settle.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Bucket, Delivery, Expected, Front, Key, Lease, Result};
use process::{Lifecycle, clock};
use proto::{
    AskRequest, Cancelled, DeadLetter, Event, FORMAT, Failed, Job, Resumed, SessionState, Started,
    event,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

use crate::Leaving;
use crate::agents::Agents;
use crate::decide::{Step, step};
use crate::park::park;
use crate::relay::{Ended, relay};
use crate::seat::Seat;

/// After how long a job that found no room to be parked comes back.
const NO_ROOM: Duration = Duration::from_millis(500);

/// What the attempts of a worker share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) broker: Broker,
    pub(crate) agents: Arc<Agents>,
    pub(crate) attempts: u32,
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) parking: Arc<Semaphore>,
    pub(crate) leaving: Leaving,
    pub(crate) life: Lifecycle,
}

impl Shop {
    /// Ready once turns under way are to be given back.
    async fn leaves(&self) {
        match self.leaving {
            Leaving::HandOver => self.life.draining().await,
            Leaving::Finish => std::future::pending().await,
        }
    }
}

/// What becomes of the job.
enum Settlement {
    /// Its turn's terminal entry is stored.
    Done,
    /// It is somebody else's, or nobody's any more.
    Silence,
    /// Nothing was done yet.
    Later(Duration),
}

/// Works on a delivery to its end. A failure leaves the job to its lease.
pub(crate) async fn work(shop: Arc<Shop>, delivery: Delivery, slot: OwnedSemaphorePermit) {
    let (session, turn, number) = (delivery.session.clone(), delivery.turn, delivery.attempt);
    let seat = Seat::new(shop.broker.clone(), session, turn.to_string(), number);
    let attempt = Attempt { shop: &shop, delivery: &delivery, seat, slot: Some(slot) };
    let settled = tokio::select! {
        settled = attempt.run() => settled,
        never = keep(&*delivery.lease) => match never {},
    };
    let Delivery { session, lease, .. } = delivery;
    let settled = match settled {
        Ok(Settlement::Done) => lease.acknowledge().await,
        Ok(Settlement::Later(delay)) => lease.later(delay).await,
        Ok(Settlement::Silence) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = settled {
        tracing::warn!(?session, turn.id = %turn, attempt = number, %error, "attempt broken off");
    }
}

/// Shows the queue that the job is being worked on.
async fn keep(lease: &dyn Lease) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(lease.lasts() / 3);
    // Who slept long must not keep a job that is somebody else's by now.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = lease.progress().await {
            tracing::debug!(%error, "a sign of progress was not heard");
        }
    }
}

struct Attempt<'a> {
    shop: &'a Shop,
    delivery: &'a Delivery,
    seat: Seat,
    slot: Option<OwnedSemaphorePermit>,
}

impl Attempt<'_> {
    async fn run(mut self) -> Result<Settlement> {
        loop {
            // In this order: see `decide::step`.
            self.seat.look().await?;
            let first = self.shop.broker.queue.first(&self.delivery.session).await?;
            let front = Front::of(self.delivery.sequence, first);
            let step = step(self.seat.me(), self.seat.state(), front, self.shop.attempts);
            if let Some(settlement) = self.take(step).await? {
                return Ok(settlement);
            }
        }
    }

    /// Does what was decided. `None` when the log went on meanwhile: decide
    /// again.
    async fn take(&mut self, step: Step) -> Result<Option<Settlement>> {
        match step {
            Step::Leave => Ok(Some(Settlement::Silence)),
            Step::Acknowledge => Ok(Some(Settlement::Done)),
            Step::Park => self.park().await,
            Step::Begin => self.acquire(self.started()).await,
            Step::TakeOver => self.acquire(event::Kind::Resumed(Resumed {}).into()).await,
            Step::Cancel { begun } => self.cancel(begun).await,
            Step::Seal => self.seal().await,
            Step::EndLost => self.end_lost().await,
        }
    }

    async fn park(&mut self) -> Result<Option<Settlement>> {
        self.slot = None;
        let Ok(_parked) = self.shop.parking.try_acquire() else {
            return Ok(Some(Settlement::Later(NO_ROOM)));
        };
        let Delivery { session, sequence, lease, .. } = self.delivery;
        let ready = tokio::select! {
            biased;
            () = self.shop.life.draining() => false,
            ready = park(&self.shop.broker, session, (*sequence, lease.lasts())) => ready?,
        };
        if !ready {
            return Ok(Some(Settlement::Later(Duration::ZERO)));
        }
        // Not waited for: whoever has the slot may wait for this very job.
        match Arc::clone(&self.shop.slots).try_acquire_owned() {
            Ok(slot) => {
                self.slot = Some(slot);
                Ok(None)
            }
            Err(_taken) => Ok(Some(Settlement::Later(Duration::ZERO))),
        }
    }

    async fn acquire(&mut self, first: Event) -> Result<Option<Settlement>> {
        if !self.seat.say(vec![first]).await? {
            return Ok(None);
        }
        let resume_after = self.seat.state().map_or(0, |it| it.last_index);
        let events = self.shop.agents.ask(self.seat.session(), self.request(resume_after));
        let leaves = Box::pin(self.shop.leaves());
        match relay(&mut self.seat, &self.shop.agents, events, leaves).await? {
            Ended::Stored => Ok(Some(Settlement::Done)),
            Ended::Fenced => Ok(Some(Settlement::Silence)),
            Ended::Left => Ok(Some(Settlement::Later(Duration::ZERO))),
        }
    }

    async fn cancel(&mut self, begun: bool) -> Result<Option<Settlement>> {
        let cancelled = Event::from(event::Kind::Cancelled(Cancelled {}));
        let events = if begun {
            self.shop.agents.cancel(self.seat.session(), self.seat.me().turn).await;
            vec![cancelled]
        } else {
            vec![self.started(), cancelled]
        };
        Ok(self.seat.say(events).await?.then_some(Settlement::Done))
    }

    /// Gives the turn up, after it was filed for a person to look at.
    async fn seal(&mut self) -> Result<Option<Settlement>> {
        let code = "attempts_exhausted";
        let message = format!("{} attempts in a row made no progress", self.shop.attempts);
        self.bury(code, &message).await?;
        let said = self.seat.say(vec![failed(code, message)]).await?;
        Ok(said.then_some(Settlement::Done))
    }

    async fn end_lost(&mut self) -> Result<Option<Settlement>> {
        let Some(SessionState { turn_id, attempt, .. }) = self.seat.state().cloned() else {
            return Ok(None);
        };
        tracing::warn!(session = ?self.delivery.session, turn.id = turn_id, "a running turn lost its job");
        let event = failed("lost", "the turn's job was lost while it ran".to_owned());
        self.seat.say_for(&turn_id, attempt, event).await?;
        Ok(None)
    }

    async fn bury(&self, code: &str, reason: &str) -> Result<()> {
        let now = clock::now();
        let letter = DeadLetter {
            job: Some(self.delivery.job.clone()),
            payload: bytes::Bytes::new(),
            code: code.to_owned(),
            reason: reason.to_owned(),
            buried: Some(proto::timestamp(now)),
        };
        let key = Key::session(&self.delivery.session).child(&self.delivery.turn.to_string());
        let value = prost::Message::encode_to_vec(&letter).into();
        self.shop.broker.records.put(Bucket::DeadLetters, &key, value, Expected::Any).await?;
        Ok(())
    }

    fn started(&self) -> Event {
        let Job { messages, resume, .. } = &self.delivery.job;
        event::Kind::Started(Started {
            input: messages.last().map(|it| it.content.clone()).unwrap_or_default(),
            resumes: resume.as_ref().map(|it| it.turn_id.clone()).unwrap_or_default(),
        })
        .into()
    }

    fn request(&self, resume_after: u32) -> AskRequest {
        debug_assert_eq!(self.delivery.job.version, FORMAT, "the queue checks versions");
        let job = self.delivery.job.clone();
        AskRequest {
            user_id: job.user_id,
            session_id: job.session_id,
            turn_id: job.turn_id,
            messages: job.messages,
            system: job.system,
            model: job.model,
            resume_after,
            resume: job.resume,
            metadata: job.metadata,
        }
    }
}

fn failed(code: &str, message: String) -> Event {
    event::Kind::Failed(Failed { code: code.to_owned(), message, retryable: true }).into()
}
