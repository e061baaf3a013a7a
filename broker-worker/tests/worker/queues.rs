//! What the queue may do to a worker: refuse, be cleared, bring strange jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Admission, Broker, Bucket, Delivery, Erased, Error, Key, Pending, Queue, Sequence, Submitted,
    erase,
};
use proto::{Completed, Ending, FORMAT, Job, Session, Started, code, event};
use tokio::time::Instant;

use crate::agent::{Line, completed, text};
use crate::shop::{Shop, work};
use crate::{failure, kinds, spoken};

/// A queue that is full so many times when it is asked for a job, and that
/// gets a job right after it was cleared.
#[derive(Debug)]
struct Odd {
    inner: Arc<dyn Queue>,
    full: AtomicU32,
    late: Option<Job>,
    /// Where the late job's turn is to have begun before the clearing is over.
    log: Arc<dyn broker::Log>,
}

#[async_trait]
impl Queue for Odd {
    async fn submit(
        &self,
        session: &Session,
        job: &Job,
        admission: Admission,
    ) -> broker::Result<Submitted> {
        self.inner.submit(session, job, admission).await
    }

    async fn next(&self) -> broker::Result<Delivery> {
        let one_less = |it: u32| it.checked_sub(1);
        match self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(Error::Full("no room".to_owned())),
            Err(_) => self.inner.next().await,
        }
    }

    async fn first(&self, session: &Session) -> broker::Result<Option<Sequence>> {
        self.inner.first(session).await
    }

    async fn pending(&self, session: &Session) -> broker::Result<Vec<Pending>> {
        self.inner.pending(session).await
    }

    async fn clear(&self, session: &Session) -> broker::Result<u64> {
        let cleared = self.inner.clear(session).await?;
        if let Some(late) = &self.late {
            self.inner.submit(session, late, Admission::Enqueue).await?;
            while self.log.last(session).await?.is_none_or(|it| it.entry.turn_id != late.turn_id) {
                tokio::task::yield_now().await;
            }
        }
        Ok(cleared)
    }

    async fn busy(&self, user: &proto::UserId) -> broker::Result<Vec<(proto::SessionId, u64)>> {
        self.inner.busy(user).await
    }

    async fn depth(&self) -> broker::Result<u64> {
        self.inner.depth().await
    }
}

fn odd(broker: &Broker, full: u32, late: Option<Job>) -> Broker {
    let inner = Arc::clone(&broker.queue);
    let queue = Odd { inner, full: full.into(), late, log: Arc::clone(&broker.log) };
    Broker { queue: Arc::new(queue), ..broker.clone() }
}

#[tokio::test]
async fn a_worker_outlives_a_store_that_is_full_for_a_while() {
    let shop = Shop::new(vec![vec![completed(1)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    work(shop.config(), odd(&shop.broker, 2, None), &shop.life);
    let (_, state) = shop.until_end(&turn).await;
    assert_eq!(state.ending(), Ending::Completed);
}

#[tokio::test]
async fn an_erased_turn_stops_without_a_word_and_its_agent_with_it() {
    for speaks in [Line::Hold, Line::Flood(2, 100_000)] {
        let shop = Shop::new(vec![vec![text(1, "gone"), speaks, Line::Hold]]).await;
        let turn = shop.submit(Admission::IfEmpty).await;
        shop.work();
        shop.until(|events| spoken(events).starts_with("gone")).await;
        assert!(matches!(erase(&shop.broker, &shop.session).await, Ok(Erased::Done(_))));
        shop.until_cancelled().await;
        shop.until_hung_up().await;
        assert_eq!(shop.cancels(), [turn.to_string()]);
        assert!(shop.last().await.entry.is_tombstone());
        assert_eq!(shop.broker.queue.depth().await, Ok(0));
        assert_eq!(erase(&shop.broker, &shop.session).await, Ok(Erased::Nothing));
    }
}

#[tokio::test]
async fn a_parked_job_of_an_erased_session_makes_room_at_once() {
    let held = vec![text(1, "one"), Line::Hold];
    let shop = Shop::new(vec![held, vec![text(1, "anew"), completed(2)]]).await;
    shop.submit(Admission::Enqueue).await;
    shop.work_on(1);
    shop.until(|events| spoken(events) == "one").await;
    shop.submit(Admission::Enqueue).await;
    shop.work_on(1);
    assert!(matches!(erase(&shop.broker, &shop.session).await, Ok(Erased::Done(_))));
    let anew = shop.submit(Admission::IfEmpty).await;
    let (events, state) = shop.until_end(&anew).await;
    assert_eq!((spoken(&events).as_str(), state.ending()), ("anew", Ending::Completed));
    shop.until_empty().await;
}

#[tokio::test]
async fn a_turn_that_begins_while_its_session_is_erased_is_erased_too() {
    let script = vec![vec![text(1, "one"), Line::Hold], vec![Line::Hold], vec![completed(1)]];
    let shop = Shop::with(1, script, Duration::from_millis(500)).await;
    shop.submit(Admission::Enqueue).await;
    shop.work_on(1);
    shop.until(|events| spoken(events) == "one").await;
    let late = shop.job();
    shop.work_on(1);
    let broker = odd(&shop.broker, 0, Some(late.clone()));
    assert!(matches!(erase(&broker, &shop.session).await, Ok(Erased::Done(_))));
    // Its job comes once more, and is found to have ended.
    shop.until_empty().await;
    assert!(shop.last().await.entry.is_tombstone());
    let asked: Vec<_> = shop.calls().into_iter().map(|it| it.turn_id).collect();
    assert!(asked.iter().filter(|it| **it == late.turn_id).count() <= 1, "{asked:?}");
    let anew = shop.submit(Admission::IfEmpty).await;
    let (_, state) = shop.until_end(&anew).await;
    assert_eq!(state.ending(), Ending::Completed);
}

#[tokio::test]
async fn a_parked_turn_begins_although_its_predecessor_is_acknowledged_late() {
    let lease = Duration::from_secs(1);
    let shop = Shop::with(1, vec![vec![completed(1)]], lease).await;
    let first = shop.submit(Admission::Enqueue).await;
    let held = shop.broker.queue.next().await.unwrap();
    shop.say(&first, 1, event::Kind::Started(Started::default())).await;
    let second = shop.submit(Admission::Enqueue).await;
    shop.work();
    let ended = Instant::now();
    shop.say(&first, 1, event::Kind::Completed(Completed::default())).await;
    // Past the moment for which the worker looks out for it.
    let late = async {
        for _ in 0..4 {
            tokio::time::sleep(lease / 4).await;
            held.lease.progress().await.unwrap();
        }
        held.lease.acknowledge().await.unwrap();
    };
    let ((), (_, state)) = tokio::join!(late, shop.until_end(&second));
    assert_eq!(state.ending(), Ending::Completed);
    assert!(ended.elapsed() > lease && ended.elapsed() < 4 * lease, "{:?}", ended.elapsed());
}

#[tokio::test]
async fn a_job_of_another_format_ends_its_turn_visibly_and_is_filed() {
    let shop = Shop::new(vec![vec![completed(1)]]).await;
    let job = Job { version: FORMAT + 1, ..shop.job() };
    shop.broker.queue.submit(&shop.session, &job, Admission::Enqueue).await.unwrap();
    let next = shop.submit(Admission::Enqueue).await;
    shop.work();
    let (events, _) = shop.until_end(&job.turn_id.parse().unwrap()).await;
    assert_eq!(kinds(&events), ["started", "failed"]);
    assert_eq!(failure(&events), code::UNREADABLE);
    let key = Key::session(&shop.session);
    assert_eq!(shop.broker.records.list(Bucket::DeadLetters, &key).await.unwrap().len(), 1);
    let (_, state) = shop.until_end(&next).await;
    assert_eq!(state.ending(), Ending::Completed);
    shop.until_empty().await;
}
