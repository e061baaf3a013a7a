//! Readers that take nothing: let go after a while, resumably, and nobody else
//! notices.

use std::time::Duration;

use bytes::Bytes;
use gateway::Config;
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::harness::{Edge, PATIENCE};

const SOON: Duration = Duration::from_millis(400);

/// A client of HTTP/2 that opens windows only by hand.
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn new(edge: &Edge, window: u32) -> Self {
        let stream = TcpStream::connect(edge.address).await.unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 20);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "ends with its client")]
        let connection = tokio::spawn(connection);
        Self { requests, connection }
    }

    async fn get(&mut self, edge: &Edge, path: &str) -> RecvStream {
        let uri = format!("http://{}{path}", edge.address);
        let request = Request::get(uri).body(()).unwrap();
        let mut ready = self.requests.clone().ready().await.unwrap();
        let (response, _) = ready.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }
}

/// Reads until `mark` has come, taking everything.
async fn read_until(body: &mut RecvStream, mark: &str) -> String {
    let mut text = String::new();
    while !text.contains(mark) {
        let chunk = timeout(PATIENCE, body.data()).await.expect("something comes");
        let chunk = chunk.expect("the stream goes on").unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    text
}

const EVENTS: &str = "/v1/sessions/s/events?userId=u&after=start";

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_reset_and_its_neighbours_go_on() {
    let edge = Edge::with(Config { write_timeout: SOON, ..Config::default() }).await;
    let mut client = Client::new(&edge, 1000).await;
    let mut stalled = client.get(&edge, EVENTS).await;
    let mut brisk = client.get(&edge, EVENTS).await;
    edge.accepted("Why?").await;
    let mut work = edge.work().await;
    for _ in 0..20 {
        work.text(&"x".repeat(500)).await;
    }
    let began = Instant::now();
    let ended = async {
        loop {
            // Takes what comes, and opens the window for nothing more.
            match stalled.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("a reader that was let go must not see an end"),
            }
        }
    };
    let (error, text) = tokio::join!(timeout(PATIENCE, ended), async {
        let first = read_until(&mut brisk, "x\"}\n\n").await;
        first + &read_until(&mut brisk, "\"index\":20").await
    });
    let error = error.expect("the stalled stream is reset");
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL), "{error}");
    assert!(began.elapsed() >= SOON / 2);
    assert_eq!(text.matches("event: text").count(), 20);
    work.complete().await;
    read_until(&mut brisk, "event: completed").await;
    assert!(!client.connection.is_finished());
}

#[tokio::test]
async fn a_client_without_any_window_is_let_go_whatever_it_asked() {
    let edge = Edge::with(Config { write_timeout: SOON, ..Config::default() }).await;
    let mut client = Client::new(&edge, 0).await;
    for path in ["/healthz", "/page/0/app.js", EVENTS] {
        let mut body = client.get(&edge, path).await;
        let ended = timeout(PATIENCE, body.data()).await.expect("it is reset");
        assert_eq!(ended.unwrap().unwrap_err().reason(), Some(h2::Reason::CANCEL), "{path}");
    }
}

#[tokio::test]
async fn a_quiet_stream_and_a_slow_reader_stay() {
    let (write_timeout, keep_alive) = (SOON * 3, SOON / 8);
    let edge = Edge::with(Config { write_timeout, keep_alive, ..Config::default() }).await;
    let mut client = Client::new(&edge, 40).await;
    let mut quiet = client.get(&edge, EVENTS).await;
    // Its window holds a few comments at a time, and it reads one after another.
    let began = Instant::now();
    while began.elapsed() < write_timeout * 2 {
        read_until(&mut quiet, ":\n\n").await;
    }
    edge.accepted("Why?").await;
    edge.work().await.text("Because").await;
    read_until(&mut quiet, "Because").await;
}

#[tokio::test]
async fn a_connection_of_http2_without_a_stream_is_closed_and_one_with_a_stream_stays() {
    let edge = Edge::with(Config { idle_timeout: SOON, ..Config::default() }).await;
    let mut asking = Client::new(&edge, 1 << 16).await;
    let mut events = asking.get(&edge, EVENTS).await;
    read_until(&mut events, "retry").await;
    let mut idle = Client::new(&edge, 1 << 16).await;
    let began = Instant::now();
    drop(idle.get(&edge, "/healthz").await);
    timeout(PATIENCE, idle.connection).await.expect("it is closed").unwrap().expect("cleanly");
    assert!(began.elapsed() >= SOON);
    edge.accepted("Why?").await;
    edge.work().await.text("Because").await;
    read_until(&mut events, "Because").await;
}

#[tokio::test]
async fn a_drained_connection_of_http2_ends_by_itself() {
    let edge = Edge::start().await;
    let mut client = Client::new(&edge, 1 << 16).await;
    let mut session = client.get(&edge, EVENTS).await;
    read_until(&mut session, "retry").await;
    edge.life.drain();
    while let Some(rest) = timeout(PATIENCE, session.data()).await.expect("an end comes") {
        assert_eq!(rest.expect("a clean end"), "");
    }
    drop((session, client.requests));
    timeout(PATIENCE, client.connection).await.unwrap().unwrap().unwrap();
    assert_eq!(edge.life.wait(PATIENCE).await, Ok(process::Outcome::Drained));
}
