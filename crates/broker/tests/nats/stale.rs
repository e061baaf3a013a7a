//! A server that hung still believes that it leads when it wakes, until it
//! hears of its successor: its last entries are from the past, and it refuses
//! appends that the others take. No reader may take that for a lost log, and no
//! writer for another writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::nats::{Config, open};
use broker::sqlite::{self, Place};
use broker::{
    AppendError, Broker, Epoch, Follow, Followed, From, Limits, Live, Log, Outcome, Position,
    Result, Sequence, Stored, append,
};
use bytes::Bytes;
use proto::Session;
use testkit::nats::Cluster;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::world::{LONG, assert_chain, config, entry, session, store};

const DOUBT: Duration = Duration::from_secs(15);

/// A log whose last entry is an earlier one for so many questions.
#[derive(Debug)]
struct Waking {
    log: Arc<dyn Log>,
    past: Option<Stored>,
    lies: AtomicU32,
    /// Appends that are refused, and whether another server takes them.
    refusals: AtomicU32,
    taken: AtomicBool,
}

impl Waking {
    /// Lies `lies` times, and says that the log ends at `past`.
    async fn new(broker: &Broker, session: &Session, past: Sequence, lies: u32) -> Arc<Self> {
        let before = broker.log.read(session, past.before(), 1).await.unwrap();
        let past = before.into_iter().next().filter(|it| it.sequence == past);
        Arc::new(Self {
            log: Arc::clone(&broker.log),
            past,
            lies: lies.into(),
            refusals: AtomicU32::new(0),
            taken: AtomicBool::new(false),
        })
    }
}

#[async_trait]
impl Log for Waking {
    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    async fn append(
        &self,
        session: &Session,
        follows: Sequence,
        entry: Bytes,
    ) -> Result<Sequence, AppendError> {
        if !counted_down(&self.refusals) {
            return self.log.append(session, follows, entry).await;
        }
        if self.taken.load(Ordering::SeqCst) {
            self.log.append(session, follows, entry).await.ok();
        }
        Err(AppendError::Refused)
    }

    async fn last(&self, session: &Session) -> Result<Option<Stored>> {
        if counted_down(&self.lies) {
            return Ok(self.past.clone());
        }
        self.log.last(session).await
    }

    fn doubt(&self) -> Duration {
        DOUBT
    }

    async fn read(&self, session: &Session, after: Sequence, most: usize) -> Result<Vec<Stored>> {
        self.log.read(session, after, most).await
    }

    async fn live(&self, session: &Session) -> Result<Live> {
        self.log.live(session).await
    }

    async fn purge(&self, session: &Session, before: Sequence) -> Result<u64> {
        self.log.purge(session, before).await
    }
}

/// Takes one away; `false` when none is left.
fn counted_down(left: &AtomicU32) -> bool {
    let one = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one).is_ok()
}

/// A broker in memory with three entries, and where they stand.
async fn three(session: &Session) -> (Broker, [Sequence; 3]) {
    let broker = sqlite::open(Place::Memory, Limits::default()).await.unwrap();
    let first = store(&broker, session, Sequence::START, "0").await;
    let second = store(&broker, session, first, "1").await;
    let third = store(&broker, session, second, "2").await;
    (broker, [first, second, third])
}

async fn sees(follow: &mut Follow) -> Result<Sequence, String> {
    match timeout(4 * LONG, follow.next()).await.expect("something").unwrap() {
        Followed::Entry(stored) => Ok(stored.sequence),
        Followed::Gap(proto::event::Kind::Gap(gap)) => Err(gap.reason),
        other @ Followed::Gap(_) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_resumes_at_a_server_that_wakes_gets_exactly_the_rest() {
    let session = session("s");
    let (broker, [first, _, third]) = three(&session).await;
    let fourth = store(&broker, &session, third, "3").await;
    for past in [Sequence::START, first] {
        for (from, rest) in [(From::After as fn(_) -> _, fourth), (From::At, third)] {
            let log = Waking::new(&broker, &session, past, 20).await;
            let asked = Position { epoch: log.epoch(), sequence: third };
            let mut follow = Follow::open(log, session.clone(), from(asked)).await.unwrap();
            assert_eq!(sees(&mut follow).await, Ok(rest), "{past}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_asks_again_before_it_believes_that_its_log_went_back() {
    let session = session("s");
    for ends in [0, 1] {
        let (broker, places) = three(&session).await;
        let past = if ends == 0 { Sequence::START } else { places[0] };
        let log = Waking::new(&broker, &session, past, 0).await;
        let reader: Arc<dyn Log> = Arc::clone(&log) as _;
        let mut follow = Follow::open(reader, session.clone(), From::Start).await.unwrap();
        for place in places {
            assert_eq!(sees(&mut follow).await, Ok(place));
        }
        log.lies.store(20, Ordering::SeqCst);
        // It is silent, so it compares, is lied to, and asks until it is not.
        assert!(timeout(2 * LONG, follow.next()).await.is_err(), "there is nothing new");
        assert_eq!(log.lies.load(Ordering::SeqCst), 0);
        let fourth = store(&broker, &session, places[2], "3").await;
        assert_eq!(sees(&mut follow).await, Ok(fourth));
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_says_so_for_long_did_go_back() {
    let session = session("s");
    let (broker, [_, second, third]) = three(&session).await;
    let log = Waking::new(&broker, &session, second, u32::MAX).await;
    let asked = Position { epoch: log.epoch(), sequence: third };
    let mut follow = Follow::open(log, session.clone(), From::After(asked)).await.unwrap();
    let began = Instant::now();
    assert_eq!(sees(&mut follow).await, Err("unknown_position".to_owned()));
    assert!(began.elapsed() >= DOUBT && began.elapsed() < 2 * DOUBT, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_from_the_past_is_not_another_writer() {
    let session = session("s");
    for (taken, lies) in [(false, 0), (false, 7), (true, 0), (true, 7)] {
        let (broker, [first, _, third]) = three(&session).await;
        let log = Waking::new(&broker, &session, first, lies).await;
        log.refusals.store(3, Ordering::SeqCst);
        log.taken.store(taken, Ordering::SeqCst);
        let outcome = append(&*log, &session, &entry(third, "3")).await;
        let read = broker.log.read(&session, third, 9).await.unwrap();
        assert_eq!(read.len(), 1, "stored once, whoever took it");
        // Its own words, which it cannot tell from somebody else's: it stops.
        let stopped = Outcome::Refused;
        let is = if taken { stopped } else { Outcome::Stored(read[0].sequence) };
        assert_eq!(outcome, Ok(is), "{taken} {lies}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_writer_is_seen_at_once_and_a_log_that_went_back_in_the_end() {
    let session = session("s");
    let (broker, [_, second, third]) = three(&session).await;
    let log = Waking::new(&broker, &session, second, 0).await;
    let began = Instant::now();
    assert_eq!(append(&*log, &session, &entry(second, "x")).await, Ok(Outcome::Refused));
    assert!(began.elapsed() < Duration::from_secs(1));
    log.lies.store(u32::MAX, Ordering::SeqCst);
    log.refusals.store(u32::MAX, Ordering::SeqCst);
    assert_eq!(append(&*log, &session, &entry(third, "x")).await, Ok(Outcome::Refused));
    assert!(began.elapsed() >= DOUBT, "{:?}", began.elapsed());
}

/// Three servers; a broker connected to the one that leads the log, and one to
/// the others.
async fn apart(cluster: &mut Cluster) -> (usize, Broker, Broker) {
    let all = cluster.url();
    open(Config { replicas: 3, ..config(&all) }).await.unwrap();
    let leader = cluster.leader_of("LOG").await.unwrap();
    let near = cluster.node(leader).url();
    let others: Vec<_> = all.split(',').filter(|it| *it != near).collect();
    let near = open(Config { replicas: 3, ..config(&near) }).await.unwrap();
    let far = open(Config { replicas: 3, ..config(&others.join(",")) }).await.unwrap();
    (leader, near, far)
}

/// Stores one entry, which a server that wakes may refuse while the others take
/// it: then it is the last one.
async fn written(broker: &Broker, session: &Session, last: Sequence, text: &str) -> Sequence {
    match append(&*broker.log, session, &entry(last, text)).await.unwrap() {
        Outcome::Stored(sequence) => sequence,
        Outcome::Refused => {
            let next = timeout(LONG, async {
                loop {
                    // Reads may lag behind.
                    let next = broker.log.read(session, last, 2).await.unwrap();
                    if !next.is_empty() {
                        return next;
                    }
                }
            });
            let next = next.await.unwrap();
            assert!(next.len() == 1 && next[0].entry == entry(last, text), "{next:?}");
            next[0].sequence
        }
    }
}

/// Opens readers at the newest position again and again until told to stop;
/// none may see anything but what comes next.
async fn resume(broker: &Broker, session: &Session, newest: watch::Receiver<u64>) -> u64 {
    let mut opened = 0;
    while newest.has_changed().is_ok() {
        let sequence = Sequence(*newest.borrow());
        let asked = Position { epoch: broker.log.epoch(), sequence };
        let log = Arc::clone(&broker.log);
        let mut follow = Follow::open(log, session.clone(), From::After(asked)).await.unwrap();
        match timeout(LONG, follow.next()).await {
            Ok(Ok(Followed::Entry(stored))) => assert_eq!(stored.entry.follows, sequence.0),
            // The last reader waits for an entry that never comes.
            Err(_) if newest.has_changed().is_err() => break,
            other => panic!("{other:?}"),
        }
        opened += 1;
    }
    opened
}

#[tokio::test]
async fn nobody_is_misled_by_a_leader_that_hung_and_wakes() {
    let mut cluster = Cluster::start().await.unwrap();
    let (leader, near, far) = apart(&mut cluster).await;
    let session = session("s");
    let mut last = Sequence::START;
    for text in 0..10 {
        last = store(&far, &session, last, &text.to_string()).await;
    }
    cluster.node(leader).pause().unwrap();
    for text in 10..60 {
        last = store(&far, &session, last, &text.to_string()).await;
    }
    let (newest, seen) = watch::channel(last.0);
    let (from, readers) = (seen.clone(), (&near, &far));
    cluster.node(leader).resume().unwrap();
    let writing = async {
        let began = Instant::now();
        let mut many = 60;
        while began.elapsed() < Duration::from_secs(2) {
            last = written(&near, &session, last, &many.to_string()).await;
            newest.send_replace(last.0);
            many += 1;
            sleep(Duration::from_millis(1)).await;
        }
        drop(newest);
        // What the last readers wait for.
        store(&near, &session, last, "the end").await;
        many + 1
    };
    let (many, by_near, by_far) =
        tokio::join!(writing, resume(readers.0, &session, seen), resume(readers.1, &session, from));
    assert!(by_near > 0 && by_far > 0, "{by_near} {by_far}");
    assert_chain(&far, &session, many).await;
}
