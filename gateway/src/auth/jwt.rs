//! JSON Web Tokens: what is asked of them. Pure: no file, no network.
//!
//! The algorithm is that of the key, whatever the token says, and the key is one
//! of those that the operator named: what a token says of where its key is to be
//! found makes it invalid.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use proto::UserId;
use serde_json::{Map, Value};

use super::keys::Role;
use super::{Bad, Jwt};

/// How far clocks may be apart: tokens count so much longer, and so much earlier.
pub(super) const LEEWAY_SECONDS: u64 = 30;
/// The shortest secret of HS256, in bytes (RFC 7518, 3.2).
const SECRET_BYTES: usize = 32;
/// The shortest RSA modulus, in base64url: 2048 bits.
const MODULUS_LENGTH: usize = 342;
/// Keys in a set.
const MAX_KEYS: usize = 64;

/// The keys that tokens may be signed with.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Whether the keys have names at all.
    named: bool,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// What a good token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) user: UserId,
    pub(super) role: Role,
    /// In seconds since the epoch, without the leeway.
    pub(super) expires: u64,
}

/// What the keys say about a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(Claims),
    Bad(Bad),
    /// None of them is called so: there may be newer ones.
    UnknownKey,
}

impl KeySet {
    /// One secret that both sides have.
    pub(super) fn secret(secret: &[u8]) -> Result<Self, String> {
        let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        if secret.len() < SECRET_BYTES {
            return Err(format!("a secret must have {SECRET_BYTES} bytes, not {}", secret.len()));
        }
        let decoding = DecodingKey::from_secret(secret);
        let key = Key { id: None, algorithm: Algorithm::HS256, decoding };
        Ok(Self { keys: vec![key], named: false })
    }

    /// A JSON Web Key Set (RFC 7517). Keys for other purposes are left out.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let keys = set["keys"].as_array().ok_or("must have a list of keys")?;
        if keys.len() > MAX_KEYS {
            return Err(format!("may have {MAX_KEYS} keys, not {}", keys.len()));
        }
        let mut usable = Vec::new();
        for value in keys {
            let name = value["kid"].as_str().unwrap_or("without a name");
            match key(value) {
                Ok(key) => usable.push(key),
                Err(why) => tracing::debug!(key = name, why, "a key is not for verifying tokens"),
            }
        }
        if usable.is_empty() {
            return Err("has no key for RS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self { keys: usable, named: true })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Judges a token.
    pub(super) fn judge(&self, token: &str, wanted: &Jwt) -> Verdict {
        let Ok(header) = decode_header(token) else {
            return Verdict::Bad(Bad::Invalid("it is no JWT of a known algorithm"));
        };
        if points_elsewhere(&header) {
            return Verdict::Bad(Bad::Invalid("its header says where its key is"));
        }
        let key = match self.choose(&header) {
            Some(key) if key.algorithm == header.alg => key,
            Some(_) => return Verdict::Bad(Bad::Invalid("its algorithm is not that of its key")),
            None if header.kid.is_some() => return Verdict::UnknownKey,
            None => return Verdict::Bad(Bad::Invalid("it names none of several keys")),
        };
        let decoded = decode(token, &key.decoding, &validation(key.algorithm, wanted));
        match decoded {
            Ok(token) => match claims(&token.claims, wanted) {
                Ok(claims) => Verdict::Good(claims),
                Err(why) => Verdict::Bad(Bad::Invalid(why)),
            },
            Err(error) => Verdict::Bad(bad(error.kind())),
        }
    }

    fn choose(&self, header: &Header) -> Option<&Key> {
        match (&header.kid, self.keys.as_slice()) {
            (None, [only]) => Some(only),
            (Some(_), [only]) if !self.named => Some(only),
            (None, _) => None,
            (Some(_), keys) => keys.iter().find(|it| it.id == header.kid),
        }
    }
}

fn key(value: &Value) -> Result<Key, &'static str> {
    let jwk: Jwk = serde_json::from_value(value.clone()).map_err(|_it| "it cannot be read")?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("it is for something else");
    }
    let operations = jwk.common.key_operations.as_deref();
    if operations.is_some_and(|it| !it.contains(&KeyOperations::Verify)) {
        return Err("it is for something else");
    }
    let (algorithm, said) = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if key.n.trim_end_matches('=').len() >= MODULUS_LENGTH => {
            (Algorithm::RS256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::RSA(_) => return Err("it is shorter than 2048 bits"),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(_) | AlgorithmParameters::OctetKeyPair(_) => {
            return Err("its curve is neither P-256 nor Ed25519");
        }
        AlgorithmParameters::OctetKey(_) | AlgorithmParameters::Other(_) | _ => {
            return Err("it is of another kind");
        }
    };
    if jwk.common.key_algorithm.is_some_and(|it| it != said) {
        return Err("it is for another algorithm");
    }
    let decoding = DecodingKey::from_jwk(&jwk).map_err(|_it| "it is not well formed")?;
    Ok(Key { id: jwk.common.key_id, algorithm, decoding })
}

/// Whether a token brings its key, or says where to fetch it; or has what must
/// be understood and is not.
fn points_elsewhere(header: &Header) -> bool {
    let Header { jku, x5u, jwk, x5c, crit, .. } = header;
    jku.is_some() || x5u.is_some() || jwk.is_some() || x5c.is_some() || crit.is_some()
}

fn validation(algorithm: Algorithm, wanted: &Jwt) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[&wanted.issuer]);
    validation.set_audience(&[&wanted.audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation
}

fn bad(kind: &ErrorKind) -> Bad {
    if matches!(kind, ErrorKind::ExpiredSignature) {
        return Bad::Expired;
    }
    let known = [
        (matches!(kind, ErrorKind::InvalidSignature), "its signature is wrong"),
        (matches!(kind, ErrorKind::InvalidIssuer), "it is of another issuer"),
        (matches!(kind, ErrorKind::InvalidAudience), "it is for another audience"),
        (matches!(kind, ErrorKind::ImmatureSignature), "it does not count yet"),
        (matches!(kind, ErrorKind::MissingRequiredClaim(_)), "it lacks exp, iss or aud"),
    ];
    let why = known.into_iter().find_map(|(is, why)| is.then_some(why));
    Bad::Invalid(why.unwrap_or("it is malformed"))
}

fn claims(claims: &Map<String, Value>, wanted: &Jwt) -> Result<Claims, &'static str> {
    let user = claims.get(&wanted.user_claim).and_then(Value::as_str);
    let user = user.ok_or("it does not say who asks")?;
    let user = user.parse().map_err(|_why| "its user cannot be one")?;
    let role = match claims.get(&wanted.role_claim) {
        Some(Value::Array(roles)) if roles.iter().any(is_operator) => Role::Operator,
        Some(role) if is_operator(role) => Role::Operator,
        Some(_) | None => Role::User,
    };
    if !claims.get("iss").is_some_and(Value::is_string) {
        return Err("it has several issuers");
    }
    let expires = claims.get("exp").and_then(seconds).ok_or("it has no time")?;
    Ok(Claims { user, role, expires })
}

fn is_operator(role: &Value) -> bool {
    role.as_str() == Some("operator")
}

/// Whole seconds of a time that may have a fraction.
fn seconds(time: &Value) -> Option<u64> {
    let whole = time.as_u64();
    whole.or_else(|| format!("{:.0}", time.as_f64()?.floor()).parse().ok())
}

#[cfg(test)]
mod tests;
