//! Requests one after another on a connection that a proxy shares between
//! users: what one says costs the next nothing.

use std::time::Duration;

use gateway::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Edge, PATIENCE};

const POST: &str = "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
const GOOD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
const TWICE: &str = "\ncontent-length:1\ncontent-length:1\n";

/// Reads until something has come, a whole answer with a length after it.
async fn answer(stream: &mut TcpStream, mark: &str) -> String {
    let mut text = String::new();
    let read = timeout(PATIENCE, async {
        while !text.contains(mark) || !has_whole_body(&text) {
            text.push(char::from(stream.read_u8().await.expect("the connection stays")));
        }
    });
    read.await.expect("an answer comes");
    text
}

fn has_whole_body(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |it| it.parse().unwrap())
}

#[tokio::test]
async fn no_body_makes_the_next_request_a_bad_one() {
    let edge = Edge::start().await;
    let length = TWICE.len();
    let trailers = "content-length: 1\r\ncontent-length: 1\r\n";
    for (head, body) in [
        (format!("Content-Length: {length}\r\n"), TWICE.to_owned()),
        (
            "Transfer-Encoding: chunked\r\n".to_owned(),
            format!("{length:x}\r\n{TWICE}\r\n0\r\n{trailers}\r\n"),
        ),
    ] {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        let head = format!("{POST}{head}Expect: 100-continue\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // The request is being served, and its body has not come.
        let proceed = answer(&mut stream, "\r\n\r\n").await;
        assert!(proceed.starts_with("HTTP/1.1 100 "), "{proceed}");
        stream.write_all(body.as_bytes()).await.unwrap();
        let refused = answer(&mut stream, "not JSON").await;
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
        stream.write_all(GOOD).await.unwrap();
        let served = answer(&mut stream, "\r\n\r\n").await;
        assert!(served.starts_with("HTTP/1.1 200 "), "{served}");
    }
}

#[tokio::test]
async fn a_request_before_an_ambiguous_one_is_served() {
    let edge = Edge::start().await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    let ambiguous = format!("{POST}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx");
    stream.write_all(&[GOOD, ambiguous.as_bytes(), GOOD].concat()).await.unwrap();
    let answers = crate::harness::closed(&mut stream).await;
    assert!(answers.starts_with("HTTP/1.1 200 "), "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), 1, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{answers}");
}

#[tokio::test]
async fn one_body_in_chunks_is_read() {
    let edge = Edge::start().await;
    let mut stream = TcpStream::connect(edge.address).await.unwrap();
    let request = format!("{POST}Transfer-Encoding: Chunked\r\n\r\n4\r\nnone\r\n0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(&mut stream, "not JSON").await;
}

#[tokio::test]
async fn bodies_have_room_together_and_give_it_back() {
    let bodies_bytes = 4 * 1024;
    let edge = Edge::with(Config { bodies_bytes, ..Config::default() }).await;
    let post = async || {
        let sent = edge.post("/v1/sessions/s/cancel", &serde_json::json!({})).send().await;
        let answer = sent.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let until = async |status: u16| {
        let asked = timeout(PATIENCE, async {
            loop {
                let (got, text) = post().await;
                if got == status {
                    return text;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        asked.await.unwrap_or_else(|_late| panic!("no {status}"))
    };
    let mut announced = TcpStream::connect(edge.address).await.unwrap();
    let head = format!("{POST}Content-Length: 10000\r\nExpect: 100-continue\r\n\r\n");
    announced.write_all(head.as_bytes()).await.unwrap();
    answer(&mut announced, "100 Continue").await;
    // What is only announced takes no room.
    assert_eq!(post().await.0, 400);
    announced.write_all(b"x").await.unwrap();
    assert!(until(503).await.contains("urn:weir:problem:busy"));
    drop(announced);
    until(400).await;
}
