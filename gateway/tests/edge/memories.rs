//! `/v1/memories` and `/agent/write/longterm`.

use std::sync::Arc;

use broker::nats::Config;
use memory::{Author, MAX_MEMORIES, MAX_TEXT_BYTES, Memories};
use reqwest::{Response, header};
use serde_json::{Value, json};
use testkit::nats::Server;
use tokio::time::{Duration, timeout};

use crate::harness::{Edge, PATIENCE, problem};

async fn add(edge: &Edge, user: &str, text: &str) -> Value {
    let request = edge.post("/v1/memories", &json!({"userId": user, "text": text}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.unwrap()
}

async fn get(edge: &Edge, query: &[(&str, &str)]) -> Response {
    edge.get("/v1/memories").query(query).send().await.unwrap()
}

/// The memories of a user, and the rest of the answer.
async fn list(edge: &Edge, query: &[(&str, &str)]) -> (Vec<Value>, Value) {
    let response = get(edge, query).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let mut answer: Value = response.json().await.unwrap();
    let Value::Array(memories) = answer["memories"].take() else { panic!("{answer}") };
    (memories, answer)
}

async fn texts(edge: &Edge, user: &str) -> Vec<String> {
    let (memories, _) = list(edge, &[("userId", user), ("limit", "100")]).await;
    memories.iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect()
}

async fn forget(edge: &Edge, user: &str, id: &str) -> Response {
    let url = format!("http://{}/v1/memories/{id}", edge.address);
    edge.http.delete(url).query(&[("userId", user)]).send().await.unwrap()
}

#[tokio::test]
async fn a_memory_is_written_listed_found_and_forgotten() {
    let edge = Edge::start().await;
    let first = add(&edge, "u", "  Likes green tea. ").await;
    assert_eq!((&first["text"], &first["source"]), (&json!("Likes green tea."), &json!("user")));
    let at = first["at"].as_str().unwrap();
    assert!(at.starts_with("20") && at.contains('T') && at.ends_with('Z'), "{at}");
    let keys: Vec<_> = first.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["at", "id", "source", "text"]);
    let second = add(&edge, "u", "住在上海").await;
    assert_eq!(add(&edge, "u", "likes GREEN tea").await, first);
    let (all, rest) = list(&edge, &[("userId", "u")]).await;
    assert_eq!((all, rest.get("cursor")), (vec![second.clone(), first.clone()], None));
    for (query, want) in [("上海的天气", vec![&second]), ("teas", vec![&first]), ("?", vec![])]
    {
        let (found, rest) = list(&edge, &[("userId", "u"), ("query", query)]).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), want, "{query}");
        assert_eq!(rest.get("cursor"), None);
    }
    let id = first["id"].as_str().unwrap();
    assert_eq!(forget(&edge, "u", id).await.status(), 204);
    problem(forget(&edge, "u", id).await, 404).await;
    assert_eq!(texts(&edge, "u").await, ["住在上海"]);
}

#[tokio::test]
async fn pages_hold_every_memory_once_while_others_are_forgotten() {
    let edge = Edge::start().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        let memory = add(&edge, "u", &format!("number {number}")).await;
        ids.push(memory["id"].as_str().unwrap().to_owned());
    }
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("userId", "u"), ("limit", "2")];
        query.extend(cursor.as_deref().map(|it| ("cursor", it)));
        let (page, rest) = list(&edge, &query).await;
        assert!((1..=2).contains(&page.len()), "{page:?}");
        seen.extend(page.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        // The place of a page is there without what stood there.
        assert_eq!(forget(&edge, "u", seen.last().unwrap()).await.status(), 204);
        match rest["cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let (whole, _) = list(&edge, &[("userId", "u"), ("limit", "100")]).await;
    assert_eq!(whole.len(), 3);
}

#[tokio::test]
async fn nobody_sees_or_forgets_what_another_user_has() {
    let edge = Edge::start().await;
    let users = ["a", "a.b", "a*", "*", ">", "=", "=YQ", "A", "a/b", "用户", "a b", "$KV.>"];
    let mut ids = Vec::new();
    for user in users {
        let memory = add(&edge, user, &format!("tea of {user}")).await;
        add(&edge, user, "tea").await;
        ids.push(memory["id"].as_str().unwrap().to_owned());
    }
    for (at, user) in users.iter().enumerate() {
        assert_eq!(texts(&edge, user).await, ["tea", &format!("tea of {user}")]);
        let (found, _) = list(&edge, &[("userId", user), ("query", "tea")]).await;
        assert_eq!(found.len(), 2, "{user}");
        for (of, id) in ids.iter().enumerate().filter(|it| it.0 != at) {
            let mut refusal = problem(forget(&edge, user, id).await, 404).await;
            let mut unknown = problem(forget(&edge, user, &ids[of][1..]).await, 404).await;
            // It looks like one that does not exist, but for the request's own name.
            assert_ne!(refusal["requestId"].take(), unknown["requestId"].take());
            assert_eq!(refusal, unknown);
        }
    }
    for (user, id) in users.iter().zip(&ids) {
        assert_eq!(forget(&edge, user, id).await.status(), 204, "{user}");
        assert_eq!(texts(&edge, user).await, ["tea"]);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_kept() {
    let edge = Edge::start().await;
    let (fits, over) = ("茶".repeat(MAX_TEXT_BYTES / 3), "x".repeat(MAX_TEXT_BYTES + 1));
    for (body, field) in [
        (json!({"text": "x"}), "userId"),
        (json!({"userId": "", "text": "x"}), "userId"),
        (json!({"userId": "x".repeat(129), "text": "x"}), "userId"),
        (json!({"userId": "a\nb", "text": "x"}), "userId"),
        (json!({"userId": "u"}), "text"),
        (json!({"userId": "u", "text": 7}), "text"),
        (json!({"userId": "u", "text": ""}), "text"),
        (json!({"userId": "u", "text": " \n"}), "text"),
        (json!({"userId": "u", "text": over}), "text"),
        (json!({"userId": "u", "text": "x", "source": "agent"}), "source"),
    ] {
        let refusal = problem(edge.post("/v1/memories", &body).send().await.unwrap(), 400).await;
        assert_eq!(refusal["violations"][0]["field"], field, "{refusal}");
    }
    for (query, field) in [
        (vec![("limit", "5")], "userId"),
        (vec![("userId", "")], "userId"),
        (vec![("userId", "u"), ("limit", "0")], "limit"),
        (vec![("userId", "u"), ("limit", "101")], "limit"),
        (vec![("userId", "u"), ("limit", "x")], "limit"),
        (vec![("userId", "u"), ("query", "")], "query"),
        (vec![("userId", "u"), ("query", &over)], "query"),
        (vec![("userId", "u"), ("cursor", "x")], "cursor"),
        (vec![("userId", "u"), ("cursor", "1.2.3")], "cursor"),
        (vec![("userId", "u"), ("cursor", "x"), ("query", "x")], "cursor"),
    ] {
        let refusal = problem(get(&edge, &query).await, 400).await;
        assert_eq!(refusal["violations"][0]["field"], field, "{query:?} {refusal}");
    }
    assert_eq!(texts(&edge, "u").await, Vec::<String>::new());
    add(&edge, "u", &fits).await;
    for id in ["x", "..%2f", "%ff", "*", &"9".repeat(300)] {
        problem(forget(&edge, "u", id).await, 404).await;
    }
    let nameless = edge.http.delete(format!("http://{}/v1/memories/x", edge.address));
    problem(nameless.send().await.unwrap(), 400).await;
    problem(edge.get("/v1/memories/x?userId=u").send().await.unwrap(), 405).await;
    assert_eq!(texts(&edge, "u").await, [fits]);
}

#[tokio::test]
async fn a_user_who_remembers_too_much_is_told_to_forget() {
    let edge = Edge::start().await;
    let (memories, user) = (Memories::new(Arc::clone(&edge.broker.records)), "u".parse().unwrap());
    for number in 0..MAX_MEMORIES {
        memories.add(&user, &format!("number {number}"), Author::User).await.unwrap();
    }
    let more = || edge.post("/v1/memories", &json!({"userId": "u", "text": "more"}));
    let refusal = problem(more().send().await.unwrap(), 409).await;
    assert_eq!(refusal["type"], "urn:weir:problem:memories_full");
    let known = add(&edge, "u", "number 7").await;
    assert_eq!(forget(&edge, "u", known["id"].as_str().unwrap()).await.status(), 204);
    assert_eq!(more().send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn the_old_way_of_writing_answers_in_its_own_form() {
    let edge = Edge::start().await;
    let write = |body: &Value| edge.post("/agent/write/longterm", body);
    for _ in 0..2 {
        let body = json!({"user_id": "u", "memory_info": "Likes tea", "session_id": "s", "x": 1});
        let response = write(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = response.json().await.unwrap();
        assert_eq!((&answer["success"], &answer["user_id"]), (&json!(true), &json!("u")));
        assert!(answer["message"].is_string());
    }
    assert_eq!(texts(&edge, "u").await, ["Likes tea"]);
    let over = "x".repeat(MAX_TEXT_BYTES + 1);
    for (body, says) in [
        (json!({}), "memory_info"),
        (json!([]), ""),
        (json!({"memory_info": "x"}), "user_id"),
        (json!({"user_id": 7, "memory_info": "x"}), "user_id"),
        (json!({"user_id": "", "memory_info": "x"}), "user_id"),
        (json!({"user_id": "a\nb", "memory_info": "x"}), "user_id"),
        (json!({"user_id": "u"}), "memory_info"),
        (json!({"user_id": "u", "memory_info": {}}), "memory_info"),
        (json!({"user_id": "u", "memory_info": " "}), "memory_info"),
        (json!({"user_id": "u", "memory_info": over}), "memory_info"),
    ] {
        refused(write(&body).send().await.unwrap(), 400, says).await;
    }
    let url = format!("http://{}/agent/write/longterm", edge.address);
    let raw = |body: String| {
        edge.http.post(&url).header(header::CONTENT_TYPE, "application/json").body(body).send()
    };
    refused(raw("{".to_owned()).await.unwrap(), 400, "not JSON").await;
    refused(raw("x".repeat(2 * 1024 * 1024)).await.unwrap(), 413, "bytes").await;
    refused(edge.http.post(&url).body("{}").send().await.unwrap(), 415, "application/json").await;
    assert_eq!(texts(&edge, "u").await, ["Likes tea"]);
}

async fn refused(response: Response, status: u16, says: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer: Value = response.json().await.unwrap();
    assert_eq!((&answer["success"], &answer["status"]), (&json!(false), &json!("error")));
    assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
    assert_eq!(answer["message"], answer["detail"]);
}

#[tokio::test]
async fn memories_on_nats_are_shared_and_a_broker_that_is_down_is_said() {
    let mut server = Server::start().await.unwrap();
    let broker = broker::nats::open(Config::new(server.url())).await.unwrap();
    let limits =
        gateway::Config { broker_timeout: Duration::from_secs(1), ..gateway::Config::default() };
    let edge = Edge::on(limits, broker).await;
    let other = edge.another().await;
    let kept = add(&edge, "u", "Likes tea").await;
    assert_eq!(texts(&other, "u").await, ["Likes tea"]);
    let gone = add(&other, "u", "Likes milk").await;
    assert_eq!(forget(&edge, "u", gone["id"].as_str().unwrap()).await.status(), 204);
    assert_eq!(texts(&other, "u").await, ["Likes tea"]);
    server.kill().await.unwrap();
    let id = kept["id"].as_str().unwrap();
    let body = json!({"userId": "u", "text": "x"});
    for response in [
        get(&edge, &[("userId", "u")]).await,
        get(&edge, &[("userId", "u"), ("query", "tea")]).await,
        edge.post("/v1/memories", &body).send().await.unwrap(),
        forget(&edge, "u", id).await,
    ] {
        assert_eq!(response.headers()["retry-after"], "1");
        problem(response, 503).await;
    }
    let body = json!({"user_id": "u", "memory_info": "x"});
    let response = edge.post("/agent/write/longterm", &body).send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "1");
    refused(response, 503, "try again").await;
    // What was kept is there when the broker is.
    server.restart().await.unwrap();
    let back = async { while get(&edge, &[("userId", "u")]).await.status() != 200 {} };
    timeout(PATIENCE, back).await.unwrap();
    assert!(texts(&edge, "u").await.contains(&"Likes tea".to_owned()));
}
