//! How much the servers keep: what is over it is refused, or gone and said so.

use std::sync::Arc;

use broker::nats::{Config, open};
use broker::{Admission, Error, Follow, Followed, From, Sequence};
use testkit::nats::Server;
use tokio::time::timeout;

use crate::world::{LONG, config, job, session, store};

/// Far more than the server keeps beside the payloads.
const LARGE: usize = 100 * 1024;

#[tokio::test]
async fn a_full_log_forgets_its_oldest_entries_and_readers_are_told() {
    let server = Server::start().await.unwrap();
    let limited = Config { log_bytes: Some(1 << 20), ..config(&server.url()) };
    let broker = open(limited).await.unwrap();
    let (session, text) = (session("s"), "x".repeat(LARGE));
    let mut last = Sequence::START;
    for _ in 0..30 {
        last = store(&broker, &session, last, &text).await;
    }
    let log = Arc::clone(&broker.log);
    let mut follow = Follow::open(log, session, From::Start).await.unwrap();
    let first = timeout(LONG, follow.next()).await.unwrap().unwrap();
    let Followed::Gap(proto::event::Kind::Gap(gap)) = first else { panic!("{first:?}") };
    assert_eq!((gap.reason.as_str(), gap.asked.as_str()), ("expired", "start"));
    let (mut after, mut many) = (None, 0);
    while after != Some(last) {
        let next = timeout(LONG, follow.next()).await.unwrap().unwrap();
        let Followed::Entry(stored) = next else { panic!("{next:?}") };
        assert!(after.is_none_or(|it: Sequence| it.0 == stored.entry.follows));
        after = Some(stored.sequence);
        many += 1;
    }
    assert!((5..=10).contains(&many), "a megabyte of them, not {many}");
}

#[tokio::test]
async fn a_full_queue_refuses_jobs_and_loses_none() {
    let server = Server::start().await.unwrap();
    let limited = Config { jobs_bytes: Some(1 << 20), ..config(&server.url()) };
    let queue = open(limited).await.unwrap().queue;
    let large = |id: &str| {
        let session = session(id);
        let job = proto::Job { system: "x".repeat(3 * LARGE), ..job(&session) };
        (session, job)
    };
    let mut accepted = Vec::new();
    let refused = loop {
        let (session, job) = large(&accepted.len().to_string());
        match queue.submit(&session, &job, Admission::IfEmpty).await {
            Ok(_) if accepted.len() < 10 => accepted.push(job),
            other => break other,
        }
    };
    assert!(matches!(refused, Err(Error::NoRoom(_))), "{refused:?}");
    assert!(accepted.len() >= 2, "{}", accepted.len());
    for job in &accepted {
        let delivery = timeout(LONG, queue.next()).await.unwrap().unwrap();
        assert_eq!(delivery.job.turn_id, job.turn_id);
        delivery.lease.acknowledge().await.unwrap();
    }
    let (session, job) = large("again");
    queue.submit(&session, &job, Admission::IfEmpty).await.unwrap();
}

#[tokio::test]
async fn room_for_jobs_only_grows_and_room_for_the_log_is_as_asked() {
    let server = Server::start().await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(raw);
    let table = [
        ((None, None), (1 << 30, -1)),
        ((Some(2 << 30), Some(8 << 30)), (2 << 30, 8 << 30)),
        ((Some(1 << 20), Some(4 << 30)), (2 << 30, 4 << 30)),
        ((None, None), (2 << 30, 4 << 30)),
    ];
    for ((jobs_bytes, log_bytes), is) in table {
        open(Config { jobs_bytes, log_bytes, ..config(&server.url()) }).await.unwrap();
        let jobs = streams.get_stream("JOBS").await.unwrap();
        let log = streams.get_stream("LOG").await.unwrap();
        assert_eq!((jobs.cached_info().config.max_bytes, log.cached_info().config.max_bytes), is);
    }
}
