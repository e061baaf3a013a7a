//! Below HTTP: limits of the accept loop, and the page's files.

use std::time::Duration;

use gateway::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Edge, PATIENCE, closed, raw};

const SOON: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_peer_that_does_not_finish_its_head_is_closed_and_others_are_served() {
    let config = Config { head_timeout: SOON * 5, ..Config::default() };
    let edge = Edge::with(config).await;
    let mut open = Vec::new();
    for begin in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nHost: loc", "GET / HTTP/1.1\r\n"] {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        open.push(stream);
    }
    let served = edge.get("/healthz").send().await.unwrap();
    assert_eq!(served.status(), 200);
    for stream in &mut open {
        assert_eq!(closed(stream).await, "");
    }
}

#[tokio::test]
async fn a_connection_outlives_its_first_request_but_not_its_idleness() {
    let config = Config { head_timeout: SOON * 3, idle_timeout: SOON * 15, ..Config::default() };
    let edge = Edge::with(config).await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut answer = [0; 15];
    for _ in 0..2 {
        stream.write_all(request).await.unwrap();
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}") {
            rest.push(stream.read_u8().await.unwrap());
        }
        // Longer than a first head may take.
        tokio::time::sleep(SOON * 4).await;
    }
    assert_eq!(closed(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let edge = Edge::with(Config { body_timeout: SOON, ..Config::default() }).await;
    let head = "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let answer = raw(edge.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("urn:weir:problem:body_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_of_two_lengths_is_refused_and_the_connection_closed() {
    let edge = Edge::start().await;
    let head = "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    for lines in [
        format!("{length}{chunked}"),
        format!("{chunked}{length}"),
        format!("{length}{length}"),
        "Content-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: xchunked, chunked\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, chunked\r\n".to_owned(),
        format!("{chunked}{chunked}"),
        "Content-Length: +5\r\n".to_owned(),
    ] {
        let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = raw(edge.address, format!("{head}{lines}\r\n{smuggled}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{lines}{answer}");
    }
}

/// Checks an answer's bytes as [`problem`](crate::harness::problem) does.
fn assert_is_problem(answer: &str, status: u16) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let length = format!("content-length: {}", body.len());
    for line in [&length, "content-type: application/problem+json"] {
        assert!(head.lines().any(|it| it == line), "{line}: {answer}");
    }
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status, "{answer}");
}

#[tokio::test]
async fn heads_past_their_limits_are_refused() {
    let edge = Edge::start().await;
    let close = "Host: localhost\r\nConnection: close\r\n";
    let many: Vec<_> = (0..101)
        .map(|it| {
            format!(
                "X-{it}: y
"
            )
        })
        .collect();
    let many = many.concat();
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\n{close}X: {}\r\n\r\n", "y".repeat(64 * 1024)), 431),
        (format!("GET / HTTP/1.1\r\n{close}{many}\r\n"), 431),
        (format!("GET /{} HTTP/1.1\r\n{close}\r\n", "y".repeat(9000)), 414),
        (format!("GET /{} HTTP/1.1\r\n", "y".repeat(70_000)), 431),
        (format!("GET /healthz HTTP/1.1\r\n{close}\r\n"), 200),
        ("GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.0\r\n\r\n".to_owned(), 200),
        (
            "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_owned(),
            400,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let answer = raw(edge.address, request.as_bytes()).await;
        let start = format!("HTTP/1.{} {status} ", u8::from(!request.contains("HTTP/1.0")));
        assert!(answer.starts_with(&start), "{status}: {answer}");
        if status != 200 {
            assert_is_problem(&answer, status);
        }
    }
}

#[tokio::test]
async fn a_peer_has_no_more_connections_than_it_may() {
    let edge = Edge::with(Config { connections_per_peer: 2, ..Config::default() }).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        open.push(stream);
    }
    let mut third = TcpStream::connect(edge.address).await.unwrap();
    assert_eq!(closed(&mut third).await, "");
}

#[tokio::test]
async fn the_connections_of_a_trusted_proxy_are_not_those_of_one_peer() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let edge = Edge::with(Config { connections_per_peer: 1, proxies, ..Config::default() }).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
        open.push(stream);
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_let_go() {
    let config = Config {
        // Long enough for a reader that does read, on a busy machine.
        write_timeout: 10 * SOON,
        ..Config::default()
    };
    let edge = Edge::with(config).await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    let head = "GET /v1/sessions/s/events?userId=u&after=start HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    let long = "x".repeat(400 * 1024);
    for _ in 0..30 {
        work.text(&long).await;
    }
    work.complete().await;
    // Others are not held up; what the slow one gets ends before the turn does.
    let whole = edge.events("&after=start").await.until("completed").await;
    assert_eq!(whole.len(), 32);
    let gone = async {
        while stream.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the server lets go");
    let got = closed(&mut stream).await;
    assert!(got.len() < 30 * long.len(), "{}", got.len());
    assert!(!got.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn the_status_says_what_runs_here() {
    let edge = Edge::start().await;
    edge.accepted("Why?").await;
    let status: Value = edge.get("/v1/status").send().await.unwrap().json().await.unwrap();
    assert_eq!(status["broker"]["kind"], json!(edge.broker.profile.kind));
    assert_eq!(status["broker"]["level"], json!(edge.broker.profile.level.name()));
    assert_eq!(status["broker"]["copies"], 1);
    assert!(status["broker"]["synced"].is_string());
    assert_eq!(status["queue"]["depth"], 1);
    assert!(status["version"].is_string());
}
