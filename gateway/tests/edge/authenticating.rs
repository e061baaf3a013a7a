//! Who may ask: API keys and tokens, what is refused, and what ends with them.

use std::num::NonZeroU32;
use std::time::Duration;

use gateway::Config;
use gateway::auth::Source;
use gateway::auth::keys::Role;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Edge, Frames, PATIENCE, frames, problem, raw};
use crate::tokens::{Keys, Signer, claims, jwt, now, set, status};

/// Lists the sessions of who asks.
const PATH: &str = "/v1/sessions";

/// A refusal that asks for a credential, with this challenge.
async fn refused(response: Response, challenge: &str) {
    let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, [challenge]);
    problem(response, 401).await;
}

const INVALID: &str = "Bearer error=\"invalid_token\"";

#[tokio::test]
async fn without_a_credential_there_is_nothing_but_what_is_open() {
    let keys = Keys::new();
    keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    for path in [
        "/v1/sessions?userId=u",
        "/v1/sessions/s?userId=u",
        "/v1/sessions/s/events?userId=u",
        "/v1/memories?userId=u",
        "/v1/status",
        "/v1/me",
        "/stream?username=u&query=q",
        "/agent/sessionids/u",
        "/v1/models",
    ] {
        let answer = edge.get(path).header("cookie", "token=weir").send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{path}");
    }
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(edge.get(path).send().await.unwrap().status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_key_is_its_users_and_an_operators_is_everybodys() {
    let keys = Keys::new();
    let [(_, u), (_, v)] = ["u", "v"].map(|it| keys.make(it, Role::User));
    let (_, operator) = keys.make("root", Role::Operator);
    let edge = Edge::with(keys.config(None).await).await;
    let ask = |key: &str, body: Value| {
        let request = edge.post("/v1/sessions/s/turns", &body).bearer_auth(key);
        request.header("prefer", "respond-async").send()
    };
    assert_eq!(ask(&u, json!({"input": "mine"})).await.unwrap().status(), 202);
    let work = edge.work().await;
    assert_eq!(work.delivery.session.user.as_str(), "u");
    problem(ask(&v, json!({"input": "q", "userId": "u"})).await.unwrap(), 403).await;
    let read = async |key: &str, query: &str| {
        let path = format!("/v1/sessions/s{query}");
        edge.get(&path).bearer_auth(key).send().await.unwrap().status().as_u16()
    };
    assert_eq!(read(&u, "").await, 200);
    assert_eq!(read(&u, "?userId=u").await, 200);
    assert_eq!(read(&v, "?userId=u").await, 403);
    assert_eq!(read(&operator, "?userId=u").await, 200);
    assert_eq!(edge.get("/v1/status").bearer_auth(&v).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn another_users_session_looks_like_one_that_does_not_exist() {
    let keys = Keys::new();
    let [(_, u), (_, v)] = ["u", "v"].map(|it| keys.make(it, Role::User));
    let edge = Edge::with(keys.config(None).await).await;
    let body = json!({"input": "secret"});
    let ask = edge.post("/v1/sessions/s0/turns", &body).bearer_auth(&u);
    assert_eq!(ask.header("prefer", "respond-async").send().await.unwrap().status(), 202);
    let mut work = edge.work().await;
    work.text("secret").await;
    let turn = work.delivery.turn.to_string();
    for (method, path, body) in session_routes(&turn) {
        let mut answers = Vec::new();
        for session in ["s0", "s1"] {
            let path = path.replace("{}", session);
            let url = format!("http://{}{path}", edge.address);
            let mut request = edge.http.request(method.clone(), url).bearer_auth(&v);
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let text = answer.text().await.unwrap().replace(session, "session");
            assert!(!status.is_server_error() && status != 401, "{method} {path}: {text}");
            assert!(!text.contains("secret"), "{method} {path}: {text}");
            answers.push((status, without_times(&text)));
        }
        assert_eq!(answers[0], answers[1], "{method} {path}");
    }
    // A session of the same name is his own: nothing of the other one is in it.
    let mut events = Frames::of(
        edge.get("/v1/sessions/s0/events?after=start").bearer_auth(&v).send().await.unwrap(),
    );
    let ask = edge.post("/v1/sessions/s0/turns", &json!({"input": "own"})).bearer_auth(&v);
    assert_eq!(ask.header("prefer", "respond-async").send().await.unwrap().status(), 202);
    work.complete().await;
    work.settle().await;
    edge.work().await.complete().await;
    for frame in events.until("completed").await {
        assert!(!frame.raw.contains("secret") && !frame.raw.contains(&turn), "{}", frame.raw);
    }
}

/// Every route of a session that answers at once, for user `v`.
fn session_routes(turn: &str) -> [(Method, &'static str, Option<Value>); 9] {
    let decision = json!([{"callId": "c", "argumentsHash": "h", "type": "reject"}]);
    [
        (Method::GET, "/v1/sessions/{}", None),
        (Method::PATCH, "/v1/sessions/{}", Some(json!({"title": "t"}))),
        (Method::GET, "/v1/sessions/{}/turns", None),
        (Method::POST, "/v1/sessions/{}/cancel", Some(json!({}))),
        (Method::POST, "/v1/sessions/{}/cancel", Some(json!({"turnId": turn}))),
        (
            Method::POST,
            "/v1/sessions/{}/decisions",
            Some(json!({"turnId": turn, "decisions": decision})),
        ),
        (Method::GET, "/agent/status/v/{}", None),
        (Method::DELETE, "/agent/session/v/{}", None),
        (Method::DELETE, "/v1/sessions/{}", None),
    ]
}

/// An answer without when it was made.
fn without_times(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or_default();
    for name in ["timestamp", "last_updated", "requestId"] {
        if value.get(name).is_some() {
            value[name] = Value::Null;
        }
    }
    value
}

/// An edge that takes API keys, and tokens of these signers.
async fn edge_of(keys: &Keys, signers: &[&Signer]) -> Edge {
    let path = keys.beside("jwks.json", &set(signers));
    let source = Source::Jwks(path.to_str().unwrap().to_owned());
    let failures = NonZeroU32::new(1000).unwrap();
    let config = keys.config(Some(jwt(source))).await;
    Edge::with(Config { failures, ..config }).await
}

#[tokio::test]
async fn tokens_of_every_allowed_algorithm_are_taken() {
    let signers = [Signer::rsa("rsa"), Signer::ec("ec"), Signer::ed("ed")];
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let edge = edge_of(&keys, &signers.each_ref()).await;
    for signer in &signers {
        assert_eq!(status(&edge, &signer.token("u")).await, 200, "{:?}", signer.algorithm);
    }
    assert_eq!(status(&edge, &key).await, 200);
    let secret = keys.beside("secret", "0123456789abcdef0123456789abcdef\n");
    let edge = Edge::with(keys.config(Some(jwt(Source::Secret(secret)))).await).await;
    let signed = EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef");
    let token = encode(&Header::default(), &claims("u"), &signed).unwrap();
    assert_eq!(status(&edge, &token).await, 200);
    assert_eq!(status(&edge, &signers[0].token("u")).await, 401);
}

/// A token without a signature, or with any.
fn unsigned(header: &Value, signature: &str) -> String {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
    let part = |it: &Value| BASE64.encode(it.to_string());
    format!("{}.{}.{signature}", part(header), part(&claims("u")))
}

/// What others make of the public keys, and of good tokens.
fn forged(rsa: &Signer, good: &str) -> Vec<String> {
    let foreign = Signer::rsa("rsa");
    let hs = |secret: &[u8]| {
        let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims("u"), &EncodingKey::from_secret(secret)).unwrap()
    };
    let named =
        |name: &str| rsa.sign(&Header { kid: Some(name.to_owned()), ..rsa.header() }, &claims("u"));
    let url = || Some("http://127.0.0.1:9/keys".to_owned());
    let embedded = serde_json::from_value(foreign.jwk.clone()).unwrap();
    let (_, signature) = good.rsplit_once('.').unwrap();
    vec![
        unsigned(&json!({"alg": "none"}), ""),
        unsigned(&json!({"alg": "None", "kid": "rsa"}), signature),
        unsigned(&json!({"kid": "rsa"}), signature),
        unsigned(&json!({"alg": "HS256", "kid": "rsa"}), ""),
        hs(rsa.public.public_key_pem().as_bytes()),
        hs(rsa.public.public_key_raw()),
        hs(rsa.jwk["n"].as_str().unwrap().as_bytes()),
        hs(b""),
        named("ec"),
        named("other"),
        named("../../x"),
        named("rsa\u{0}"),
        rsa.sign(&Header { kid: None, ..rsa.header() }, &claims("u")),
        rsa.sign(&Header { alg: Algorithm::RS512, ..rsa.header() }, &claims("u")),
        rsa.sign(&Header { alg: Algorithm::PS256, ..rsa.header() }, &claims("u")),
        rsa.sign(&Header { jku: url(), ..rsa.header() }, &claims("u")),
        rsa.sign(&Header { x5u: url(), ..rsa.header() }, &claims("u")),
        foreign.sign(&Header { jwk: Some(embedded), ..foreign.header() }, &claims("u")),
        foreign.token("u"),
        good.replace(signature, &signature.chars().rev().collect::<String>()),
        format!("{good}.{signature}"),
        "a".repeat(8193),
    ]
}

#[tokio::test]
async fn every_forged_token_is_refused() {
    let [rsa, ec, ed] = [Signer::rsa("rsa"), Signer::ec("ec"), Signer::ed("ed")];
    let keys = Keys::new();
    let (key, text) = keys.make("u", Role::User);
    let (_, other) = keys.make("v", Role::User);
    let edge = edge_of(&keys, &[&rsa, &ec, &ed]).await;
    let good = rsa.token("u");
    let mut tokens = forged(&rsa, &good);
    tokens.extend([
        key.id.clone(),
        format!("weir_{}_{}", key.id, &other[other.len() - 43..]),
        text.replace(&key.id, "000000000000"),
        text.to_uppercase(),
        format!("{text}x"),
        "weir_".to_owned(),
    ]);
    for token in tokens {
        let answer = edge.get(PATH).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{token}");
        refused(answer, INVALID).await;
    }
    assert_eq!(status(&edge, &good).await, 200);
    assert_eq!(status(&edge, &text).await, 200);
}

#[tokio::test]
async fn every_claim_that_does_not_fit_is_refused() {
    let signer = Signer::ec("ec");
    let keys = Keys::new();
    let edge = {
        keys.make("u", Role::User);
        edge_of(&keys, &[&signer]).await
    };
    for (name, value, expected) in [
        ("exp", json!(now() - 600), 401),
        ("exp", Value::Null, 401),
        ("nbf", json!(now() + 600), 401),
        ("iss", json!("https://evil.example"), 401),
        ("iss", Value::Null, 401),
        ("aud", json!("other"), 401),
        ("aud", Value::Null, 401),
        ("sub", Value::Null, 401),
        ("sub", json!("a\nb"), 401),
        ("nbf", json!(now() - 600), 200),
        ("aud", json!(["other", "weir"]), 200),
    ] {
        let mut claims = claims("u");
        claims[name] = value.clone();
        let token = signer.sign(&signer.header(), &claims);
        assert_eq!(status(&edge, &token).await, expected, "{name} {value}");
    }
    let mut claims = claims("root");
    claims["role"] = json!("operator");
    let operator = signer.sign(&signer.header(), &claims);
    let read = edge.get("/v1/sessions?userId=u").bearer_auth(operator);
    assert_eq!(read.send().await.unwrap().status(), 200);
    let read = edge.get("/v1/sessions?userId=u").bearer_auth(signer.token("v"));
    assert_eq!(read.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_credential_is_one_bearer_header_and_never_in_the_url() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    for header in [format!("Basic {key}"), key.clone(), "Bearer".to_owned(), format!("Token {key}")]
    {
        let answer = edge.get(PATH).header("authorization", header).send().await.unwrap();
        refused(answer, INVALID).await;
    }
    let twice = format!(
        "GET {PATH} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         authorization: Bearer {key}\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    let answer = raw(edge.address, twice.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    for name in ["access_token", "token", "api_key", "ticket"] {
        for path in [PATH, "/v1/memories", "/v1/models"] {
            let path = format!("{path}?{name}={key}");
            let bare = edge.get(&path).send().await.unwrap();
            assert_eq!(bare.status(), 400, "{path}");
            let said = bare.text().await.unwrap();
            assert!(said.contains("Authorization header") && !said.contains(&key), "{said}");
            let both = edge.get(&path).bearer_auth(&key).send().await.unwrap();
            assert_eq!(both.status(), 400, "{path}");
        }
    }
}

#[tokio::test]
async fn who_shows_many_bad_credentials_waits_and_others_there_do_not() {
    let keys = Keys::new();
    let (_, key) = keys.make("u", Role::User);
    let failures = NonZeroU32::new(3).unwrap();
    let edge = Edge::with(Config { failures, ..keys.config(None).await }).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(status(&edge, "wrong").await);
    }
    assert_eq!(answers, [401, 401, 401, 429, 429]);
    assert_eq!(status(&edge, &key).await, 200);
    // Nothing shown is no guess.
    assert_eq!(edge.get(PATH).send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn streams_end_when_their_key_is_revoked_and_the_turn_goes_on() {
    let keys = Keys::new();
    let (key, text) = keys.make("u", Role::User);
    let (_, second) = keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let open = async |key: &str| {
        let request = edge.get("/v1/sessions/s/events?after=start").bearer_auth(key);
        Frames::of(request.send().await.unwrap())
    };
    let (mut ended, mut stays) = (open(&text).await, open(&second).await);
    let ask = edge.post("/v1/sessions/s/turns", &json!({"input": "Why?"})).bearer_auth(&text);
    let turn = ask.header("accept", "text/event-stream").send();
    let (mut work, turn) = tokio::join!(edge.work(), turn);
    let mut turn = Frames::of(turn.unwrap());
    work.text("Because").await;
    for stream in [&mut ended, &mut turn, &mut stays] {
        stream.until("text").await;
    }
    keys.file.revoke(&key.id).unwrap();
    // A session's stream ends; that of a turn is cut, so that nobody takes it for
    // the turn's end.
    ended.until("auth_expired").await;
    assert_eq!(ended.next().await.unwrap(), None);
    turn.until("auth_expired").await;
    assert!(turn.next().await.is_err());
    assert_eq!(status(&edge, &text).await, 401);
    work.text(" of that").await;
    work.complete().await;
    work.settle().await;
    let rest = stays.until("completed").await;
    assert_eq!(rest[0].data["text"], " of that");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let signer = Signer::ec("ec");
    let keys = Keys::new();
    keys.make("u", Role::User);
    let edge = edge_of(&keys, &[&signer]).await;
    let mut claims = claims("u");
    // It counts for the leeway longer: 30 s.
    claims["exp"] = json!(now() - 27);
    let token = signer.sign(&signer.header(), &claims);
    let events = edge.get("/v1/sessions/s/events").bearer_auth(&token).send().await.unwrap();
    let mut events = Frames::of(events);
    events.until("auth_expired").await;
    assert_eq!(events.next().await.unwrap(), None);
    let refused = async {
        loop {
            let answer = edge.get(PATH).bearer_auth(&token).send().await.unwrap();
            if answer.status() != 200 {
                return answer;
            }
            // Times in tokens are whole seconds.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answer = timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], INVALID);
    assert_eq!(problem(answer, 401).await["detail"], "the credential has expired");
}

#[tokio::test]
async fn a_key_that_is_made_while_the_edge_runs_is_taken_soon() {
    let keys = Keys::new();
    keys.make("u", Role::User);
    let edge = Edge::with(keys.config(None).await).await;
    let (_, new) = keys.make("v", Role::User);
    let taken = async {
        while status(&edge, &new).await == 401 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE, taken).await.unwrap();
    let ask = edge.post("/v1/sessions/s/turns", &json!({"input": "q"})).bearer_auth(&new);
    let (mut work, answer) =
        tokio::join!(edge.work(), ask.header("accept", "text/event-stream").send());
    work.complete().await;
    assert_eq!(work.delivery.session.user.as_str(), "v");
    assert!(frames(&answer.unwrap().text().await.unwrap()).iter().any(|it| it.is("completed")));
}
