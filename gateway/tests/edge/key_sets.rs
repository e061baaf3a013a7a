//! Keys of tokens that are elsewhere: when they are fetched, and what is refused.

use std::num::NonZeroU32;
use std::time::Duration;

use gateway::Config;
use gateway::auth::keys::Role;
use gateway::auth::{self, Jwt, Source, Verifier};
use jsonwebtoken::Header;
use tokio::time::timeout;

use crate::harness::{Edge, PATIENCE};
use crate::tokens::{Keys, Server, Signer, claims, jwt, set, status};

#[tokio::test]
async fn a_flood_of_unknown_keys_fetches_nothing() {
    let signer = Signer::ec("one");
    let server = Server::start(set(&[&signer])).await;
    let keys = Keys::new();
    keys.make("u", Role::User);
    let failures = NonZeroU32::new(1000).unwrap();
    let config = keys.config(Some(jwt(server.source()))).await;
    let edge = Edge::with(Config { failures, ..config }).await;
    assert_eq!(server.fetched(), 1);
    for number in 0..100 {
        let header = Header { kid: Some(number.to_string()), ..signer.header() };
        assert_eq!(status(&edge, &signer.sign(&header, &claims("u"))).await, 401);
        assert_eq!(status(&edge, &signer.token("u")).await, 200);
    }
    assert_eq!(server.fetched(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_old_ones_stay_when_that_fails() {
    let [one, two] = [Signer::ec("one"), Signer::ed("two")];
    let server = Server::start(set(&[&one])).await;
    let keys = Keys::new();
    keys.make("u", Role::User);
    let jwt = Jwt { pause: Duration::ZERO, ..jwt(server.source()) };
    let edge = Edge::with(keys.config(Some(jwt)).await).await;
    for (answer, text) in [(500, String::new()), (200, "<html>".to_owned()), (302, set(&[&two]))] {
        server.answer(answer, text);
        let before = server.fetched();
        assert_eq!(status(&edge, &two.token("u")).await, 401, "{answer}");
        assert_eq!(server.fetched(), before + 1, "{answer}");
        assert_eq!(status(&edge, &one.token("u")).await, 200, "{answer}");
    }
    server.answer(200, set(&[&two]));
    assert_eq!(status(&edge, &two.token("u")).await, 200);
    assert_eq!(status(&edge, &one.token("u")).await, 401);
}

#[tokio::test]
async fn a_key_set_that_cannot_be_had_at_the_start_is_an_error_that_says_so() {
    let server = Server::start(String::new()).await;
    let open = async |source: Source| {
        let config = auth::Config { keys: None, jwt: Some(jwt(source)) };
        let opened = timeout(PATIENCE, Verifier::open(&config)).await.unwrap();
        opened.unwrap_err().to_string()
    };
    let huge = format!("{{\"keys\": [\"{}\"]}}", "a".repeat(300_000));
    for (status, text, expected) in [
        (404, String::new(), "answers 404"),
        (302, String::new(), "answers 302"),
        (200, "<html>".to_owned(), "expected value"),
        (200, "{\"keys\": []}".to_owned(), "has no key"),
        (200, huge, "is larger than"),
    ] {
        server.answer(status, text);
        let said = open(server.source()).await;
        assert!(said.starts_with(&server.url) && said.contains(expected), "{said}");
    }
    let said = open(Source::Jwks("http://id.example.org/keys".to_owned())).await;
    assert!(said.contains("must be https://"), "{said}");
    let said = open(Source::Jwks("/nowhere/keys.json".to_owned())).await;
    assert!(said.starts_with("/nowhere/keys.json: "), "{said}");
    let said = open(Source::Jwks("http://127.0.0.1:9/keys".to_owned())).await;
    assert!(said.contains("cannot be fetched"), "{said}");
}
