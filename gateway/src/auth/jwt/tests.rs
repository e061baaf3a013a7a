//! Tokens, good and hostile, by tables.

use super::*;

use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;

use crate::auth::Source;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
/// The public keys of RFC 7517, A.1, and RFC 8037, A.2.
const EC: &str = r#"{"kty":"EC","crv":"P-256","kid":"ec","use":"sig",
    "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;
const ED: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn wanted() -> Jwt {
    Jwt::new(Source::Secret("secret".into()), "issuer", "weir")
}

fn now() -> u64 {
    process::clock::now().as_secs()
}

fn judge(header: &Header, claims: &Value) -> Verdict {
    let token = encode(header, claims, &EncodingKey::from_secret(SECRET)).unwrap();
    KeySet::secret(SECRET).unwrap().judge(&token, &wanted())
}

fn good() -> Value {
    json!({"iss": "issuer", "aud": "weir", "exp": now() + 60, "sub": "u"})
}

fn claimed(changes: &Value) -> Verdict {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    judge(&Header::new(Algorithm::HS256), &claims)
}

#[test]
fn a_token_counts_between_its_times_for_its_audience() {
    let (early, late) = (now() - 20, now() + 20);
    for good in [
        json!({}),
        json!({"exp": early}),
        json!({"exp": 4e9 + 0.5}),
        json!({"nbf": late}),
        json!({"aud": ["other", "weir"]}),
        json!({"iat": late}),
    ] {
        assert!(matches!(claimed(&good), Verdict::Good(_)), "{good}");
    }
    for bad in [
        json!({"exp": null}),
        json!({"exp": "4000000000"}),
        json!({"exp": -1}),
        json!({"nbf": now() + 60}),
        json!({"nbf": "now"}),
        json!({"nbf": null}),
        json!({"aud": null}),
        json!({"aud": "other"}),
        json!({"aud": []}),
        json!({"aud": ["weir2"]}),
        json!({"aud": {"weir": 1}}),
        json!({"iss": null}),
        json!({"iss": "other"}),
        json!({"iss": ["issuer", "other"]}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": "a".repeat(1000)}),
        json!({"sub": "a\u{0}b"}),
    ] {
        assert!(matches!(claimed(&bad), Verdict::Bad(Bad::Invalid(_))), "{bad}");
    }
    for over in [now() - 60, 0] {
        assert_eq!(claimed(&json!({"exp": over})), Verdict::Bad(Bad::Expired));
    }
}

#[test]
fn only_the_word_makes_an_operator() {
    for (role, expected) in [
        (json!("operator"), Role::Operator),
        (json!(["user", "operator"]), Role::Operator),
        (json!("user"), Role::User),
        (json!("Operator"), Role::User),
        (json!("operators"), Role::User),
        (json!([["operator"]]), Role::User),
        (json!({"operator": true}), Role::User),
        (json!(true), Role::User),
        (json!(null), Role::User),
    ] {
        let Verdict::Good(claims) = claimed(&json!({"role": role})) else {
            panic!("{role} is no harm");
        };
        assert_eq!(claims.role, expected, "{role}");
    }
}

#[test]
fn a_token_that_brings_its_key_or_asks_for_more_is_invalid() {
    let plain = || Header::new(Algorithm::HS256);
    let text = || Some("https://evil.example/keys".to_owned());
    let jwk: Jwk = serde_json::from_str(EC).unwrap();
    for header in [
        Header { jku: text(), ..plain() },
        Header { x5u: text(), ..plain() },
        Header { x5c: Some(vec!["MIIB".to_owned()]), ..plain() },
        Header { jwk: Some(jwk), ..plain() },
        Header { crit: Some(vec!["b64".to_owned()]), ..plain() },
    ] {
        assert!(matches!(judge(&header, &good()), Verdict::Bad(Bad::Invalid(_))), "{header:?}");
    }
    // The one secret has no name, so that it may be called anything.
    let named = Header { kid: Some("../../x".to_owned()), ..plain() };
    assert!(matches!(judge(&named, &good()), Verdict::Good(_)));
}

#[test]
fn what_is_no_token_is_invalid() {
    let keys = KeySet::secret(SECRET).unwrap();
    let token = encode(&Header::default(), &good(), &EncodingKey::from_secret(SECRET)).unwrap();
    assert!(matches!(keys.judge(&token, &wanted()), Verdict::Good(_)));
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{token}") };
    for bad in [
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{}", &signature[1..]),
        format!("{header}.{claims}.{signature}."),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header}.{}.{signature}", &claims[1..]),
        token.replace('.', ":"),
    ] {
        assert!(matches!(keys.judge(&bad, &wanted()), Verdict::Bad(Bad::Invalid(_))), "{bad}");
    }
}

#[test]
fn a_secret_is_long_and_its_line_end_does_not_count() {
    for (secret, expected) in [
        (SECRET.to_vec(), true),
        ([SECRET, b"\r\n"].concat(), true),
        (SECRET[1..].to_vec(), false),
        ([&SECRET[1..], b"\n"].concat(), false),
        (Vec::new(), false),
    ] {
        assert_eq!(KeySet::secret(&secret).is_ok(), expected, "{secret:?}");
    }
    let token = encode(&Header::default(), &good(), &EncodingKey::from_secret(SECRET)).unwrap();
    let keys = KeySet::secret(&[SECRET, b"\n"].concat()).unwrap();
    assert!(matches!(keys.judge(&token, &wanted()), Verdict::Good(_)));
}

#[test]
fn a_set_gives_the_keys_that_verify_and_no_others() {
    let parse = |keys: &[String]| {
        let text = format!(r#"{{"keys": [{}]}}"#, keys.join(","));
        KeySet::parse(text.as_bytes()).map(|it| it.len())
    };
    let [ec, ed] = [EC, ED].map(str::to_owned);
    assert_eq!(parse(&[ec.clone(), ed.clone()]), Ok(2));
    let rsa = |n: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
    assert_eq!(parse(&[rsa(&"A".repeat(342))]), Ok(1));
    for unusable in [
        rsa(&"A".repeat(171)),
        ec.replace("\"sig\"", "\"enc\""),
        ec.replace("\"use\":\"sig\"", "\"alg\":\"ES384\""),
        ec.replace("\"use\":\"sig\"", "\"key_ops\":[\"sign\"]"),
        ec.replace("P-256", "P-384"),
        ec.replace("\"x\"", "\"z\""),
        r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
        r#"{"kty":"new"}"#.to_owned(),
        "7".to_owned(),
    ] {
        assert_eq!(parse(&[unusable.clone(), ed.clone()]), Ok(1), "{unusable}");
        assert!(parse(std::slice::from_ref(&unusable)).is_err(), "{unusable}");
    }
    assert!(parse(&vec![ec.clone(); MAX_KEYS]).is_ok());
    assert!(parse(&vec![ec; MAX_KEYS + 1]).is_err());
    for bad in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[]}", "<html>"] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_token_is_judged_by_the_key_that_it_names_or_by_the_only_one() {
    let set = |keys: &[&str]| {
        KeySet::parse(format!(r#"{{"keys": [{}]}}"#, keys.join(",")).as_bytes()).unwrap()
    };
    let chosen = |set: &KeySet, name: Option<&str>| {
        let header = Header { kid: name.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        set.choose(&header).and_then(|it| it.id.clone())
    };
    let (one, both) = (set(&[EC]), set(&[EC, ED]));
    assert_eq!(chosen(&one, None).as_deref(), Some("ec"));
    assert_eq!(chosen(&one, Some("other")), None);
    assert_eq!(chosen(&both, None), None);
    assert_eq!(chosen(&both, Some("ed")).as_deref(), Some("ed"));
    for name in ["", "ED", "../../ed", "ed\u{0}"] {
        assert_eq!(chosen(&both, Some(name)), None, "{name}");
    }
}
