//! A job that is not its session's first waits here, without a slot, and holds
//! its lease meanwhile. Bounded in number and in time.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Follow, Followed, From, Front, Result, Sequence, Stored};
use proto::Session;
use tokio::time::{Instant, sleep, timeout};

/// How long a job is parked before it is given back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after an end its acknowledgement is looked for, at these pauses.
const SETTLING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2));

/// Waits until the job is no longer behind another one; `false` when that took
/// too long. `tick` is how often the queue is asked although the log is silent:
/// an end may have been stored long before its job is acknowledged.
pub(crate) async fn park(
    broker: &Broker,
    session: &Session,
    (job, tick): (Sequence, Duration),
) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let log = Arc::clone(&broker.log);
    let mut follow = Follow::open(log, session.clone(), From::Now).await?;
    while is_behind(broker, session, job).await? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let Ok(ended) = timeout(tick, next_end(&mut follow)).await else {
            continue;
        };
        ended?;
        settled(broker, session, job).await?;
    }
    Ok(true)
}

/// Waits a moment for the acknowledgement that follows an end.
async fn settled(broker: &Broker, session: &Session, job: Sequence) -> Result<()> {
    let enough = Instant::now() + SETTLING.0;
    let mut pause = SETTLING.1;
    while Instant::now() < enough && is_behind(broker, session, job).await? {
        sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

async fn is_behind(broker: &Broker, session: &Session, job: Sequence) -> Result<bool> {
    let first = broker.queue.first(session).await?;
    Ok(Front::of(job, first) == Front::Behind)
}

/// The next entry that ends a turn or the session, or a hole where one may have
/// been.
async fn next_end(follow: &mut Follow) -> Result<()> {
    loop {
        match follow.next().await? {
            Followed::Gap(_) => return Ok(()),
            Followed::Entry(Stored { entry, .. })
                if entry.ending().is_some() || entry.is_tombstone() =>
            {
                return Ok(());
            }
            Followed::Entry(_) => {}
        }
    }
}
