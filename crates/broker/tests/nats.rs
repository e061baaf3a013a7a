//! What only the JetStream implementation promises: what it refuses at start,
//! and what becomes of jobs, entries and readers when servers die.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Stream, RetentionPolicy, StorageType};
use broker::nats::{Config, open};
use broker::{
    Admission, Broker, Bucket, Error, Expected, Key, Limits, Outcome, Sequence, Signal, Submitted,
    append,
};
use futures::StreamExt as _;
use prost::Message as _;
use proto::{Entry, Event, FORMAT, Job, Session, TurnId, event};
use testkit::nats::{Cluster, Server};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(30);

fn config(url: &str) -> Config {
    Config {
        url: url.to_owned(),
        replicas: 1,
        limits: Limits::default(),
        name: "test".to_owned(),
    }
}

fn session(id: &str) -> Session {
    Session::parse("test_user", id).expect("an id")
}

fn job(session: &Session) -> Job {
    Job {
        version: FORMAT,
        user_id: session.user.to_string(),
        session_id: session.id.to_string(),
        turn_id: TurnId::new().to_string(),
        ..Job::default()
    }
}

fn entry(follows: Sequence, text: &str) -> Entry {
    Entry {
        version: FORMAT,
        follows: follows.0,
        events: vec![Event::from(event::Kind::Text(text.to_owned()))],
        ..Entry::default()
    }
}

async fn store(broker: &Broker, session: &Session, follows: Sequence, text: &str) -> Sequence {
    match append(&*broker.log, session, &entry(follows, text))
        .await
        .expect("stored or refused")
    {
        Outcome::Stored(sequence) => sequence,
        Outcome::Refused => panic!("refused"),
    }
}

async fn refusal(config: Config) -> String {
    match open(config).await {
        Err(Error::Unsuitable(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_job_goes_from_submit_to_its_acknowledgement() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    assert_eq!(broker.profile.kind, "nats");
    let (session, queue) = (session("a.b *"), &broker.queue);
    let job = job(&session);
    let Submitted::Accepted(at) = queue
        .submit(&session, &job, Admission::IfEmpty)
        .await
        .unwrap()
    else {
        panic!("not accepted")
    };
    let delivery = queue.next().await.unwrap();
    assert_eq!(
        (delivery.sequence, delivery.attempt, &delivery.session),
        (at, 1, &session)
    );
    assert_eq!(delivery.job, job);
    delivery.lease.progress().await.unwrap();
    delivery
        .lease
        .later(Duration::from_millis(1))
        .await
        .unwrap();
    let delivery = queue.next().await.unwrap();
    assert_eq!((delivery.sequence, delivery.attempt), (at, 2));
    assert_eq!(queue.first(&session).await, Ok(Some(at)));
    delivery.lease.acknowledge().await.unwrap();
    assert_eq!(queue.first(&session).await, Ok(None));
    assert_eq!(queue.depth().await, Ok(0));
}

#[tokio::test]
async fn the_same_turn_is_a_duplicate_by_every_admission_even_when_others_wait() {
    let server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    let session = session("s");
    let (done, waiting) = (job(&session), job(&session));
    queue
        .submit(&session, &done, Admission::IfEmpty)
        .await
        .unwrap();
    queue
        .next()
        .await
        .unwrap()
        .lease
        .acknowledge()
        .await
        .unwrap();
    queue
        .submit(&session, &waiting, Admission::IfEmpty)
        .await
        .unwrap();
    for admission in [
        Admission::Enqueue,
        Admission::IfEmpty,
        Admission::IfLast(Sequence(9)),
    ] {
        for known in [&done, &waiting] {
            let again = queue.submit(&session, known, admission).await;
            assert_eq!(again, Ok(Submitted::Duplicate), "{admission:?}");
        }
    }
    let other = queue
        .submit(&session, &job(&session), Admission::IfEmpty)
        .await;
    assert_eq!(other, Err(Error::Busy));
    assert_eq!(queue.depth().await, Ok(1));
}

/// A turn that was refused is not remembered as submitted.
async fn assert_refused_turn_may_come_again(broker: &Broker) {
    let (session, queue) = (session("again"), &broker.queue);
    let (first, second) = (job(&session), job(&session));
    let submit = |job| queue.submit(&session, job, Admission::IfEmpty);
    submit(&first).await.expect("room");
    assert_eq!(submit(&second).await, Err(Error::Busy));
    assert_eq!(queue.clear(&session).await, Ok(1));
    let again = submit(&second).await;
    assert!(matches!(again, Ok(Submitted::Accepted(_))), "{again:?}");
    assert_eq!(queue.clear(&session).await, Ok(1));
}

#[tokio::test]
async fn a_turn_that_was_refused_may_come_again() {
    let server = Server::start().await.unwrap();
    assert_refused_turn_may_come_again(&open(config(&server.url())).await.unwrap()).await;
}

#[tokio::test]
async fn a_session_takes_as_many_jobs_as_its_depth() {
    let server = Server::start().await.unwrap();
    let mut config = config(&server.url());
    config.limits.queue_depth = 2;
    let queue = open(config).await.unwrap().queue;
    let session = session("s");
    for _ in 0..2 {
        queue
            .submit(&session, &job(&session), Admission::Enqueue)
            .await
            .unwrap();
    }
    let third = queue
        .submit(&session, &job(&session), Admission::Enqueue)
        .await;
    assert!(matches!(third, Err(Error::Full(_))), "{third:?}");
    assert_eq!(queue.pending(&session).await.unwrap().len(), 2);
    assert_eq!(queue.clear(&session).await, Ok(2));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_buried_and_the_next_one_comes() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(raw);
    let session = session("s");
    let (mut foreign, mut future) = (job(&session), job(&session));
    foreign.session_id = "other".to_owned();
    future.version = 99;
    let garbage = [
        ("jobs.test_user.s", b"\xff\xff".to_vec()),
        ("jobs.test_user.s", foreign.encode_to_vec()),
        ("jobs.test_user.s", future.encode_to_vec()),
        ("jobs.=!.s", b"x".to_vec()),
    ];
    for (subject, payload) in garbage.clone() {
        stream
            .publish(subject, payload.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let good = job(&session);
    broker
        .queue
        .submit(&session, &good, Admission::Enqueue)
        .await
        .unwrap();
    let delivery = timeout(LONG, broker.queue.next()).await.unwrap().unwrap();
    assert_eq!(delivery.job, good);
    assert_eq!(broker.queue.depth().await, Ok(1));
    let keys = broker
        .records
        .list(Bucket::DeadLetters, &Key::session(&session))
        .await
        .unwrap();
    assert_eq!(keys.len(), 3);
    let buried = broker
        .records
        .get(Bucket::DeadLetters, &keys[0])
        .await
        .unwrap()
        .unwrap();
    let letter = proto::DeadLetter::decode(buried.value).unwrap();
    assert_eq!(
        (letter.payload.to_vec(), letter.code.as_str()),
        (garbage[0].1.clone(), "unreadable")
    );
}

#[tokio::test]
async fn the_largest_job_entry_and_record_fit() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut job = job(&session);
    job.system = "x".repeat(broker::MAX_JOB_BYTES - 200);
    broker
        .queue
        .submit(&session, &job, Admission::IfEmpty)
        .await
        .unwrap();
    assert_eq!(broker.queue.pending(&session).await.unwrap()[0].job, job);
    assert_eq!(broker.queue.next().await.unwrap().job, job);
    let text = "x".repeat(broker::MAX_ENTRY_BYTES - 100);
    let at = store(&broker, &session, Sequence::START, &text).await;
    let at = store(&broker, &session, at, &text).await;
    store(&broker, &session, at, &text).await;
    let read = broker
        .log
        .read(&session, Sequence::START, 64)
        .await
        .unwrap();
    assert!(
        !read.is_empty() && read.len() < 3,
        "about a megabyte, not {}",
        read.len()
    );
    let key = Key::session(&session);
    let value = bytes::Bytes::from(vec![7; broker::MAX_RECORD_BYTES]);
    broker
        .records
        .put(Bucket::Memory, &key, value.clone(), Expected::Absent)
        .await
        .unwrap();
    assert_eq!(
        broker
            .records
            .get(Bucket::Memory, &key)
            .await
            .unwrap()
            .unwrap()
            .value,
        value
    );
}

/// Streams as somebody else might have made them, and what is said of them.
fn unfit() -> Vec<(Stream, &'static str)> {
    let stream = |name: &str, subject: &str| Stream {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..Stream::default()
    };
    let (jobs, log) = (stream("JOBS", "jobs.*.*"), stream("LOG", "log.*.*"));
    let queue = Stream {
        retention: RetentionPolicy::WorkQueue,
        ..jobs.clone()
    };
    let memory = Stream {
        storage: StorageType::Memory,
        ..jobs.clone()
    };
    let direct = Stream {
        allow_direct: true,
        ..log.clone()
    };
    let bucket = stream("KV_weir_sessions", "$KV.weir_sessions.>");
    let bucket = Stream {
        max_age: Duration::from_secs(3600),
        ..bucket
    };
    vec![
        (
            jobs,
            r#"stream JOBS: retention is "limits", but must be "workqueue""#,
        ),
        (queue, r#"stream JOBS: discard is "old", but must be "new""#),
        (
            memory,
            r#"stream JOBS: storage is "memory", but must be "file""#,
        ),
        (
            stream("JOBS", "jobs.>"),
            r#"stream JOBS: subjects is ["jobs.>"], but must be ["jobs.*.*"]"#,
        ),
        (log, "stream LOG: allow_direct is false, but must be true"),
        (direct, "stream LOG: republish is not set, but must be"),
        (
            bucket,
            "stream KV_weir_sessions: max_age is 3600000000000, but must be 0",
        ),
    ]
}

#[tokio::test]
async fn settings_that_break_a_promise_are_refused_by_name() {
    let server = Server::start().await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(raw);
    // A server without any stream tidies its folder away, also while another
    // stream is being made.
    streams.create_stream("OTHER").await.unwrap();
    for (stream, says) in unfit() {
        let name = stream.name.clone();
        streams.create_stream(stream).await.unwrap();
        let why = refusal(config(&server.url())).await;
        assert!(why.starts_with(says), "{why}");
        streams.delete_stream(name).await.unwrap();
    }
    let mut replicated = config(&server.url());
    replicated.replicas = 3;
    let why = refusal(replicated).await;
    assert!(why.contains("replicas"), "{why}");
}

#[tokio::test]
async fn harmless_settings_are_brought_up_to_date_by_whoever_starts_last() {
    let server = Server::start().await.unwrap();
    open(config(&server.url())).await.unwrap();
    let mut changed = config(&server.url());
    changed.limits.queue_depth = 3;
    changed.limits.lease = Duration::from_secs(7);
    changed.limits.retention = Duration::from_secs(3600);
    open(changed).await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(raw);
    let jobs = streams.get_stream("JOBS").await.unwrap();
    assert_eq!(jobs.cached_info().config.max_messages_per_subject, 3);
    let workers = jobs.consumer_info("workers").await.unwrap();
    assert_eq!(workers.config.ack_wait, Duration::from_secs(7));
    let log = streams.get_stream("LOG").await.unwrap();
    assert_eq!(log.cached_info().config.max_age, Duration::from_secs(3600));
}

#[tokio::test]
async fn several_processes_may_start_at_once_on_an_empty_server() {
    let server = Server::start().await.unwrap();
    let mut deeper = config(&server.url());
    deeper.limits.queue_depth = 9;
    let url = server.url();
    let all = tokio::join!(
        open(config(&url)),
        open(deeper.clone()),
        open(config(&url)),
        open(deeper)
    );
    let epochs = [all.0, all.1, all.2, all.3].map(|it| it.unwrap().log.epoch());
    assert!(epochs.iter().all(|it| *it == epochs[0]), "{epochs:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_in_one_line_at_once() {
    let started = Instant::now();
    let error = open(config("nats://me:secret@127.0.0.1:1"))
        .await
        .unwrap_err();
    let Error::Unavailable(why) = error else {
        panic!("{error:?}")
    };
    assert!(
        why.starts_with("cannot connect to NATS at 127.0.0.1:1: "),
        "{why}"
    );
    assert!(!why.contains('\n') && !why.contains("secret"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let server = Server::start_with("jetstream: disabled").await.unwrap();
    let why = refusal(config(&server.url())).await;
    assert!(why.contains("no JetStream"), "{why}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let old = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut client, _) = listener.accept().await.unwrap();
        let info = r#"{"server_id":"A","server_name":"a","version":"2.10.29","go":"go1","host":"h","port":1,"headers":true,"max_payload":1048576,"proto":1,"client_id":1,"jetstream":true}"#;
        client
            .write_all(format!("INFO {info}\r\n").as_bytes())
            .await
            .unwrap();
        let mut heard = vec![0; 4096];
        loop {
            let read = client.read(&mut heard).await.unwrap();
            if read == 0 || String::from_utf8_lossy(&heard[..read]).contains("PING") {
                client.write_all(b"PONG\r\n").await.ok();
            }
        }
    };
    let why = tokio::select! {
        why = refusal(config(&url)) => why,
        () = old => unreachable!("the old server never ends"),
    };
    assert_eq!(
        why,
        "nats-server is version 2.10.29, but must be at least 2.14.5"
    );
}

#[tokio::test]
async fn a_live_tail_hears_what_is_stored_and_is_told_of_a_restart() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let first = store(&broker, &session, Sequence::START, "a").await;
    match timeout(LONG, live.next()).await.unwrap() {
        Some(Signal::Entry(heard)) => assert_eq!(heard.sequence, first),
        other => panic!("{other:?}"),
    }
    server.restart().await.unwrap();
    assert_eq!(
        timeout(LONG, live.next()).await.unwrap(),
        Some(Signal::Missed)
    );
    let second = store(&broker, &session, first, "b").await;
    match timeout(LONG, live.next()).await.unwrap() {
        Some(Signal::Entry(heard)) => assert_eq!(heard.sequence, second),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_that_was_too_slow_is_told_so() {
    let server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let mut last = Sequence::START;
    for _ in 0..400 {
        last = store(&broker, &session, last, "x").await;
    }
    let mut heard = 0;
    while timeout(LONG, live.next()).await.unwrap() != Some(Signal::Missed) {
        heard += 1;
    }
    assert!(heard < 400, "{heard}");
}

#[tokio::test]
async fn an_append_is_stored_once_although_the_server_dies_under_it() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let mut last = store(&broker, &session, Sequence::START, "0").await;
    for round in 0..3 {
        let under_way = Notify::new();
        let appends = async {
            for text in 0..200 {
                if text == 20 {
                    under_way.notify_one();
                }
                last = store(&broker, &session, last, &format!("{round}.{text}")).await;
            }
        };
        let ((), restarted) = tokio::join!(appends, async {
            under_way.notified().await;
            server.restart().await
        });
        restarted.unwrap();
    }
    assert_chain(&broker, &session, 601).await;
}

/// The log holds exactly this many entries, each linked to the one before.
async fn assert_chain(broker: &Broker, session: &Session, many: usize) {
    let (mut after, mut count) = (Sequence::START, 0);
    loop {
        let read = broker.log.read(session, after, 64).await.expect("a read");
        if read.is_empty() {
            break;
        }
        for stored in read {
            assert_eq!(stored.entry.follows, after.0);
            (after, count) = (stored.sequence, count + 1);
        }
    }
    assert_eq!(count, many);
    assert_eq!(
        broker
            .log
            .last(session)
            .await
            .expect("a last entry")
            .expect("an entry")
            .sequence,
        after
    );
}

#[tokio::test]
async fn a_log_that_was_lost_comes_back_with_another_epoch() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    store(&broker, &session, Sequence::START, "a").await;
    let born = broker.log.epoch();
    server.kill().await.unwrap();
    server.lose_store().unwrap();
    server.restart().await.unwrap();
    let other = open(config(&server.url())).await.unwrap();
    assert_ne!(other.log.epoch(), born);
    assert_eq!(other.log.last(&session).await, Ok(None));
    // The process that lived through it notices as well.
    store(&broker, &session, Sequence::START, "b").await;
    let noticed = async {
        while broker.log.epoch() == born {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, noticed).await.unwrap();
    assert_eq!(broker.log.epoch(), other.log.epoch());
}

#[tokio::test]
async fn a_worker_that_waits_gets_the_job_submitted_after_a_restart() {
    let mut server = Server::start().await.unwrap();
    let broker = open(config(&server.url())).await.unwrap();
    let session = session("s");
    let job = job(&session);
    let (delivery, ()) = tokio::join!(timeout(LONG, broker.queue.next()), async {
        server.restart().await.unwrap();
        broker
            .queue
            .submit(&session, &job, Admission::IfEmpty)
            .await
            .unwrap();
    });
    assert_eq!(delivery.unwrap().unwrap().job, job);
}

#[tokio::test]
async fn a_clusters_log_goes_on_when_its_leader_is_killed() {
    let mut cluster = Cluster::start().await.unwrap();
    let mut replicated = config(&cluster.url());
    replicated.replicas = 3;
    let broker = open(replicated).await.unwrap();
    assert_refused_turn_may_come_again(&broker).await;
    let session = session("s");
    let mut live = broker.log.live(&session).await.unwrap();
    let mut last = store(&broker, &session, Sequence::START, "0").await;
    assert!(matches!(
        timeout(LONG, live.next()).await.unwrap(),
        Some(Signal::Entry(_))
    ));
    let leader = cluster.leader_of("LOG").await.unwrap();
    let node = cluster.node(leader);
    let ((), killed) = tokio::join!(
        async {
            for text in 0..300 {
                last = store(&broker, &session, last, &text.to_string()).await;
            }
        },
        node.kill()
    );
    killed.unwrap();
    cluster.node(leader).restart().await.unwrap();
    assert_eq!(
        broker.log.last(&session).await.unwrap().unwrap().sequence,
        last
    );
    let job = job(&session);
    broker
        .queue
        .submit(&session, &job, Admission::IfEmpty)
        .await
        .unwrap();
    let again = broker
        .queue
        .submit(&session, &job, Admission::IfEmpty)
        .await;
    assert_eq!(again, Ok(Submitted::Duplicate));
    timeout(LONG, broker.queue.next())
        .await
        .unwrap()
        .unwrap()
        .lease
        .acknowledge()
        .await
        .unwrap();
}
