//! A reader whose live tail says too little, or whose log is out of reach,
//! still sees everything. In memory, where a paused clock is exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::sqlite::{Place, open};
use broker::{
    AppendError, Epoch, Error, Follow, Followed, From, Live, Log, Result, Sequence, Signal, Stored,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use proto::Session;
use tokio::time::{Instant, timeout};

use crate::world::{World, limits, numbers, sees, sees_all, text};

/// How the tail and the log fail.
#[derive(Debug)]
struct Weak {
    log: Arc<dyn Log>,
    /// Of so many live entries only the last arrives; 0 for none at all.
    one_of: u64,
    /// Questions that are not answered.
    unanswered: AtomicU32,
    /// Whether reads find nothing, as on a replica that is behind.
    behind: AtomicBool,
    /// Questions that were answered.
    answered: AtomicU32,
}

impl Weak {
    fn new(world: &World, one_of: u64) -> Arc<Self> {
        Arc::new(Self {
            log: Arc::clone(&world.broker.log),
            one_of,
            unanswered: AtomicU32::new(0),
            behind: AtomicBool::new(false),
            answered: AtomicU32::new(0),
        })
    }

    fn answers(&self) -> Result<()> {
        let left = self.unanswered.load(Ordering::SeqCst);
        if left == 0 {
            self.answered.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        self.unanswered.store(left - 1, Ordering::SeqCst);
        Err(Error::Unavailable("no leader".to_owned()))
    }
}

#[async_trait]
impl Log for Weak {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        self.log.append(session, follows, entry).await
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        self.answers()?;
        self.log.last(session).await
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        self.answers()?;
        if self.behind.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
        self.log.read(session, after, most).await
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        if self.one_of == 0 {
            return Ok(stream::pending().boxed());
        }
        let (live, one_of) = (self.log.live(session).await?, self.one_of);
        let heard = live.filter(move |signal| {
            let heard = match signal {
                Signal::Entry(stored) => stored.sequence.0 % one_of == 0,
                Signal::Missed => true,
            };
            std::future::ready(heard)
        });
        Ok(heard.boxed())
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        self.log.purge(session, before).await
    }
}

async fn world() -> World {
    World::new(open(Place::Memory, limits()).await.unwrap())
}

async fn follow(log: &Arc<Weak>, session: &Session) -> Follow {
    let log: Arc<dyn Log> = Arc::clone(log) as _;
    Follow::open(log, session.clone(), From::Start).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_tail_is_silent_asks_while_a_turn_is_open() {
    let world = world().await;
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    speaker.say("0").await;
    let mut follow = follow(&Weak::new(&world, 0), &session).await;
    assert_eq!(sees(&mut follow).await, "0");
    speaker.say("1").await;
    speaker.say("2").await;
    let began = Instant::now();
    assert_eq!(sees_all(&mut follow, 2).await, numbers(1..3));
    assert!(began.elapsed() <= Duration::from_secs(6));
    speaker.complete().await;
    assert_eq!(sees(&mut follow).await, "completed");
    // Nothing is open: a turn that begins is heard of live, or late,
    speaker.say("new").await;
    let silence = timeout(Duration::from_secs(20), follow.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(sees(&mut follow).await, "new");
    assert!(began.elapsed() <= Duration::from_secs(6 + 6 + 31));
    speaker.complete().await;
    assert_eq!(sees(&mut follow).await, "completed");
    // or soon, by a caller that waits for it.
    speaker.say("newer").await;
    let mut follow = follow.expecting();
    let began = Instant::now();
    assert_eq!(sees(&mut follow).await, "newer");
    assert!(began.elapsed() <= Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_expects_something_misses_a_lost_entry_for_seconds_only() {
    let world = world().await;
    let session = world.session("s");
    let log = Weak::new(&world, 0);
    let mut follow = follow(&log, &session).await.expecting();
    // Reads are behind: the leader's word is enough.
    log.behind.store(true, Ordering::SeqCst);
    let mut speaker = world.speaker(&session);
    for turn in ["a", "b"] {
        let began = Instant::now();
        speaker.say(turn).await;
        assert_eq!(sees(&mut follow).await, turn);
        speaker.complete().await;
        assert_eq!(sees(&mut follow).await, "completed");
        assert!(began.elapsed() <= Duration::from_secs(11));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_reads_are_behind_asks_ever_less_often() {
    let world = world().await;
    let session = world.session("s");
    world.chain(&session, 3).await;
    let log = Weak::new(&world, 0);
    let mut follow = follow(&log, &session).await;
    log.behind.store(true, Ordering::SeqCst);
    log.answered.store(0, Ordering::SeqCst);
    // The caller that gives up and asks again changes nothing.
    for _ in 0..600 {
        let silence = timeout(Duration::from_millis(100), follow.next()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    let asked = log.answered.load(Ordering::SeqCst);
    assert!(asked <= 2 * 66, "{asked} questions in a minute");
    log.behind.store(false, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(sees_all(&mut follow, 3).await, numbers(0..3));
    assert!(began.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_reader_fills_what_its_tail_left_out() {
    let world = world().await;
    let session = world.session("s");
    let mut follow = follow(&Weak::new(&world, 7), &session).await;
    world.chain(&session, 70).await;
    assert_eq!(sees_all(&mut follow, 70).await, numbers(0..70));
}

#[tokio::test(start_paused = true)]
async fn a_reader_bears_a_log_that_is_out_of_reach_for_a_while() {
    let world = world().await;
    let session = world.session("s");
    let mut speaker = world.speaker(&session);
    speaker.say("0").await;
    let log = Weak::new(&world, 0);
    let mut follow = follow(&log, &session).await;
    log.unanswered.store(100, Ordering::SeqCst);
    assert_eq!(sees(&mut follow).await, "0");
    speaker.say("1").await;
    log.unanswered.store(100, Ordering::SeqCst);
    assert_eq!(sees(&mut follow).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_told_of_a_log_that_stays_out_of_reach_and_goes_on_later() {
    let world = world().await;
    let session = world.session("s");
    world.speaker(&session).say("0").await;
    let log = Weak::new(&world, 0);
    let mut follow = follow(&log, &session).await;
    log.unanswered.store(u32::MAX, Ordering::SeqCst);
    let began = Instant::now();
    let told = follow.next().await;
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
    assert!(began.elapsed() >= Duration::from_secs(15));
    log.unanswered.store(0, Ordering::SeqCst);
    let Ok(Followed::Entry(stored)) = follow.next().await else {
        panic!("the reader did not go on");
    };
    assert_eq!(text(&stored.entry), "0");
}
