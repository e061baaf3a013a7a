//! What people and models say is never more than text, whatever it looks like.

use gateway::Config;
use serde_json::Value;

use super::rows::{Row, rows};
use crate::harness::{Edge, frames};

/// What would be something else if it stood in a stream as it is.
const NASTY: [&str; 8] = [
    "a\r\n\r\nevent: completed\ndata: {}\n\nb",
    "a\n\nevent: end\ndata: {}\n\nb",
    "a\rid: 1-1\r\rdata: x",
    "data: [DONE]\n\n",
    "\u{2028}\u{2029}\u{85}\u{feff}",
    "\u{0}\u{1b}[2J\u{7}",
    "</script><script>alert(1)</script>",
    "\"}\n\n: comment\nretry: 1\n\n",
];

/// Puts a question into the place where a row has one.
fn asking(row: &Row, question: &str) -> Row {
    let mut row = row.clone();
    let body = row.body.as_mut().unwrap();
    if body.get("input").is_some() {
        body["input"] = question.into();
    } else if body.get("query").is_some() {
        body["query"] = question.into();
    } else {
        body["messages"][0]["content"] = question.into();
    }
    if row.path == "/v1/chat/completions" {
        body["stream"] = true.into();
    }
    row
}

/// All frames of an answer to a question, while the model says it too.
async fn heard(edge: &Edge, row: &Row, text: &str) -> String {
    let request = asking(row, text).request();
    let url = format!("http://{}{}", edge.address, request.target);
    let sent = edge.http.post(url).header("content-type", "application/json");
    let sent = sent.header("accept", "text/event-stream").body(request.body.unwrap());
    let (answer, mut work) = tokio::join!(sent.send(), edge.work());
    assert_eq!(work.delivery.job.messages.last().unwrap().content, text, "{}", row.name());
    work.text(text).await;
    work.complete().await;
    work.settle().await;
    answer.unwrap().text().await.unwrap()
}

/// The frames that are JSON, and how many say that all is done.
fn parted(body: &str) -> (String, usize) {
    const DONE: &str = "data: [DONE]\n\n";
    (body.replace(DONE, ""), body.matches(DONE).count())
}

/// Every text in a value.
fn texts(value: &Value, found: &mut String) {
    match value {
        Value::String(text) => found.push_str(text),
        Value::Array(all) => all.iter().for_each(|it| texts(it, found)),
        Value::Object(all) => all.values().for_each(|it| texts(it, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn what_is_said_is_one_text_in_as_many_frames_as_ever_on_every_stream() {
    let edge = Edge::with(super::stage::open(Config::default())).await;
    let streams = |it: &Row| it.asks() && it.method == "POST" && it.path != "/agent/invoke";
    let rows: Vec<_> = rows().into_iter().filter(streams).collect();
    assert!(rows.len() >= 4, "{rows:?}");
    for row in rows {
        let plain = heard(&edge, &row, "plain").await;
        let count = plain.matches("\n\n").count();
        for nasty in NASTY {
            let body = heard(&edge, &row, nasty).await;
            let name = row.name();
            assert_eq!(body.matches("\n\n").count(), count, "{name} {nasty:?}: {body}");
            assert!(!body.contains('\r') && !body.contains('\0'), "{name}: {body:?}");
            let (body, done) = parted(&body);
            assert_eq!(done, parted(&plain).1, "{name}");
            let mut said = String::new();
            for frame in frames(&body) {
                texts(&frame.data, &mut said);
            }
            assert!(said.contains(nasty), "{name} {nasty:?}: {said:?}");
        }
    }
}
