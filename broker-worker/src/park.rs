//! A job that is not its session's first waits here, without a slot, and holds
//! its lease meanwhile. Bounded in number and in time.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Follow, Followed, From, Front, Result, Sequence};
use proto::Session;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a job is parked before it is given back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after an end its acknowledgement is looked for, at these pauses.
const SETTLING: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(2));

/// Waits until the job is no longer behind another one; `false` when that took
/// too long.
pub(crate) async fn park(broker: &Broker, session: &Session, job: Sequence) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let log = Arc::clone(&broker.log);
    let mut follow = Follow::open(log, session.clone(), From::Now).await?;
    loop {
        if !is_behind(broker, session, job).await? {
            return Ok(true);
        }
        let Ok(followed) = timeout_at(deadline, next_end(&mut follow)).await else {
            return Ok(false);
        };
        followed?;
        let settled = Instant::now() + SETTLING.0;
        let mut pause = SETTLING.1;
        while Instant::now() < settled {
            if !is_behind(broker, session, job).await? {
                return Ok(true);
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

async fn is_behind(broker: &Broker, session: &Session, job: Sequence) -> Result<bool> {
    let first = broker.queue.first(session).await?;
    Ok(Front::of(job, first) == Front::Behind)
}

/// The next entry that ends a turn, or a hole where one may have been.
async fn next_end(follow: &mut Follow) -> Result<()> {
    loop {
        match follow.next().await? {
            Followed::Gap(_) => return Ok(()),
            Followed::Entry(stored) if stored.entry.ending().is_some() => return Ok(()),
            Followed::Entry(_) => {}
        }
    }
}
