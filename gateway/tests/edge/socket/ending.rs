//! Sockets end between two entries, with the reason, and go on elsewhere.

use std::time::Duration;

use gateway::Config;
use process::Outcome;
use proto::event;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::Client;
use crate::harness::{Edge, PATIENCE};

#[tokio::test]
async fn a_drain_ends_sockets_where_they_can_go_on_elsewhere() {
    for cut in 0..6 {
        let edge = Edge::start().await;
        let other = edge.another().await;
        let mut client = Client::native(&edge).await;
        client.command(json!({"type": "ask", "input": "Why?", "idempotencyKey": "k"})).await;
        let mut work = edge.work().await;
        let mut had = client.until("started").await.split_off(1);
        let playing = async {
            for n in 0..6_u32 {
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
            loop {
                match client.next().await {
                    Ok(message) => had.push(parse(&message.into_text().unwrap())),
                    Err(code) => return code,
                }
            }
        };
        let ((), code) = tokio::join!(playing, reading);
        assert_eq!(code, CloseCode::Away);
        drop(client);
        let after = had.last().unwrap()["id"].as_str().unwrap().to_owned();
        // Between two entries: each of these makes two events.
        assert!(!after.ends_with(".1"), "{after}");
        let mut client = Client::native(&other).await;
        client.command(json!({"type": "resume", "after": after})).await;
        had.extend(client.until("completed").await.split_off(1));
        let mut client = Client::native(&other).await;
        client.command(json!({"type": "resume", "after": "start"})).await;
        let whole = client.until("completed").await.split_off(1);
        assert_eq!(had, whole, "cut {cut}");
        assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn idle_sockets_and_deaf_ones_do_not_hold_a_drain() {
    let drain_timeout = Duration::from_millis(300);
    let edge = Edge::with(Config { drain_timeout, ..Config::default() }).await;
    let mut idle = Client::plain(&edge).await;
    // Holds its connection and never says that it has heard of the end.
    let deaf = Client::native(&edge).await;
    edge.life.drain();
    assert_eq!(idle.end().await, CloseCode::Away);
    assert_eq!(edge.life.wait(PATIENCE).await, Ok(Outcome::Drained));
    drop(deaf);
}

#[tokio::test]
async fn a_socket_counts_as_a_connection_and_a_stream_until_it_is_closed() {
    for config in [
        Config { streams: 1, ..Config::default() },
        Config { streams_per_user: 1, ..Config::default() },
    ] {
        let edge = Edge::with(config).await;
        let first = Client::plain(&edge).await;
        let (status, _) = super::refused(&edge, "?userId=u", &[]).await;
        assert!([429, 503].contains(&status), "{status}");
        drop(first);
        let opened = async { while Client::open(&edge, "?userId=u", &[]).await.is_err() {} };
        tokio::time::timeout(PATIENCE, opened).await.unwrap();
    }
    let edge = Edge::with(Config { connections_per_peer: 1, ..Config::default() }).await;
    let mut first = Client::plain(&edge).await;
    assert!(Client::open(&edge, "?userId=u", &[]).await.is_err(), "no connection is left");
    first.socket.close(None).await.unwrap();
    drop(first);
    let opened = async { while Client::open(&edge, "?userId=u", &[]).await.is_err() {} };
    tokio::time::timeout(PATIENCE, opened).await.unwrap();
}
