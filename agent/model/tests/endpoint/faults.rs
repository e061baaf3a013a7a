//! Every way in which an endpoint fails has its code, tells no secret, and keeps
//! what was said before.

use std::time::Duration;

use testkit::model::{BodyKind, Ending, FakeModel, Script};

use crate::asking::{answer, heard, question, scripted};
use crate::server::Endpoint;

/// The text and the failure of a script.
async fn failed(script: &Script) -> (String, model::Failure) {
    let fake = FakeModel::start().await.unwrap();
    let said = answer(&scripted(&fake.base_url()), question(&script.question())).await;
    let (text, end) = heard(said);
    let failure = end.unwrap_err();
    assert!(!failure.message.contains("sk-very-secret"), "{failure:?}");
    assert!(!failure.message.contains('<'), "{failure:?}");
    (text, failure)
}

#[tokio::test]
async fn a_refusal_is_told_by_its_status() {
    for (status, body, code, retryable) in [
        (401, BodyKind::Json, "model_auth", false),
        (403, BodyKind::Html, "model_auth", false),
        (404, BodyKind::Json, "model_unknown", false),
        (429, BodyKind::Json, "model_rate_limited", true),
        (500, BodyKind::Html, "model_unavailable", true),
        (503, BodyKind::Json, "model_unavailable", true),
        (400, BodyKind::Json, "model_error", false),
        (302, BodyKind::Html, "model_error", false),
    ] {
        let script = Script { status: Some(status), body, ..Script::default() };
        let (_, failure) = failed(&script).await;
        assert_eq!((failure.code, failure.retryable), (code, retryable), "HTTP {status}");
        assert_eq!(failure.retry_after, None);
    }
}

#[tokio::test]
async fn how_long_to_wait_is_passed_on_where_waiting_helps() {
    let after = |status, seconds| Script {
        status: Some(status),
        retry_after: Some(seconds),
        ..Script::default()
    };
    for (script, want) in [
        (after(429, 7), Some(7)),
        (after(503, 7), Some(7)),
        (after(429, 1_000_000), Some(3600)),
        (after(401, 7), None),
    ] {
        let (_, failure) = failed(&script).await;
        assert_eq!(failure.retry_after, want.map(Duration::from_secs), "{script:?}");
    }
    let headers = "retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n";
    let endpoint = Endpoint::respond("503 Service Unavailable", headers, "").await;
    let (_, end) = heard(answer(&scripted(endpoint.url()), question("?")).await);
    assert_eq!(end.unwrap_err().retry_after, Some(Duration::ZERO), "that date has passed");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_failed_and_keeps_what_was_said() {
    let text = || Some("三四五六七".to_owned());
    let cut =
        |cut_after, cut_bytes| Script { text: text(), cut_after, cut_bytes, ..Script::default() };
    for (script, shown, code) in [
        (cut(Some(3), None), "三四五", "model_cut"),
        (cut(Some(2), Some(1)), "三四", "model_cut"),
        (cut(Some(2), Some(2)), "三四", "model_cut"),
        (Script { text: text(), no_finish: true, ..Script::default() }, "三四五六七", "model_cut"),
        (
            Script { text: text(), error_after: Some(2), ..Script::default() },
            "三四",
            "model_unavailable",
        ),
        (Script { big_line: Some(10 << 20), ..Script::default() }, "", "model_error"),
    ] {
        let (said, failure) = failed(&script).await;
        assert_eq!((said.as_str(), failure.code), (shown, code), "{script:?}");
    }
}

#[tokio::test]
async fn comments_without_end_are_silence_and_hanging_up_is_noticed() {
    let fake = FakeModel::start().await.unwrap();
    let script = Script { text: Some("三".to_owned()), comments: true, ..Script::default() };
    let model = scripted(&fake.base_url());
    let mut said = model.stream(question(&script.question()));
    let first = futures::StreamExt::next(&mut said).await.unwrap().unwrap();
    assert_eq!(first, model::Said::Text("三".to_owned()));
    let more = futures::StreamExt::next(&mut said);
    let silence = tokio::time::timeout(Duration::from_millis(300), more).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(said);
    let call = fake.wait_for_hangup().await.unwrap();
    assert_eq!(call.ending, Ending::HungUp);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_may_come_back() {
    let (_, end) = heard(answer(&scripted("http://127.0.0.1:1/v1"), question("?")).await);
    let failure = end.unwrap_err();
    assert_eq!((failure.code, failure.retryable), ("model_unavailable", true));
}

const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\ndata: ";
const PAGE: &[u8] =
    b"HTTP/1.1 500 Oh No\r\nconnection: close\r\ncontent-type: text/html\r\n\r\n<html>";
const COMPLETION: &[u8] =
    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n{\"choices\":\"";

#[tokio::test]
async fn what_has_no_end_is_given_up_before_it_takes_room() {
    for (head, code) in
        [(STREAM, "model_error"), (PAGE, "model_unavailable"), (COMPLETION, "model_error")]
    {
        static LETTERS: [u8; 64 * 1024] = [b'x'; 64 * 1024];
        let endpoint = Endpoint::start(head, Some(&LETTERS)).await;
        let (_, end) = heard(answer(&scripted(endpoint.url()), question("?")).await);
        assert_eq!(end.unwrap_err().code, code);
        // What the connection itself holds comes on top.
        let written = endpoint.seen().written;
        assert!(written < 32 << 20, "{written} bytes were taken of {head:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays() {
    let elsewhere = Endpoint::respond("200 OK", "", "").await;
    let headers = format!("location: {}/v1/chat/completions\r\n", elsewhere.url());
    for status in ["302 Found", "307 Temporary Redirect"] {
        let endpoint = Endpoint::respond(status, &headers, "").await;
        let (_, end) = heard(answer(&scripted(endpoint.url()), question("?")).await);
        assert_eq!(end.unwrap_err().code, "model_error");
    }
    assert_eq!(elsewhere.seen().requests, Vec::<String>::new());
}

#[tokio::test]
async fn a_key_that_the_endpoint_repeats_is_not_told() {
    let body = r#"{"error":{"message":"wrong: sk-very-secret","code":"sk-very-secret"}}"#;
    for status in ["400 Bad Request", "401 Unauthorized", "500 Oh No", "404 Not Found"] {
        let endpoint = Endpoint::respond(status, "", body).await;
        let (_, end) = heard(answer(&scripted(endpoint.url()), question("?")).await);
        let failure = end.unwrap_err();
        assert!(!failure.message.contains("secret"), "{failure:?}");
    }
}
