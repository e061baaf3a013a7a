//! What no honest client sends, and peers that stand still.

use std::time::Duration;

use futures::StreamExt as _;
use gateway::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{Client, NATIVE, refused};
use crate::harness::{Edge, PATIENCE};

/// A socket whose frames are made by hand.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn open(edge: &Edge) -> Self {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        let head = format!(
            "GET /chat?userId=u&sessionId=s HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\n\
             Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            edge.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert!(
            answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{answer}"
        );
        Self { stream }
    }

    /// The bytes of a frame under the mask 0.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..65_536 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    /// Sends bytes for as long as the server takes them; what it closes with.
    async fn ends(mut self, bytes: Vec<u8>) -> Option<u16> {
        let (mut read, mut write) = self.stream.split();
        let sending = async {
            let _the_server_may_be_done = write.write_all(&bytes).await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let _reset_is_an_end_too = read.read_to_end(&mut answer).await;
            code(&answer)
        };
        let (code, ()) =
            timeout(2 * PATIENCE, async { tokio::join!(reading, sending) }).await.unwrap();
        code
    }
}

/// The code of the close frame among small frames of a server.
fn code(mut bytes: &[u8]) -> Option<u16> {
    while let [first, length, rest @ ..] = bytes {
        let payload = rest.get(..usize::from(*length))?;
        if *first == 0x88 {
            return Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]));
        }
        bytes = &rest[payload.len()..];
    }
    None
}

#[tokio::test]
async fn only_a_request_for_a_websocket_becomes_one() {
    let edge = Edge::start().await;
    let response = edge.get("/chat?userId=u").send().await.unwrap();
    assert_eq!(response.headers()["upgrade"], "websocket");
    let problem = crate::harness::problem(response, 426).await;
    assert_eq!(problem["type"], "urn:weir:problem:upgrade_required");
    let head = |lines: &str| {
        format!(
            "GET /chat?userId=u HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n{lines}\r\n"
        )
    };
    for (lines, status) in [
        ("Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "426"),
        ("Sec-WebSocket-Version: 13\r\n", "400"),
        ("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", "400"),
    ] {
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(head(lines).as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(std::str::from_utf8(&answer).unwrap(), format!("HTTP/1.1 {status}"), "{lines}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_before_the_upgrade() {
    let edge = Edge::start().await;
    let own = format!("http://{}", edge.address);
    for headers in [
        [("origin", "http://evil.example"), ("sec-websocket-protocol", NATIVE)],
        [("origin", "null"), ("sec-websocket-protocol", NATIVE)],
        [("origin", own.as_str()), ("sec-fetch-site", "cross-site")],
    ] {
        let (status, body) = refused(&edge, "?userId=u", &headers).await;
        assert!(status == 403 && body.contains("cross_site"), "{headers:?}: {body}");
    }
    let mut client = Client::open(&edge, "?userId=u", &[("origin", &own)]).await.unwrap();
    client.say("Why?").await;
    edge.work().await.text("Because").await;
    client.whole("Because").await;
}

#[tokio::test]
async fn an_unknown_subprotocol_is_not_chosen() {
    let edge = Edge::start().await;
    let offers = |offers| [("sec-websocket-protocol", offers)];
    let mut client = Client::open(&edge, "?userId=u", &offers("x, weir.v1.json")).await.unwrap();
    assert_eq!(client.event().await["event"], "session");
    // This client takes the missing choice for an error, as it should.
    let error = Client::open(&edge, "?userId=u", &offers("x")).await.err().unwrap();
    assert!(error.to_string().to_lowercase().contains("protocol"), "{error}");
}

#[tokio::test]
async fn frames_that_break_a_rule_end_the_socket_with_its_code() {
    let edge = Edge::start().await;
    let masked = Raw::frame(0x81, b"Why?");
    let mut unmasked = vec![0x81, 4];
    unmasked.extend(b"Why?");
    for (name, bytes, code) in [
        ("unmasked", unmasked, 1002),
        ("reserved bits", Raw::frame(0xf1, b"x"), 1002),
        ("reserved kind", Raw::frame(0x83, b"x"), 1002),
        ("continuation of nothing", Raw::frame(0x80, b"x"), 1002),
        ("long ping", Raw::frame(0x89, &[0; 126]), 1002),
        ("binary", Raw::frame(0x82, b"x"), 1003),
        ("not UTF-8", Raw::frame(0x81, &[0xff, 0xfe]), 1007),
        ("a frame too large", Raw::frame(0x81, &vec![b'x'; 256 * 1024 + 1]), 1009),
        ("a message too large", large(), 1009),
        ("pings without end", Raw::frame(0x89, b"x").repeat(1_000), 1008),
        ("fragments without end", fragments(100_000), 1008),
        ("questions without end", masked.repeat(1_000), 1008),
    ] {
        let raw = Raw::open(&edge).await;
        assert_eq!(raw.ends(bytes).await, Some(code), "{name}");
    }
}

/// A message that is too large only as a whole.
fn large() -> Vec<u8> {
    let mut bytes = Raw::frame(0x01, &vec![b'x'; 200 * 1024]);
    bytes.extend(Raw::frame(0x80, &vec![b'x'; 200 * 1024]));
    bytes
}

fn fragments(count: usize) -> Vec<u8> {
    let mut bytes = Raw::frame(0x01, b"x");
    bytes.extend(Raw::frame(0x00, b"x").repeat(count));
    bytes
}

#[tokio::test]
async fn a_message_of_65_megabytes_is_refused_with_a_reason_that_arrives() {
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.send(Message::text("x".repeat(65_000_000))).await;
    assert_eq!(client.end().await, CloseCode::Size);
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn the_largest_message_is_taken_in_one_piece_or_in_many() {
    let edge = Edge::start().await;
    for pieces in [1, 64] {
        let mut raw = Raw::open(&edge).await;
        let question = vec![b'x'; 256 * 1024];
        let mut bytes = Vec::new();
        for (n, piece) in question.chunks(question.len() / pieces).enumerate() {
            let first = u8::from(n == 0);
            let last = if n + 1 == pieces { 0x80 } else { 0x00 };
            bytes.extend(Raw::frame(first | last, piece));
        }
        raw.stream.write_all(&bytes).await.unwrap();
        let mut work = edge.work().await;
        assert_eq!(work.delivery.job.messages[0].content.len(), question.len());
        work.complete().await;
        work.settle().await;
    }
}

#[tokio::test]
async fn a_message_that_never_ends_is_ended() {
    let body_timeout = Duration::from_millis(200);
    let edge = Edge::with(Config { body_timeout, ..Config::default() }).await;
    for half in [Raw::frame(0x81, b"Why?")[..8].to_vec(), Raw::frame(0x01, b"Why?")] {
        assert_eq!(Raw::open(&edge).await.ends(half).await, Some(1008));
    }
}

#[tokio::test]
async fn a_peer_that_never_pongs_is_let_go_and_one_that_does_is_not() {
    let socket_ping = Duration::from_millis(200);
    let edge = Edge::with(Config { socket_ping, ..Config::default() }).await;
    let mut lively = Client::plain(&edge).await;
    let began = Instant::now();
    let silent = Raw::open(&edge).await.ends(Vec::new());
    tokio::pin!(silent);
    let code = loop {
        tokio::select! {
            code = &mut silent => break code,
            // Answers pings on the way.
            ping = lively.socket.next() => assert!(ping.unwrap().unwrap().is_ping()),
        }
    };
    assert_eq!(code, Some(1008));
    assert!(began.elapsed() >= 3 * socket_ping);
    lively.say("Why?").await;
    edge.work().await.text("Because").await;
    lively.whole("Because").await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut_and_holds_little() {
    let write_timeout = Duration::from_millis(500);
    let edge = Edge::with(Config { write_timeout, streams: 1, ..Config::default() }).await;
    let mut raw = Raw::open(&edge).await;
    raw.stream.write_all(&Raw::frame(0x81, b"Why?")).await.unwrap();
    let mut work = edge.work().await;
    let long = "x".repeat(400 * 1024);
    for _ in 0..40 {
        work.text(&long).await;
    }
    // Its room is free again once it is cut.
    let cut = async { while Client::open(&edge, "?userId=u", &[]).await.is_err() {} };
    timeout(PATIENCE, cut).await.unwrap();
    let mut got = Vec::new();
    let _reset = timeout(PATIENCE, raw.stream.read_to_end(&mut got)).await.unwrap();
    assert!(got.len() < 12 * 1024 * 1024, "{} bytes waited", got.len());
}

#[tokio::test]
async fn an_idle_socket_costs_little() {
    const SOCKETS: usize = 400;
    let edge = Edge::with(Config { streams_per_user: SOCKETS + 10, ..Config::default() }).await;
    // What the first one costs is the process's own.
    let mut sockets = vec![Raw::open(&edge).await];
    let memory = || testkit::cost::of(std::process::id()).unwrap().memory;
    let before = memory();
    for _ in 0..SOCKETS {
        sockets.push(Raw::open(&edge).await);
    }
    // In KiB, the client's end of it included.
    let each = (memory() - before) / SOCKETS as u64;
    assert!(each < 40, "{each} KiB");
}
