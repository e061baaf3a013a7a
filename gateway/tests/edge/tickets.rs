//! Tickets: what they open, and what they do not.

use broker::{Bucket, Key};
use gateway::Config;
use gateway::auth::keys::Role;
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{Edge, Frames, problem};
use crate::tokens::{Keys, now};

/// A ticket for who shows a key, or for whom the body names.
async fn ticket(edge: &Edge, key: Option<&str>, body: &Value) -> String {
    let mut request = edge.post("/v1/tickets", body);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let made: Value = answer.json().await.unwrap();
    assert!(made["expiresAt"].as_str().unwrap().ends_with('Z'), "{made}");
    made["ticket"].as_str().unwrap().to_owned()
}

async fn status(edge: &Edge, path: &str) -> StatusCode {
    edge.get(path).send().await.unwrap().status()
}

#[tokio::test]
async fn a_ticket_opens_its_kind_of_stream_and_its_session_on_every_gateway() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let config = keys.config(None).await;
    let edge = Edge::with(config.clone()).await;
    let body = json!({"purpose": "events", "sessionId": "s"});
    let made = ticket(&edge, Some(&key), &body).await;
    let another = Edge::on(config, edge.broker.clone()).await;
    for edge in [&edge, &another] {
        let events = |it: &str| format!("/v1/sessions/{it}/events?ticket={made}");
        // It may be used more than once while it counts.
        for _ in 0..2 {
            assert_eq!(status(edge, &events("s")).await, 200);
        }
        assert_eq!(status(edge, &events("t")).await, 403);
        assert_eq!(status(edge, &format!("{}&userId=u", events("s"))).await, 200);
        assert_eq!(status(edge, &format!("{}&userId=v", events("s"))).await, 403);
        assert_eq!(status(edge, &format!("/stream?query=q&ticket={made}")).await, 401);
        for path in ["/v1/sessions/s", "/v1/sessions/s/turns", "/v1/memories", "/v1/status"] {
            assert_eq!(status(edge, &format!("{path}?ticket={made}")).await, 400, "{path}");
            let borne = edge.get(path).bearer_auth(&made).send().await.unwrap();
            assert_eq!(borne.status(), 401, "{path}");
        }
        let again = edge.post(&format!("/v1/tickets?ticket={made}"), &body);
        assert_eq!(again.send().await.unwrap().status(), 400);
        let both = edge.get(&events("s")).bearer_auth(&key).send().await.unwrap();
        problem(both, 400).await;
        assert_eq!(status(edge, &format!("{}&ticket={made}", events("s"))).await, 400);
    }
}

#[tokio::test]
async fn a_ticket_for_anything_is_for_any_session_of_its_user() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let (_, operator) = keys.make("root", Role::Operator);
    let edge = Edge::with(keys.config(None).await).await;
    let made = ticket(&edge, Some(&key), &json!({"purpose": "events"})).await;
    for session in ["s", "t"] {
        let path = format!("/v1/sessions/{session}/events?ticket={made}");
        assert_eq!(status(&edge, &path).await, 200);
    }
    let refused = |body: Value| edge.post("/v1/tickets", &body).bearer_auth(&key).send();
    problem(refused(json!({"purpose": "events", "userId": "v"})).await.unwrap(), 403).await;
    for body in [
        json!({}),
        json!({"purpose": "everything"}),
        json!({"purpose": "events", "sessionId": ""}),
        json!({"purpose": "events", "ttl": 3600}),
    ] {
        problem(refused(body).await.unwrap(), 400).await;
    }
    let for_user = json!({"purpose": "events", "userId": "u"});
    let made = ticket(&edge, Some(&operator), &for_user).await;
    let path = format!("/v1/sessions/s/events?ticket={made}");
    assert_eq!(status(&edge, &path).await, 200);
    assert_eq!(status(&edge, &format!("{path}&userId=v")).await, 403);
}

#[tokio::test]
async fn a_websocket_and_the_plain_stream_open_with_their_own_tickets() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let socket = async |query: &str| {
        let opened = connect_async(format!("ws://{}/chat{query}", edge.address)).await;
        match opened {
            Ok((_socket, answer)) => answer.status().as_u16(),
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(socket("").await, 401);
    assert_eq!(socket(&format!("?token={key}")).await, 400);
    let made = ticket(&edge, Some(&key), &json!({"purpose": "websocket"})).await;
    assert_eq!(socket(&format!("?ticket={made}")).await, 101);
    let other = ticket(&edge, Some(&key), &json!({"purpose": "stream"})).await;
    assert_eq!(socket(&format!("?ticket={other}")).await, 401);
    let asked = edge.get(&format!("/stream?query=Why&ticket={other}")).send();
    let (mut work, answer) = tokio::join!(edge.work(), asked);
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(work.delivery.session.user.as_str(), "u");
    work.complete().await;
}

#[tokio::test]
async fn a_stream_ends_when_the_key_behind_its_ticket_is_revoked() {
    let keys = Keys::new();
    let (key, text) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let made = ticket(&edge, Some(&text), &json!({"purpose": "events"})).await;
    let path = format!("/v1/sessions/s/events?ticket={made}");
    let mut events = Frames::of(edge.get(&path).send().await.unwrap());
    keys.file.revoke(&key.id).unwrap();
    events.until("auth_expired").await;
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(status(&edge, &path).await, 401);
}

#[tokio::test]
async fn a_forged_or_expired_ticket_opens_nothing() {
    let keys = Keys::new();
    let (key, text) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let made = ticket(&edge, Some(&text), &json!({"purpose": "events"})).await;
    let secret = edge.broker.records.get(Bucket::Secrets, &Key::secret("tickets")).await.unwrap();
    let secret = secret.unwrap().value;
    assert_eq!(secret.len(), 32);
    let claims = json!({
        "iss": "weir", "aud": "weir:ticket:events", "exp": now() + 60, "user": "u",
        "role": "user", "key": key.id,
    });
    let sign = |secret: &[u8], name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).unwrap()
    };
    let (unsigned, _) = made.rsplit_once('.').unwrap();
    for (ticket, expected) in [
        (sign(&secret, "user", json!("u")), 200),
        (sign(b"0123456789abcdef0123456789abcdef", "user", json!("u")), 401),
        (sign(&secret, "exp", json!(now() - 2)), 401),
        (sign(&secret, "exp", Value::Null), 401),
        (sign(&secret, "aud", json!("weir:ticket:stream")), 401),
        (sign(&secret, "iss", json!("other")), 401),
        (sign(&secret, "user", json!("v")), 401),
        (sign(&secret, "key", json!("000000000000")), 401),
        // As one is made where authentication is off.
        (sign(&secret, "key", Value::Null), 401),
        (sign(&secret, "more", json!(1)), 401),
        (unsigned.to_owned(), 401),
        (format!("{unsigned}."), 401),
        (String::new(), 401),
        (text.clone(), 401),
        ("a".repeat(8_000), 401),
    ] {
        let path = format!("/v1/sessions/s/events?ticket={ticket}");
        let answer = edge.get(&path).send().await.unwrap();
        assert_eq!(answer.status(), expected, "{ticket}");
        if expected == 401 {
            let challenge = answer.headers()["www-authenticate"].clone();
            assert_eq!(challenge, "Bearer error=\"invalid_token\"");
        }
    }
}

#[tokio::test]
async fn tickets_work_without_authentication_too() {
    let edge = Edge::with(Config::default()).await;
    let refused = edge.post("/v1/tickets", &json!({"purpose": "events"})).send().await.unwrap();
    problem(refused, 400).await;
    let made = ticket(&edge, None, &json!({"purpose": "events", "userId": "u"})).await;
    let path = format!("/v1/sessions/s/events?ticket={made}");
    assert_eq!(status(&edge, &path).await, 200);
    assert_eq!(status(&edge, &format!("{path}&userId=v")).await, 403);
    assert_eq!(status(&edge, "/v1/sessions/s/events?userId=u&token=x").await, 200);
    assert_eq!(status(&edge, "/v1/sessions/s/events?ticket=x").await, 401);
}
