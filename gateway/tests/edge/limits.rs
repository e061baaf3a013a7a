//! What one user, or one address, may ask.

use std::num::NonZeroU32;

use gateway::Config;
use serde_json::json;

use crate::harness::{Edge, problem};

fn few(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[tokio::test]
async fn a_user_who_asks_too_often_is_told_when_to_come_back_and_others_are_served() {
    let config = Config { user_requests: few(1), user_burst: few(3), ..Config::default() };
    let edge = Edge::with(config).await;
    let get = |user: &str| edge.get(&format!("/v1/sessions/s?userId={user}")).send();
    for _ in 0..3 {
        assert_eq!(get("u").await.unwrap().status(), 200);
    }
    let refused = get("u").await.unwrap();
    let headers = refused.headers().clone();
    assert_eq!(headers["ratelimit-policy"], "\"user\";q=3;w=3");
    assert_eq!(headers["ratelimit"], "\"user\";r=0;t=1");
    assert_eq!(headers["retry-after"], "1");
    let told = problem(refused, 429).await;
    assert_eq!(told["type"], "urn:weir:problem:too_many_requests");
    assert_eq!(get("v").await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_refused_before_it_is_heard() {
    let config = Config { address_requests: few(1), address_burst: few(2), ..Config::default() };
    let edge = Edge::with(config).await;
    for _ in 0..2 {
        assert_eq!(edge.get("/healthz").send().await.unwrap().status(), 200);
    }
    problem(edge.get("/nowhere").send().await.unwrap(), 429).await;
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_each_their_own_limit() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let (address_requests, address_burst) = (few(1), few(1));
    let config = Config { proxies, address_requests, address_burst, ..Config::default() };
    let edge = Edge::with(config).await;
    let of = |client: &str| edge.get("/healthz").header("x-forwarded-for", client).send();
    assert_eq!(of("192.0.2.1").await.unwrap().status(), 200);
    assert_eq!(of("192.0.2.2").await.unwrap().status(), 200);
    assert_eq!(of("6.6.6.6, 192.0.2.1").await.unwrap().status(), 429);
}

#[tokio::test]
async fn a_network_of_ipv6_is_one_address() {
    let proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let (address_requests, address_burst) = (few(1), few(1));
    let config = Config { proxies, address_requests, address_burst, ..Config::default() };
    let edge = Edge::with(config).await;
    let of = |client: &str| edge.get("/healthz").header("x-forwarded-for", client).send();
    assert_eq!(of("2001:db8::1").await.unwrap().status(), 200);
    assert_eq!(of("2001:db8::ffff:ffff:ffff:ffff").await.unwrap().status(), 429);
    assert_eq!(of("2001:db8:0:1::1").await.unwrap().status(), 200);
}

#[tokio::test]
async fn nobody_is_believed_whom_he_speaks_for_unless_the_operator_says_so() {
    let config = Config { address_requests: few(1), address_burst: few(1), ..Config::default() };
    let edge = Edge::with(config).await;
    let of = |client: &str| edge.get("/healthz").header("x-forwarded-for", client).send();
    assert_eq!(of("192.0.2.1").await.unwrap().status(), 200);
    assert_eq!(of("192.0.2.2").await.unwrap().status(), 429);
}

#[tokio::test]
async fn a_user_has_no_more_open_streams_than_one_may_and_gets_them_back() {
    let edge = Edge::with(Config { streams_per_user: 1, ..Config::default() }).await;
    let events = |user: &str| edge.get(&format!("/v1/sessions/s/events?userId={user}")).send();
    let first = events("u").await.unwrap();
    let told = problem(events("u").await.unwrap(), 429).await;
    assert_eq!(told["type"], "urn:weir:problem:too_many_streams");
    assert_eq!(events("v").await.unwrap().status(), 200);
    drop(first);
    // The server hears of it when it happens to look.
    while events("u").await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_user_who_asks_much_has_no_more_unfinished_turns_than_one_may() {
    let edge = Edge::with(Config { turns_per_user: few(4), ..Config::default() }).await;
    let ask = |user: &str, session: usize| {
        let body = json!({"userId": user, "input": "?"});
        let asked = edge.post(&format!("/v1/sessions/{session}/turns"), &body);
        asked.header("prefer", "respond-async").send()
    };
    for session in 0..4 {
        assert_eq!(ask("u", session).await.unwrap().status(), 202);
    }
    let told = problem(ask("u", 4).await.unwrap(), 429).await;
    assert_eq!(told["type"], "urn:weir:problem:too_many_turns");
    assert_eq!(ask("v", 4).await.unwrap().status(), 202);
    let mut work = edge.work().await;
    work.complete().await;
    work.settle().await;
    assert_eq!(ask("u", 4).await.unwrap().status(), 202);
}

#[tokio::test]
async fn pages_of_named_origins_may_use_the_edge_and_those_of_others_may_not() {
    let origins = vec!["https://app.example.org".parse().unwrap()];
    let edge = Edge::with(Config { origins, ..Config::default() }).await;
    let ask = |origin: &str| {
        let asked = edge.ask("?").header("prefer", "respond-async").header("origin", origin);
        asked.header("sec-fetch-site", "cross-site").send()
    };
    let answer = ask("https://app.example.org").await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example.org");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    assert_eq!(answer.headers()["cross-origin-resource-policy"], "cross-origin");
    for foreign in ["https://evil.example", "null", "https://app.example.org.evil.example"] {
        let refused = ask(foreign).await.unwrap();
        assert!(!refused.headers().contains_key("access-control-allow-origin"), "{foreign}");
        problem(refused, 403).await;
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_named_origins_only() {
    let origins = vec!["https://app.example.org".parse().unwrap()];
    let edge = Edge::with(Config { origins, ..Config::default() }).await;
    let ask = |origin: &str| {
        let url = format!("http://{}/v1/sessions/s/turns", edge.address);
        let asked = edge.http.request(reqwest::Method::OPTIONS, url).header("origin", origin);
        let asked = asked.header("access-control-request-headers", "x-stainless-os");
        asked.header("access-control-request-method", "POST").send()
    };
    let answer = ask("https://app.example.org").await.unwrap();
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(headers["access-control-allow-origin"], "https://app.example.org");
    assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    for name in
        ["authorization", "content-type", "idempotency-key", "last-event-id", "x-stainless-os"]
    {
        assert!(allowed.contains(name), "{name}");
    }
    let refused = ask("https://evil.example").await.unwrap();
    assert!(!refused.status().is_success());
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_named_host_is_answered_to_beside_those_of_this_machine() {
    let hosts = vec!["chat.example.org".parse().unwrap()];
    let edge = Edge::with(Config { hosts, ..Config::default() }).await;
    let of = |host: &str| edge.get("/healthz").header("host", host).send();
    assert_eq!(of("chat.example.org").await.unwrap().status(), 200);
    assert_eq!(of("chat.example.org:8443").await.unwrap().status(), 200);
    problem(of("evil.example").await.unwrap(), 421).await;
}

#[test]
fn the_shipped_configuration_names_every_key_and_changes_nothing() {
    let sample = include_str!("../../../deploy/gateway/gateway.toml");
    let shown = Config::default().shown();
    assert_eq!(Config::parse(sample).unwrap().shown(), shown);
    let said: Vec<_> = sample.lines().filter(|it| !it.starts_with('#')).collect();
    for line in shown.lines() {
        assert!(said.contains(&line), "{line}");
    }
}

#[test]
fn the_page_about_limits_names_every_key_with_its_default() {
    let page = include_str!("../../../docs/limits.md");
    let mut section = String::new();
    for line in Config::default().shown().lines().filter(|it| !it.is_empty()) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        let (key, value) = line.split_once(" = ").unwrap();
        let row = format!("| `{section}.{key}` | `{}` |", value.replace('"', ""));
        assert!(page.contains(&row), "{row}");
    }
}
