//! What a running edge counts and measures, and that it does not show it to its
//! clients.

use std::time::Duration;

use gateway::Config;
use gateway::metrics::METRICS;
use process::metrics::{Recorder, install};
use serde_json::json;
use testkit::prometheus::Scrape;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{Edge, Frames, PATIENCE, raw};
use crate::socket::Client;

const TURNS: &str = "/v1/sessions/{session}/turns";
const EVENTS: &str = "/v1/sessions/{session}/events";

fn recorder() -> Recorder {
    install("gateway", &[METRICS])
}

fn scrape(recorder: &Recorder) -> Scrape {
    Scrape::parse(&recorder.text()).unwrap()
}

/// Waits until what is told satisfies `seen`.
async fn told(recorder: &Recorder, what: &str, seen: impl Fn(&Scrape) -> bool) -> Scrape {
    let began = Instant::now();
    loop {
        let scrape = scrape(recorder);
        if seen(&scrape) {
            return scrape;
        }
        assert!(began.elapsed() < PATIENCE, "never {what}: {}", recorder.text());
        tokio::task::yield_now().await;
    }
}

fn is(told: f64, expected: f64) -> bool {
    (told - expected).abs() < f64::EPSILON
}

#[tokio::test]
async fn a_stream_is_counted_to_its_last_byte_and_never_by_a_name_that_a_client_chose() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let body = json!({"userId": "user-marker", "input": "input-marker"});
    let ask = edge.post("/v1/sessions/session-marker/turns?x=query-marker", &body);
    let asking = ask
        .header("accept", "text/event-stream")
        .header("x-request-id", "request-marker")
        .header("user-agent", "agent-marker")
        .send();
    let (response, mut work) = tokio::join!(asking, edge.work());
    let mut frames = Frames::of(response.unwrap());
    let open = told(&recorder, "an open stream", |it| {
        is(it.sum("weir_streams_open", &[("route", TURNS)]), 1.0)
    });
    let open = open.await;
    assert!(is(open.sum("weir_connections_open", &[]), 1.0));
    assert!(is(open.sum("weir_http_requests_open", &[]), 1.0));
    assert!(is(open.sum("weir_questions_total", &[("standing", "new")]), 1.0));
    assert!(!open.has("weir_http_requests_total", &[("route", TURNS)]), "it has not ended");

    work.text("Hello").await;
    work.complete().await;
    let mut bytes = 0;
    while let Some(frame) = frames.next().await.unwrap() {
        bytes += frame.raw.len() + "\n\n".len();
    }
    let ended = [("method", "POST"), ("route", TURNS), ("status", "200"), ("ended", "complete")];
    let done = told(&recorder, "an ended request", |it| {
        is(it.sum("weir_http_requests_total", &ended), 1.0)
    });
    let done = done.await;
    let route = [("route", TURNS)];
    #[expect(clippy::cast_precision_loss, reason = "a few hundred bytes")]
    let bytes = bytes as f64;
    assert!(is(done.sum("weir_http_response_bytes_total", &route), bytes), "{bytes}");
    assert!(is(done.sum("weir_stream_events_total", &route), 3.0));
    assert!(is(done.sum("weir_stream_time_to_first_event_seconds_count", &route), 1.0));
    assert!(is(done.sum("weir_http_time_to_first_byte_seconds_count", &route), 1.0));
    assert!(is(done.sum("weir_http_request_duration_seconds_count", &route), 1.0));
    assert!(is(done.sum("weir_streams_open", &route), 0.0));
    assert!(is(done.sum("weir_http_requests_open", &[]), 0.0));
    assert!(!recorder.text().contains("marker"), "{}", recorder.text());
}

#[tokio::test]
async fn resumes_gaps_and_readers_that_leave_are_counted() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let resume = edge.get("/v1/sessions/s/events?userId=u").header("last-event-id", "zz-1");
    let mut frames = Frames::of(resume.send().await.unwrap());
    frames.until("gap").await;
    let gap = scrape(&recorder);
    assert!(is(gap.sum("weir_stream_resumes_total", &[]), 1.0));
    assert!(is(gap.sum("weir_stream_gaps_total", &[("reason", "other_log")]), 1.0));
    drop(frames);
    let left = [("route", EVENTS), ("status", "200"), ("ended", "left")];
    told(&recorder, "a reader that left", |it| {
        is(it.sum("weir_http_requests_total", &left), 1.0)
            && is(it.sum("weir_streams_open", &[("route", EVENTS)]), 0.0)
    })
    .await;
}

#[tokio::test]
async fn refusals_of_the_guard_and_what_is_nowhere_are_counted_and_made_up_methods_are_one() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let host = edge.address;
    for request in [
        "GET /nowhere/one HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n".to_owned(),
        format!("BREW /nowhere/two HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        format!("STEEP /v1/status HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
    ] {
        raw(edge.address, request.as_bytes()).await;
    }
    let counted = scrape(&recorder);
    let count = |labels: &[(&str, &str)]| counted.sum("weir_http_requests_total", labels);
    assert!(is(count(&[("route", "unmatched"), ("method", "GET"), ("status", "421")]), 1.0));
    assert!(is(count(&[("route", "unmatched"), ("method", "other"), ("status", "404")]), 1.0));
    assert!(is(count(&[("route", "/v1/status"), ("method", "other"), ("status", "405")]), 1.0));
    assert!(is(count(&[]), 3.0));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_counted_when_it_is_let_go() {
    let recorder = recorder();
    let write_timeout = Duration::from_millis(400);
    let edge = Edge::with(Config { write_timeout, ..Config::default() }).await;
    let mut reader = TcpStream::connect(edge.address).await.unwrap();
    let request = format!(
        "GET /v1/sessions/s/events?userId=u&after=start HTTP/1.1\r\nhost: {}\r\n\r\n",
        edge.address
    );
    reader.write_all(request.as_bytes()).await.unwrap();
    edge.accepted("why?").await;
    let mut work = edge.work().await;
    let long = "x".repeat(100_000);
    let slow = async {
        told(&recorder, "a slow reader", |it| is(it.sum("weir_slow_readers_total", &[]), 1.0)).await
    };
    let speak = async {
        loop {
            work.text(&long).await;
        }
    };
    tokio::select! {
        _ = slow => {}
        () = speak => {}
    }
    drop(reader);
}

#[tokio::test]
async fn the_queues_depth_is_what_the_broker_says() {
    let recorder = recorder();
    let edge = Edge::start().await;
    edge.accepted("why?").await;
    gateway::metrics::look(&edge.broker).await;
    assert!(is(scrape(&recorder).sum("weir_queue_depth", &[]), 1.0));
}

#[tokio::test]
async fn a_turn_that_a_drain_cuts_is_told_as_cut() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let asking = edge.ask("why?").header("accept", "text/event-stream").send();
    let (response, work) = tokio::join!(asking, edge.work());
    let frames = Frames::of(response.unwrap());
    edge.life.drain();
    let cut = told(&recorder, "a cut stream", |it| {
        is(it.sum("weir_http_requests_total", &[("route", TURNS), ("ended", "cut")]), 1.0)
    });
    let cut = cut.await;
    assert!(is(cut.sum("weir_stream_cuts_total", &[("reason", "draining")]), 1.0));
    drop((frames, work));
}

#[tokio::test]
async fn the_public_edge_shows_none_of_it() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let response = edge.get("/metrics").send().await.unwrap();
    assert_eq!(response.status(), 404);
    let text = response.text().await.unwrap();
    assert!(!text.contains("weir_http_requests"), "{text}");
    assert!(recorder.text().contains("weir_http_requests_open"));
}

#[tokio::test]
async fn what_a_socket_tells_is_counted_under_its_route() {
    let recorder = recorder();
    let edge = Edge::start().await;
    let mut client = Client::plain(&edge).await;
    client.say("Why?").await;
    let mut work = edge.work().await;
    work.text("Because").await;
    assert_eq!(client.text().await, "Because");
    let chat = [("route", "/chat")];
    told(&recorder, "an event in a socket", |it| {
        is(it.sum("weir_stream_events_total", &chat), 2.0)
            && is(it.sum("weir_streams_open", &chat), 1.0)
    })
    .await;
    let upgraded = [("route", "/chat"), ("status", "101"), ("ended", "complete")];
    assert!(is(scrape(&recorder).sum("weir_http_requests_total", &upgraded), 1.0));
}

#[tokio::test]
async fn every_answer_bears_the_name_of_its_request() {
    let edge = Edge::start().await;
    let given = edge.get("/v1/status").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(given.headers()["x-request-id"], "mine-1");
    for bad in ["two words", &"x".repeat(129)] {
        let made = edge.get("/nowhere").header("x-request-id", bad).send().await.unwrap();
        let name = made.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(name.len(), 36, "{name}");
        let problem: serde_json::Value = made.json().await.unwrap();
        assert_eq!(problem["requestId"], name, "the document tells it, too");
    }
}
