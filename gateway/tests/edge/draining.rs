//! A gateway that is told to stop: nothing is dressed up as an end, and whoever
//! was cut goes on elsewhere.

use std::time::Duration;

use gateway::Config;
use process::Outcome;
use proto::event;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Edge, Frame, Frames, PATIENCE, closed, frames, problem};

#[tokio::test]
async fn a_turn_that_is_cut_by_a_drain_goes_on_elsewhere_without_loss() {
    for cut in 0..12 {
        let edge = Edge::start().await;
        let other = edge.another().await;
        let ask = |edge: &Edge| {
            let request = edge.ask("Why?").header("idempotency-key", "k");
            request.header("accept", "text/event-stream")
        };
        let mut reader = Frames::of(ask(&edge).send().await.unwrap());
        let mut work = edge.work().await;
        let playing = async {
            for n in 0..12_u32 {
                if n == cut {
                    edge.life.drain();
                }
                let citation = proto::Citation { number: n + 1, ..Default::default() };
                let text = event::Kind::Text(format!("t{n} "));
                work.say(vec![text, event::Kind::Citation(citation)]).await;
            }
            work.complete().await;
        };
        let reading = async {
            let mut had: Vec<Frame> = Vec::new();
            while let Ok(frame) = reader.next().await {
                had.push(frame.expect("a drained turn must not look ended"));
            }
            had
        };
        let ((), had) = tokio::join!(playing, reading);
        let last = had.iter().rev().find_map(|it| it.id.clone());
        // Between two entries: each of these makes two frames.
        assert!(last.as_ref().is_none_or(|it| !it.ends_with(".1")), "{last:?}");
        let request = last.iter().fold(ask(&other), |it, id| it.header("last-event-id", id));
        let rest = frames(&request.send().await.unwrap().text().await.unwrap());
        let whole = frames(&ask(&other).send().await.unwrap().text().await.unwrap());
        let joined: Vec<_> = had.iter().chain(&rest[1..]).map(|it| &it.raw).collect();
        assert_eq!(joined, whole.iter().map(|it| &it.raw).collect::<Vec<_>>(), "cut {cut}");
        assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
    }
}

#[tokio::test]
async fn a_drain_is_no_disconnect() {
    for accept in ["text/event-stream", "application/json"] {
        let disconnect_grace = Duration::ZERO;
        let edge = Edge::with(Config { disconnect_grace, ..Config::default() }).await;
        let body = json!({"userId": "u", "input": "Why?", "onDisconnect": "cancel"});
        let asking = edge.post("/v1/sessions/s/turns", &body).header("accept", accept).send();
        let mut watcher = edge.events("&after=start").await;
        let draining = async {
            edge.work().await.text("Because").await;
            watcher.until("text").await;
            edge.life.drain();
        };
        let (response, ()) = tokio::join!(asking, draining);
        let response = response.unwrap();
        if accept == "application/json" {
            assert_eq!(response.headers()["connection"], "close");
            assert_eq!(response.headers()["retry-after"], "1");
            let refusal = problem(response, 503).await;
            assert_eq!(refusal["type"], "urn:weir:problem:draining");
            assert_eq!(refusal["turnId"], edge.last().await.entry.turn_id);
        } else {
            drop(response);
        }
        assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
        assert!(edge.last().await.entry.state.unwrap().cancels.is_empty(), "{accept}");
    }
}

#[tokio::test]
async fn a_drain_closes_the_door_and_answers_who_is_inside() {
    let edge = Edge::start().await;
    let mut idle = TcpStream::connect(edge.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    idle.write_all(request).await.unwrap();
    idle.read_u8().await.unwrap();
    let mut halves = Vec::new();
    for (path, status) in [("/readyz", 503), ("/healthz", 200), ("/v1/status", 503)] {
        let mut half = TcpStream::connect(edge.address).await.unwrap();
        half.write_all(format!("GET {path} HTTP/1.1\r\nHost: loc").as_bytes()).await.unwrap();
        halves.push((half, path, status));
    }
    // Accepted: a connection is served in the order it came.
    assert_eq!(edge.get("/readyz").send().await.unwrap().status(), 200);
    edge.life.drain();
    closed(&mut idle).await;
    for (half, path, status) in &mut halves {
        half.write_all(b"alhost\r\n\r\n").await.unwrap();
        let answer = closed(half).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{path}: {answer}");
        assert_eq!(answer.contains("retry-after: 1\r\n"), *status == 503, "{path}: {answer}");
    }
    assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
    let refused = TcpStream::connect(edge.address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_peer_that_takes_nothing_does_not_hold_the_drain() {
    let drain_timeout = Duration::from_millis(200);
    let edge = Edge::with(Config { drain_timeout, ..Config::default() }).await;
    let mut stalled = TcpStream::connect(edge.address).await.unwrap();
    let head = "GET /v1/sessions/s/events?userId=u&after=start HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stalled.write_all(head.as_bytes()).await.unwrap();
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    let mut brisk = edge.events("&after=start").await;
    let long = "x".repeat(400 * 1024);
    for _ in 0..20 {
        work.text(&long).await;
        brisk.until("text").await;
    }
    edge.life.drain();
    assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
}
