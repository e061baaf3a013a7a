//! What no honest client sends: every route of the document with every input
//! that it could be sent, and what only some routes know.

mod bodies;
mod covered;
mod gateways;
mod heads;
mod ids;
mod known;
mod methods;
mod raw;
mod rows;
mod stage;
mod words;

use reqwest::header;
use serde_json::{Value, json};

use crate::harness::{Edge, problem};

async fn post(edge: &Edge, path: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    let url = format!("http://{}{path}", edge.address);
    let request = edge.http.post(url).header(header::CONTENT_TYPE, "application/json");
    request.body(body).send().await.unwrap()
}

#[tokio::test]
async fn bodies_that_are_no_questions_are_refused_on_every_route() {
    let edge = Edge::start().await;
    let deep = format!("{{\"userId\":{}", "[".repeat(100_000));
    let entries: Vec<_> = (0..50_000).map(|it| format!("\"{it}\":\"\"")).collect();
    let entries = entries.join(",");
    let wide = format!("{{\"userId\":\"u\",\"input\":\"x\",\"metadata\":{{{entries}}}}}");
    let number = format!("{{\"userId\":{}}}", "9".repeat(900_000));
    for path in ["/v1/sessions/s/turns", "/v1/sessions/s/cancel", "/v1/memories", "/chat"] {
        for body in [
            "",
            "x",
            "null",
            "[]",
            "{",
            "\u{feff}{}",
            "{\"userId\":NaN}",
            "{\"userId\":7}",
            "{}",
            &deep,
            &wide,
            &number,
        ] {
            problem(post(&edge, path, body.to_owned()).await, 400).await;
        }
        problem(post(&edge, path, vec![0xff_u8, 0xfe]).await, 400).await;
        let huge = format!("{{\"userId\":\"{}\"}}", "x".repeat(10 * 1024 * 1024));
        problem(post(&edge, path, huge).await, 413).await;
        let url = format!("http://{}{path}", edge.address);
        problem(edge.http.post(url).body("{}").send().await.unwrap(), 415).await;
    }
    assert_eq!(edge.broker.queue.depth().await.unwrap(), 0);
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let edge = Edge::start().await;
    for (body, field) in [
        (json!({"input": "x"}), "userId"),
        (json!({"userId": "", "input": "x"}), "userId"),
        (json!({"userId": "x".repeat(300), "input": "x"}), "userId"),
        (json!({"userId": "a\nb", "input": "x"}), "userId"),
        (json!({"userId": 7, "input": "x"}), "userId"),
        (json!({"userId": "u"}), "input"),
        (json!({"userId": "u", "input": ["x"]}), "input"),
        (json!({"userId": "u", "input": "x", "inptu": "y"}), "inptu"),
        (json!({"userId": "u", "input": "x", "model": "a b"}), "model"),
        (
            json!({"userId": "u", "input": "x", "messages": [{"role": "system", "content": ""}]}),
            "messages[0].role",
        ),
        (
            json!({"userId": "u", "input": "x", "messages": [{"role": "user"}]}),
            "messages[0].content",
        ),
        (json!({"userId": "u", "input": "x", "admission": "force"}), "admission"),
        (json!({"userId": "u", "input": "x", "metadata": {"a": 1}}), "metadata.a"),
    ] {
        let response = edge.post("/v1/sessions/s/turns", &body).send().await.unwrap();
        let refusal = problem(response, 400).await;
        assert_eq!(refusal["violations"][0]["field"], field, "{refusal}");
    }
}

#[tokio::test]
async fn strange_ids_are_fine_and_isolated() {
    let edge = Edge::start().await;
    let ids = [
        "a.b",
        "*",
        ">",
        "a b",
        "$JS.API.>",
        "用户",
        "..",
        "a/b",
        "％2e",
        "'; --",
        &"x".repeat(128),
    ];
    for id in ids {
        let encoded: Vec<_> = id.bytes().map(|it| format!("%{it:02X}")).collect();
        let encoded = encoded.concat();
        let path = format!("/v1/sessions/{encoded}/turns");
        let body = json!({"userId": id, "input": id});
        let request = edge.post(&path, &body).header("prefer", "respond-async");
        let response = request.send().await.unwrap();
        if id == ".." {
            // Clients resolve it away before it is sent.
            problem(response, 404).await;
            continue;
        }
        assert_eq!(response.status(), 202, "{id}");
        let receipt: Value = response.json().await.unwrap();
        assert_eq!(receipt["sessionId"], id);
        let work = edge.work().await;
        assert_eq!(
            (work.delivery.session.user.as_str(), work.delivery.session.id.as_str()),
            (id, id)
        );
        assert_eq!(work.delivery.job.messages[0].content, id);
    }
}

#[tokio::test]
async fn ids_in_the_path_are_checked_after_decoding() {
    let edge = Edge::start().await;
    for bad in ["%0a", "a%00b", "%0d%0aPUB%20x%201", "%ff", &"x".repeat(300), "%7f", "%c2%85"] {
        for path in
            [format!("/v1/sessions/{bad}?userId=u"), format!("/v1/sessions/{bad}/events?userId=u")]
        {
            let refusal = problem(edge.get(&path).send().await.unwrap(), 400).await;
            assert_eq!(refusal["violations"][0]["field"], "sessionId", "{path}");
        }
    }
    for bad in ["", "%0a", &"x".repeat(300)] {
        let path = format!("/v1/sessions/s?userId={bad}");
        let refusal = problem(edge.get(&path).send().await.unwrap(), 400).await;
        assert_eq!(refusal["violations"][0]["field"], "userId");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let edge = Edge::start().await;
    for path in ["/nothing", "/v1", "/page/0/none.js", "/page/..%2fCargo.toml", "/v2/status"] {
        problem(edge.get(path).send().await.unwrap(), 404).await;
    }
    let nameless = edge.post("/v1/sessions//turns", &json!({"userId": "u", "input": "x"}));
    let refusal = problem(nameless.send().await.unwrap(), 400).await;
    assert_eq!(refusal["violations"][0]["field"], "sessionId");
    let response = edge.get("/v1/sessions/s/cancel").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "POST");
    problem(response, 405).await;
    let response = edge.post("/healthz", &json!({})).send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    problem(response, 405).await;
    let trace = edge.http.request(reqwest::Method::TRACE, format!("http://{}/", edge.address));
    problem(trace.send().await.unwrap(), 405).await;
}

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let edge = Edge::start().await;
    let ask = || edge.ask("x").header("prefer", "respond-async");
    problem(ask().header("sec-fetch-site", "cross-site").send().await.unwrap(), 403).await;
    problem(ask().header("origin", "http://evil.example").send().await.unwrap(), 403).await;
    let read = edge.get("/v1/sessions/s/events?userId=u").header("sec-fetch-site", "cross-site");
    problem(read.send().await.unwrap(), 403).await;
    let rebound = edge.get("/").header("host", "evil.example");
    problem(rebound.send().await.unwrap(), 421).await;
    let own = ask().header("origin", format!("http://{}", edge.address));
    assert_eq!(own.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn keys_and_forms_that_make_no_sense_are_refused() {
    let edge = Edge::start().await;
    for key in ["", &"x".repeat(256)] {
        let refusal =
            problem(edge.ask("x").header("idempotency-key", key).send().await.unwrap(), 400).await;
        assert_eq!(refusal["violations"][0]["field"], "Idempotency-Key");
    }
    problem(edge.ask("x").header("accept", "image/png").send().await.unwrap(), 406).await;
    let elsewhere = json!({"userId": "u", "input": "x"});
    let first = edge.ask("x").header("idempotency-key", "k").header("prefer", "respond-async");
    assert_eq!(first.send().await.unwrap().status(), 202);
    let again = edge.post("/v1/sessions/other/turns", &elsewhere).header("idempotency-key", "k");
    problem(again.send().await.unwrap(), 422).await;
}
