//! One delivery of one job: decide, acquire, relay, settle.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Bucket, Delivery, Expected, Front, Key, Lease, Result};
use process::{Lifecycle, clock};
use proto::{
    AskRequest, Cancelled, DeadLetter, Event, FORMAT, Failed, Job, Resumed, SessionState, Started,
    code, event,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

use crate::agents::Agents;
use crate::decide::{Step, step};
use crate::hear::Place;
use crate::park::park;
use crate::record::{Account, Writer};
use crate::relay::{Ended, relay};
use crate::seat::Seat;
use crate::{Leaving, metrics, trace};

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
pub(crate) enum Settlement {
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
    let (account, told) = Account::open(&delivery.job);
    let writer = Writer::new(shop.broker.clone(), session, told);
    let seat = Seat::new(shop.broker.clone(), &delivery, account);
    let attempt = Attempt { shop: &shop, delivery: &delivery, seat, slot: Some(slot) };
    let settled = tokio::select! {
        settled = writer.beside(attempt.run()) => settled,
        never = keep(&*delivery.lease) => match never {},
    };
    let Delivery { session, lease, .. } = delivery;
    trace::settled(&settled);
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
        metrics::decided(&step);
        match step {
            Step::Leave => Ok(Some(Settlement::Silence)),
            Step::Acknowledge => {
                self.seat.found_ended();
                Ok(Some(Settlement::Done))
            }
            Step::Park => self.park().await,
            Step::Begin if self.is_foreign() => self.refuse(vec![self.started()]).await,
            Step::TakeOver if self.is_foreign() => self.refuse(Vec::new()).await,
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
        let _counted = metrics::PARKED.hold([]);
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
        let begins = matches!(first.kind, Some(event::Kind::Started(_)));
        if !self.seat.say(vec![first]).await? {
            return Ok(None);
        }
        if begins {
            metrics::WAIT.time(trace::waited(&self.delivery.job, clock::now()), []);
        }
        let _running = metrics::RUNNING.hold([]);
        let asked = self.shop.agents.ask(self.seat.session(), self.request(self.seat.place()));
        let leaves = Box::pin(self.shop.leaves());
        match relay(&mut self.seat, &self.shop.agents, asked, leaves).await? {
            Ended::Stored => Ok(Some(Settlement::Done)),
            Ended::Fenced => Ok(Some(Settlement::Silence)),
            Ended::Left => Ok(Some(Settlement::Later(Duration::ZERO))),
        }
    }

    async fn cancel(&mut self, begun: bool) -> Result<Option<Settlement>> {
        let cancelled = Event::from(event::Kind::Cancelled(Cancelled {}));
        if !begun {
            let stored = self.seat.say(vec![self.started(), cancelled]).await?;
            return Ok(stored.then_some(Settlement::Done));
        }
        let (session, turn) = (self.seat.session(), self.seat.me().turn);
        let stopping = self.shop.agents.cancel(session, turn, None).await;
        if !self.seat.say(vec![cancelled]).await? {
            return Ok(None);
        }
        stopping.stored();
        Ok(Some(Settlement::Done))
    }

    /// Gives the turn up, after it was filed for a person to look at: who crashes
    /// in between files it once more, and who says the end has filed it.
    async fn seal(&mut self) -> Result<Option<Settlement>> {
        let message = format!("{} attempts in a row made no progress", self.shop.attempts);
        let failed = failed(code::ATTEMPTS_EXHAUSTED, message, true);
        let key = Key::session(&self.delivery.session).child(&self.delivery.turn.to_string());
        self.bury(&key, &failed).await?;
        if self.seat.say(vec![event::Kind::Failed(failed).into()]).await? {
            return Ok(Some(Settlement::Done));
        }
        // It may not be hopeless after all, or its session was erased.
        self.shop.broker.records.delete(Bucket::DeadLetters, &key).await?;
        Ok(None)
    }

    /// Ends a turn that cannot even be asked about: its job came from a version
    /// of this program that is not known here. The queue has filed it.
    async fn refuse(&mut self, mut said: Vec<Event>) -> Result<Option<Settlement>> {
        let version = self.delivery.job.version;
        let message = format!("the job's format is {version}, not {FORMAT}");
        said.push(event::Kind::Failed(failed(code::UNREADABLE, message, false)).into());
        Ok(self.seat.say(said).await?.then_some(Settlement::Done))
    }

    fn is_foreign(&self) -> bool {
        self.delivery.job.version != FORMAT
    }

    async fn end_lost(&mut self) -> Result<Option<Settlement>> {
        let Some(SessionState { turn_id, attempt, .. }) = self.seat.state().cloned() else {
            return Ok(None);
        };
        tracing::warn!(session = ?self.delivery.session, turn.id = turn_id, "a running turn lost its job");
        let failed = failed(code::LOST, "the turn's job was lost while it ran".to_owned(), true);
        let event = event::Kind::Failed(failed).into();
        self.seat.say_for(&turn_id, attempt, event).await?;
        Ok(None)
    }

    async fn bury(&self, key: &Key, failed: &Failed) -> Result<()> {
        let letter = DeadLetter {
            job: Some(self.delivery.job.clone()),
            payload: bytes::Bytes::new(),
            code: failed.code.clone(),
            reason: failed.message.clone(),
            buried: Some(proto::timestamp(clock::now())),
        };
        let value = prost::Message::encode_to_vec(&letter).into();
        self.shop.broker.records.put(Bucket::DeadLetters, key, value, Expected::Any).await?;
        Ok(())
    }

    fn started(&self) -> Event {
        let Job { messages, resume, replaces, behind, .. } = &self.delivery.job;
        event::Kind::Started(Started {
            input: messages.last().map(|it| it.content.clone()).unwrap_or_default(),
            resumes: resume.as_ref().map(|it| it.turn_id.clone()).unwrap_or_default(),
            replaces: replaces.clone(),
            behind: behind.clone(),
        })
        .into()
    }

    fn request(&self, has: Place) -> AskRequest {
        let job = self.delivery.job.clone();
        AskRequest {
            user_id: job.user_id,
            session_id: job.session_id,
            turn_id: job.turn_id,
            messages: job.messages,
            system: job.system,
            model: job.model,
            resume_after: has.index,
            resume_run: has.run,
            resume: job.resume,
            metadata: job.metadata,
            replaces: job.replaces,
            behind: job.behind,
        }
    }
}

fn failed(code: &str, message: String, retryable: bool) -> Failed {
    Failed { code: code.to_owned(), message, retryable }
}
