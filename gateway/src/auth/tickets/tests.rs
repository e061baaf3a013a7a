//! Tickets of every purpose, and those that are none.

use super::*;

use broker::sqlite::Place;

fn principal_of(source: Source, left: Option<Duration>) -> Principal {
    let ends = Ends { at: left.map(|it| Instant::now() + it), revoked: None };
    Principal::known("u".parse().unwrap(), Role::Operator, ends).from(source)
}

#[tokio::test]
async fn gateways_that_start_at_once_share_one_secret() {
    let broker = broker::sqlite::open(Place::Memory, broker::Limits::default()).await.unwrap();
    let records = broker.records.as_ref();
    let found = futures::future::join_all((0..8).map(|_| secret(records))).await;
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    assert_eq!(found[0].len(), SECRET_BYTES);
    assert!(found.iter().all(|it| *it == found[0]));
    let key = Key::secret(SECRET);
    let short = Bytes::from_static(b"short");
    records.put(Bucket::Secrets, &key, short, Expected::Any).await.unwrap();
    assert!(matches!(secret(records).await, Err(broker::Error::Corrupt(_))));
}

#[tokio::test]
async fn a_ticket_lasts_a_minute_and_not_longer_than_its_credential() {
    let now = process::clock::now().as_secs();
    for (left, expected) in [(None, 60), (Some(3600), 60), (Some(10), 10), (Some(0), 0)] {
        let principal = principal_of(Source::Token, left.map(Duration::from_secs));
        let claims = claims(&principal, &"u".parse().unwrap(), Purpose::Events);
        assert!((now + expected..=now + expected + 5).contains(&claims.exp), "{left:?}");
        assert_eq!(claims.ends.is_some(), left.is_some());
    }
}

#[tokio::test]
async fn an_operators_ticket_for_somebody_else_opens_his_things_only() {
    let principal = principal_of(Source::Token, Some(VALID));
    for (user, expected) in [("u", Role::Operator), ("v", Role::User)] {
        let claims = claims(&principal, &user.parse().unwrap(), Purpose::Events);
        assert_eq!((claims.user.as_str(), claims.role), (user, expected));
    }
}

#[tokio::test]
async fn a_ticket_that_no_credential_made_counts_only_without_authentication() {
    let made = |source, left| {
        let principal = principal_of(source, left);
        claims(&principal, &"u".parse().unwrap(), Purpose::Events)
    };
    let off = Verifier::default();
    assert!(principal(&off, made(Source::Nothing, None)).is_ok());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    std::fs::write(&file, "version = 1\n").unwrap();
    let config = super::super::Config { keys: Some(file), jwt: None };
    let keys = Verifier::open(&config).await.unwrap();
    for claims in [
        made(Source::Nothing, None),
        // This gateway takes no tokens, and does not know the key.
        made(Source::Token, Some(VALID)),
        made(Source::Key("0123456789ab".into()), None),
    ] {
        assert!(principal(&keys, claims.clone()).is_err(), "{claims:?}");
    }
}

#[tokio::test]
async fn a_ticket_does_not_outlive_its_key_whose_end_came_nearer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let key = Source::Key("0123456789ab".into());
    let made = claims(&principal_of(key, None), &"u".parse().unwrap(), Purpose::Events);
    let hour = Timestamp::from_second(now().as_second() + 3600).unwrap();
    for (expires, expected) in [
        (None, Ok(false)),
        (Some(hour), Ok(true)),
        (Some(Timestamp::UNIX_EPOCH), Err(Bad::Expired)),
    ] {
        let expires = expires.map(|it| format!("expires = \"{it}\"\n")).unwrap_or_default();
        let row = format!(
            "version = 1\n[[keys]]\nid = \"0123456789ab\"\nsha256 = \"{hash}\"\nuser = \"u\"\n\
             role = \"operator\"\ncreated = \"2026-01-02T03:04:05Z\"\n{expires}"
        );
        std::fs::write(&file, row).unwrap();
        let config = super::super::Config { keys: Some(file.clone()), jwt: None };
        let keys = Verifier::open(&config).await.unwrap();
        let judged = principal(&keys, made.clone());
        let ends = judged.map(|it| it.ends().at);
        let soon = Instant::now() + Duration::from_secs(3601);
        assert_eq!(ends.map(|it| it.is_some_and(|it| it < soon)), expected, "{expires}");
    }
}
