//! The admin address over a real socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::*;
use crate::{Outcome, metrics};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(20);

async fn start(life: &Lifecycle) -> (Admin, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (Admin::serve(listener, metrics::install("test", &[]), life), address)
}

/// Sends bytes and reads until the other side closes.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _refused_before_all_was_sent = stream.write_all(request).await;
    let mut answer = Vec::new();
    let read = timeout(LIMIT, stream.read_to_end(&mut answer)).await;
    let _reset_is_closed_too = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(address: SocketAddr, line: &str) -> String {
    raw(address, format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or(answer)
}

#[tokio::test]
async fn it_answers_three_paths_to_two_methods_and_refuses_the_rest() {
    let life = Lifecycle::new();
    let (admin, address) = start(&life).await;
    admin.ready();
    let metrics = ask(address, "GET /metrics?x=1").await;
    assert_eq!(status(&metrics), "200");
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("\nprocess_open_fds "), "{metrics}");
    for (line, expected) in [
        ("GET /healthz", "200"),
        ("GET /readyz", "200"),
        ("GET /", "404"),
        ("GET /metrics/", "404"),
        ("GET /v1/status", "404"),
        ("POST /metrics", "405"),
        ("DELETE /healthz", "405"),
        ("PURGE /nowhere", "405"),
    ] {
        let answer = ask(address, line).await;
        assert_eq!(status(&answer), expected, "{line}: {answer}");
    }
    let head = ask(address, "HEAD /metrics").await;
    assert_eq!(status(&head), "200");
    assert!(head.ends_with("\r\n\r\n"), "no body: {head}");
    let refused = ask(address, "POST /metrics").await;
    assert!(refused.contains("allow: GET, HEAD"), "{refused}");
}

#[tokio::test]
async fn a_body_is_not_read_and_a_head_without_end_is_refused() {
    let (_admin, address) = start(&Lifecycle::new()).await;
    let promised = b"GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nx";
    assert_eq!(status(&raw(address, promised).await), "200");
    let long = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 * HEAD_BYTES));
    assert_eq!(status(&raw(address, long.as_bytes()).await), "431");
    let many = "x: y\r\n".repeat(HEADERS + 1);
    let many = format!("GET /healthz HTTP/1.1\r\n{many}\r\n");
    assert_eq!(status(&raw(address, many.as_bytes()).await), "431");
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_let_go() {
    let (_admin, address) = start(&Lifecycle::new()).await;
    let began = Instant::now();
    assert_eq!(raw(address, b"GET /heal").await.replace("\r\n", ""), "");
    assert!(began.elapsed() >= HEAD_TIMEOUT);
}

#[tokio::test]
async fn connections_past_the_bound_wait_until_one_ends() {
    let (_admin, address) = start(&Lifecycle::new()).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let mut waiting = Box::pin(ask(address, "GET /healthz"));
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "there is no room");
    idle.pop();
    assert_eq!(status(&timeout(LIMIT, waiting).await.unwrap()), "200");
}

#[tokio::test]
async fn readiness_tells_every_reason_and_liveness_none() {
    let life = Lifecycle::new();
    let (admin, address) = start(&life).await;
    let starting = ask(address, "GET /readyz").await;
    assert!(status(&starting) == "503" && starting.ends_with("\r\n\r\nstarting\n"), "{starting}");

    let away = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&away);
    admin.check("broker", move || {
        let away = shared.load(Ordering::Relaxed);
        async move { if away { Err("not\nreached".to_owned()) } else { Ok(()) } }
    });
    admin.ready();
    let unready = ask(address, "GET /readyz").await;
    assert!(status(&unready) == "503" && unready.ends_with("broker: not reached\n"), "{unready}");
    assert_eq!(status(&ask(address, "GET /healthz").await), "200");

    away.store(false, Ordering::Relaxed);
    assert_eq!(status(&ask(address, "GET /readyz").await), "200");

    admin.check("model", std::future::pending);
    let hanging = ask(address, "GET /readyz").await;
    assert!(hanging.ends_with("model: no answer in time\n"), "{hanging}");
}

#[tokio::test]
async fn it_says_draining_until_the_last_task_has_ended_and_holds_nothing_up() {
    let life = Lifecycle::new();
    let (admin, address) = start(&life).await;
    admin.ready();
    let (done, wait) = tokio::sync::oneshot::channel::<()>();
    life.behind().spawn(async move { drop(wait.await) });
    let mut waiting = Box::pin(life.wait(LIMIT));
    let _idle = TcpStream::connect(address).await.unwrap();
    life.drain();
    let asking = async {
        let unready = ask(address, "GET /readyz").await;
        assert!(status(&unready) == "503" && unready.ends_with("draining\n"), "{unready}");
        assert_eq!(status(&ask(address, "GET /metrics").await), "200");
    };
    tokio::select! {
        ended = &mut waiting => panic!("it did not wait: {ended:?}"),
        () = asking => {}
    }
    done.send(()).unwrap();
    assert_eq!(timeout(LIMIT, waiting).await.unwrap(), Ok(Outcome::Drained));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_is_sampled_is_looked_at_before_each_answer() {
    static SEEN: metrics::Gauge = metrics::Gauge::new("test_sampled", [], "looks");
    let (admin, address) = start(&Lifecycle::new()).await;
    let looks = Arc::new(std::sync::atomic::AtomicU64::new(0));
    admin.sample(move || {
        let looks = looks.fetch_add(1, Ordering::Relaxed) + 1;
        async move { SEEN.set(looks, []) }
    });
    for expected in ["test_sampled 1", "test_sampled 2"] {
        let metrics = ask(address, "GET /metrics").await;
        assert!(metrics.lines().any(|it| it == expected), "{metrics}");
    }
}
