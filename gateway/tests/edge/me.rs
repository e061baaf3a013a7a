//! Who a caller is to the edge, and what it says to those who are nobody.

use std::time::Duration;

use gateway::Config;
use gateway::auth::Source;
use gateway::auth::keys::{Role, Wanted};
use jiff::Timestamp;
use reqwest::{RequestBuilder, Response};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::harness::{Edge, PATIENCE, problem};
use crate::tokens::{Keys, Signer, claims, jwt, now, set};

const PATH: &str = "/v1/me";
const INVALID: &str = "Bearer error=\"invalid_token\"";

/// What is told to who is known.
async fn told(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.json().await.unwrap()
}

/// That nobody is known, and what is asked for.
async fn refused(answer: Response, challenge: &str) {
    assert_eq!(answer.headers()["www-authenticate"], challenge);
    problem(answer, 401).await;
}

/// Asks until the credential counts no more.
async fn until_refused(edge: &Edge, credential: &str) -> Response {
    let ended = async {
        loop {
            let answer = edge.get(PATH).bearer_auth(credential).send().await.unwrap();
            if answer.status() != 200 {
                return answer;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("the credential ends")
}

#[tokio::test]
async fn without_authentication_nobody_is_known_and_a_name_is_still_checked() {
    let edge = Edge::with(Config::default()).await;
    let off = json!({"authentication": false});
    for path in [PATH, "/v1/me?userId=u", "/v1/me?userId=%E7%94%A8%E6%88%B7"] {
        assert_eq!(told(edge.get(path)).await, off, "{path}");
    }
    assert_eq!(told(edge.get(PATH).bearer_auth("what an old page kept")).await, off);
    for name in ["", "%00", "%FF", &"x".repeat(129)] {
        let answer = edge.get(&format!("{PATH}?userId={name}")).send().await.unwrap();
        let refusal = problem(answer, 400).await;
        assert!(refusal["detail"].is_string(), "{name}: {refusal}");
    }
}

#[tokio::test]
async fn a_key_is_told_whose_it_is_and_an_operator_as_whom_he_acts() {
    let keys = Keys::new();
    let [(_, u), (_, root)] =
        [("u", Role::User), ("root", Role::Operator)].map(|(user, role)| keys.make(user, role));
    let expires: Timestamp = "2999-01-31T12:00:00Z".parse().unwrap();
    let (user, expires) = ("v".parse().unwrap(), Some(expires));
    let wanted = Wanted { user, role: Role::User, label: None, expires };
    let (_, v) = keys.file.create(wanted).unwrap();
    let edge = Edge::with(keys.config(None).await).await;
    let me = async |key: &str, query: &str| {
        told(edge.get(&format!("{PATH}{query}")).bearer_auth(key)).await
    };
    let known =
        |user: &str, role: &str| json!({"authentication": true, "userId": user, "role": role});
    assert_eq!(me(&u, "").await, known("u", "user"));
    assert_eq!(me(&u, "?userId=u").await, known("u", "user"));
    assert_eq!(me(&root, "").await, known("root", "operator"));
    assert_eq!(me(&root, "?userId=u").await, known("u", "operator"));
    let mut limited = known("v", "user");
    limited["expiresAt"] = json!("2999-01-31T12:00:00Z");
    assert_eq!(me(v.expose_secret(), "").await, limited);
    let other = edge.get("/v1/me?userId=root").bearer_auth(&u).send().await.unwrap();
    problem(other, 403).await;
    let none = edge.get("/v1/me?userId=").bearer_auth(&root).send().await.unwrap();
    problem(none, 400).await;
}

#[tokio::test]
async fn who_shows_nothing_or_nothing_good_learns_that_authentication_is_on() {
    let keys = Keys::new();
    let (key, text) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    for path in [PATH, "/v1/me?userId=u"] {
        let answer = edge.get(path).header("cookie", format!("token={text}")).send().await;
        refused(answer.unwrap(), "Bearer").await;
    }
    let wrong = format!("{}x", &text[..text.len() - 1]);
    for credential in [wrong.as_str(), "weir", "a.b.c"] {
        let answer = edge.get(PATH).bearer_auth(credential).send().await.unwrap();
        refused(answer, INVALID).await;
    }
    let in_url = edge.get(&format!("{PATH}?token={text}")).bearer_auth(&text).send().await;
    problem(in_url.unwrap(), 400).await;
    keys.file.revoke(&key.id).unwrap();
    refused(until_refused(&edge, &text).await, INVALID).await;
}

#[tokio::test]
async fn a_token_is_told_when_it_stops_counting_and_does_so_then() {
    let (keys, signer) = (Keys::new(), Signer::ec("ec"));
    keys.make("u", Role::User);
    let path = keys.beside("set.json", &set(&[&signer]));
    let source = Source::Jwks(path.to_str().unwrap().to_owned());
    let edge = Edge::with(keys.config(Some(jwt(source))).await).await;
    // Tokens count for the leeway longer than they say: 30 s.
    let ends = now() + 3;
    let mut said = claims("w");
    said["exp"] = json!(ends - 30);
    said["role"] = json!(["reader", "operator"]);
    let token = signer.sign(&signer.header(), &said);
    let me = told(edge.get(PATH).bearer_auth(&token)).await;
    let told_end: Timestamp = me["expiresAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(told_end.as_second(), i64::try_from(ends).unwrap());
    assert_eq!((&me["userId"], &me["role"]), (&json!("w"), &json!("operator")));
    let answer = until_refused(&edge, &token).await;
    assert!(now() >= ends);
    assert_eq!(problem(answer, 401).await["detail"], "the credential has expired");
    // One that lasts longer than there are dates does not end.
    said["exp"] = json!(400_000_000_000_u64);
    let token = signer.sign(&signer.header(), &said);
    assert!(told(edge.get(PATH).bearer_auth(&token)).await.get("expiresAt").is_none());
}

#[tokio::test]
async fn a_ticket_is_not_told_who_it_is_for() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let body = json!({"purpose": "events"});
    let made = edge.post("/v1/tickets", &body).bearer_auth(&key).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let ticket = made["ticket"].as_str().unwrap();
    let in_url = edge.get(&format!("{PATH}?ticket={ticket}")).send().await.unwrap();
    problem(in_url, 400).await;
    refused(edge.get(PATH).bearer_auth(ticket).send().await.unwrap(), INVALID).await;
}
