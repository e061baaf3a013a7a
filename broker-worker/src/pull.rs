//! Takes jobs: room first, then a job.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Delivery};
use futures::future::try_join_all;
use process::Lifecycle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;

use crate::agents::Agents;
use crate::attempt::{Shop, work};
use crate::{Config, Error, metrics, trace};

/// The pause after the queue could not be asked.
const PAUSE: Duration = Duration::from_millis(500);

/// Works until the process drains; attempts under way then finish by
/// themselves, or are dropped when it aborts.
pub async fn run(config: Config, broker: Broker, life: Lifecycle) -> Result<(), Error> {
    if config.agents.is_empty() {
        return Err(Error::NoAgent);
    }
    if config.slots == 0 {
        return Err(Error::NoSlot);
    }
    metrics::SLOTS.set(config.slots as u64, []);
    let shop = Arc::new(Shop {
        broker,
        agents: Arc::new(Agents::new(config.agents, config.times, life.clone())),
        attempts: config.attempts,
        slots: Arc::new(Semaphore::new(config.slots)),
        parking: Arc::new(Semaphore::new(config.slots)),
        leaving: config.leaving,
        life,
    });
    let pullers = shop.broker.queue.waiters().min(config.slots);
    try_join_all((0..pullers).map(|_| pull(&shop))).await?;
    Ok(())
}

/// Takes one job after the other.
async fn pull(shop: &Arc<Shop>) -> Result<(), Error> {
    loop {
        let next = tokio::select! {
            biased;
            () = shop.life.draining() => return Ok(()),
            next = next(shop) => next,
        };
        match next {
            Ok(Some((delivery, slot))) => {
                let span = trace::attempt(&delivery);
                let work = Box::pin(work(Arc::clone(shop), delivery, slot).instrument(span));
                shop.life.spawn_as("turns", work);
            }
            Ok(None) => return Ok(()),
            // A full store has room again one day; the process serves until then.
            Err(
                error @ (broker::Error::Unavailable(_)
                | broker::Error::Full(_)
                | broker::Error::NoRoom(_)),
            ) => {
                tracing::warn!(%error, "the queue does not answer; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// `None` when the worker takes no more.
async fn next(shop: &Shop) -> broker::Result<Option<(Delivery, OwnedSemaphorePermit)>> {
    let Ok(slot) = Arc::clone(&shop.slots).acquire_owned().await else {
        return Ok(None);
    };
    let delivery = shop.broker.queue.next().await?;
    Ok(Some((delivery, slot)))
}
