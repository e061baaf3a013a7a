//! What no honest client of `/agent/*` sends.

use serde_json::{Value, json};

use super::{body, refused, resume};
use crate::harness::Edge;

#[tokio::test]
async fn what_no_honest_client_sends_is_refused_in_the_familys_words() {
    let edge = Edge::start().await;
    let long = "x".repeat(300);
    for (field, value) in [
        ("user_id", json!(7)),
        ("user_id", json!("")),
        ("user_id", json!("a\nb")),
        ("user_id", json!(long)),
        ("session_id", json!({})),
        ("session_id", json!("")),
        ("session_id", json!(long)),
        ("session_id", Value::Null),
        ("query", json!([])),
        ("query", json!(" ")),
        ("query", json!("x".repeat(300_000))),
        ("system_message", json!(1)),
        ("system_message", json!("x".repeat(70_000))),
        ("response_type", json!("yes")),
        ("response_type", Value::Null),
        ("response_type", json!("Accept")),
    ] {
        let decides = field == "response_type";
        let family = if decides { "/agent/resume" } else { "/agent/invoke" };
        for route in [family.to_owned(), format!("{family}/stream")] {
            let mut sent = if decides { resume("accept", &Value::Null) } else { body("x") };
            sent[field] = value.clone();
            let says = refused(edge.post(&route, &sent).send().await.unwrap(), 400).await;
            let named = if field == "query" && says.starts_with("input") { "input" } else { field };
            assert!(says.starts_with(named), "{route} {field}: {says}");
            let Some(sent) = sent.as_object_mut() else { unreachable!() };
            if sent.remove(field).is_some() && field != "system_message" {
                let refusal = edge.post(&route, &json!(sent)).send().await.unwrap();
                assert!(refused(refusal, 400).await.contains(field), "{route} without {field}");
            }
        }
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn paths_and_requests_that_are_none_of_the_family_are_refused_in_its_words() {
    let edge = Edge::start().await;
    let long = "x".repeat(300);
    for path in [
        format!("/agent/status/u/{long}"),
        format!("/agent/status/{long}/s"),
        "/agent/status/u/%ff".to_owned(),
        "/agent/status/u/a%0ab".to_owned(),
        format!("/agent/sessionids/{long}"),
        "/agent/active/sessionid/%0a".to_owned(),
    ] {
        refused(edge.get(&path).send().await.unwrap(), 400).await;
    }
    refused(edge.get("/agent/nothing").send().await.unwrap(), 404).await;
    refused(edge.get("/agent/invoke").send().await.unwrap(), 405).await;
    let url = format!("http://{}/agent/invoke", edge.address);
    refused(edge.http.post(&url).body("{}").send().await.unwrap(), 415).await;
    let foreign = edge.post("/agent/invoke", &body("x")).header("origin", "http://evil.example");
    refused(foreign.send().await.unwrap(), 403).await;
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}
