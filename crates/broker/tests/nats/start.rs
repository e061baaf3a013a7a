//! What is refused at start, and what is put right.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as Stream, RetentionPolicy, StorageType};
use broker::nats::open;
use broker::{Admission, Error};
use testkit::nats::Server;
use tokio::time::Instant;

use crate::world::{config, job, refusal, session};

/// Streams as somebody else might have made them, and what is said of them.
fn unfit() -> Vec<(Stream, &'static str)> {
    let stream = |name: &str, subject: &str| Stream {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        ..Stream::default()
    };
    let (jobs, log) = (stream("JOBS", "jobs.*.*"), stream("LOG", "log.*.*"));
    let queue = Stream { retention: RetentionPolicy::WorkQueue, ..jobs.clone() };
    let memory = Stream { storage: StorageType::Memory, ..jobs.clone() };
    let direct = Stream { allow_direct: true, ..log.clone() };
    let bucket = stream("KV_weir_sessions", "$KV.weir_sessions.>");
    let bucket = Stream { max_age: Duration::from_hours(1), ..bucket };
    vec![
        (jobs, r#"stream JOBS: retention is "limits", but must be "workqueue""#),
        (queue, r#"stream JOBS: discard is "old", but must be "new""#),
        (memory, r#"stream JOBS: storage is "memory", but must be "file""#),
        (
            stream("JOBS", "jobs.>"),
            r#"stream JOBS: subjects is ["jobs.>"], but must be ["jobs.*.*"]"#,
        ),
        (log, "stream LOG: allow_direct is false, but must be true"),
        (direct, "stream LOG: republish is not set, but must be"),
        (bucket, "stream KV_weir_sessions: max_age is 3600000000000, but must be 0"),
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
    changed.limits.queue_depth = 30;
    changed.limits.lease = Duration::from_secs(7);
    changed.limits.retention = Duration::from_hours(100);
    open(changed).await.unwrap();
    let raw = async_nats::connect(server.url()).await.unwrap();
    let streams = async_nats::jetstream::new(raw);
    let jobs = streams.get_stream("JOBS").await.unwrap();
    assert_eq!(jobs.cached_info().config.max_messages_per_subject, 30);
    let workers = jobs.consumer_info("workers").await.unwrap();
    assert_eq!(workers.config.ack_wait, Duration::from_secs(7));
    let log = streams.get_stream("LOG").await.unwrap();
    assert_eq!(log.cached_info().config.max_age, Duration::from_hours(100));
}

#[tokio::test]
async fn several_processes_may_start_at_once_on_an_empty_server() {
    let server = Server::start().await.unwrap();
    let mut deeper = config(&server.url());
    deeper.limits.queue_depth = 9;
    let url = server.url();
    let all =
        tokio::join!(open(config(&url)), open(deeper.clone()), open(config(&url)), open(deeper));
    let epochs = [all.0, all.1, all.2, all.3].map(|it| it.unwrap().log.epoch());
    assert!(epochs.iter().all(|it| *it == epochs[0]), "{epochs:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_in_one_line_at_once() {
    let started = Instant::now();
    let error = open(config("nats://me:secret@127.0.0.1:1")).await.unwrap_err();
    let Error::Unavailable(why) = error else { panic!("{error:?}") };
    assert!(why.starts_with("cannot connect to NATS at 127.0.0.1:1: "), "{why}");
    assert!(!why.contains('\n') && !why.contains("secret"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_server_that_asks_for_a_login_takes_the_one_in_the_url() {
    let server = Server::start_with("authorization { user: me, password: secret }").await.unwrap();
    let why = refusal(config(&server.url())).await;
    assert!(why.contains("authorization"), "{why}");
    let with_login = server.url().replace("//", "//me:secret@");
    let broker = open(config(&with_login)).await.unwrap();
    assert!(!broker.profile.place.contains("secret"));
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
        client.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
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
    assert_eq!(why, "nats-server is version 2.10.29, but must be at least 2.14.5");
}

#[tokio::test]
async fn a_smaller_depth_takes_no_accepted_job_away() {
    let server = Server::start().await.unwrap();
    let queue = open(config(&server.url())).await.unwrap().queue;
    let session = session("s");
    for _ in 0..5 {
        queue.submit(&session, &job(&session), Admission::Enqueue).await.unwrap();
    }
    let mut smaller = config(&server.url());
    smaller.limits.queue_depth = 2;
    let queue = open(smaller).await.unwrap().queue;
    assert_eq!(queue.pending(&session).await.unwrap().len(), 5);
    let sixth = queue.submit(&session, &job(&session), Admission::Enqueue).await;
    assert!(matches!(sixth, Err(Error::Full(_))), "{sixth:?}");
}
