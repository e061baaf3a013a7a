//! API keys: `weir_<id>_<secret>`. What is known of each is its id, the SHA-256
//! of its secret, and whose it is: who reads that cannot be anybody.
//!
//! Secrets have 32 random bytes, so that a fast hash is enough: there is no
//! dictionary of them.

mod file;

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use proto::UserId;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

pub use file::{Error, File};

/// How every key begins.
pub(crate) const PREFIX: &str = "weir_";
/// Random bytes of an id, which is twice as many hexadecimal digits.
const ID_BYTES: usize = 6;
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// The same, in characters.
const SECRET_LENGTH: usize = 43;
/// The longest label, in characters.
const MAX_LABEL: usize = 200;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything with its own sessions and memories.
    #[default]
    User,
    /// The same with everybody's.
    Operator,
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash([u8; 32]);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// What it is called: twelve hexadecimal digits.
    pub id: String,
    pub(crate) hash: Hash,
    /// Who asks with it.
    pub user: UserId,
    /// What he may do.
    pub role: Role,
    /// What it is for, in the words of who made it.
    pub label: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops counting; never when absent.
    pub expires: Option<Timestamp>,
}

/// A key that is to be made.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who will ask with it.
    pub user: UserId,
    /// What he may do.
    pub role: Role,
    /// What it is for: up to 200 characters, on one line.
    pub label: Option<String>,
    /// When it stops counting.
    pub expires: Option<Timestamp>,
}

impl Hash {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Of nothing that anybody could show.
    pub(crate) const fn of_nothing() -> Self {
        Self([0; 32])
    }

    /// Compares in a time that says nothing.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
            return None;
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

impl Key {
    /// Makes a key; the text is the only place that has its secret.
    fn make(wanted: Wanted, now: Timestamp) -> Result<(Self, SecretString), Error> {
        let id = hexadecimal(&random::<ID_BYTES>()?);
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random::<SECRET_BYTES>()?);
        let text = format!("{PREFIX}{id}_{secret}");
        let hash = Hash::of(&secret);
        let Wanted { user, role, label, expires } = wanted;
        Ok((Self { id, hash, user, role, label, created: now, expires }, text.into()))
    }

    /// Whether it has stopped to count.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|it| it <= now)
    }
}

/// The id and the secret in the text of a key.
pub(crate) fn parts(text: &str) -> Option<(&str, &str)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let spelled = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    let plain = is_id(id) && secret.len() == SECRET_LENGTH && secret.bytes().all(spelled);
    plain.then_some((id, secret))
}

fn is_id(text: &str) -> bool {
    let digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    text.len() == 2 * ID_BYTES && text.bytes().all(digit)
}

fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_LABEL && !text.chars().any(char::is_control)
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn wanted() -> Wanted {
        Wanted { user: "u".parse().unwrap(), role: Role::User, label: None, expires: None }
    }

    #[test]
    fn a_key_is_made_of_its_id_and_a_secret_that_only_its_text_has() {
        let (key, text) = Key::make(wanted(), Timestamp::UNIX_EPOCH).unwrap();
        let (id, secret) = parts(text.expose_secret()).unwrap();
        assert_eq!(id, key.id);
        assert!(key.hash.is(&Hash::of(secret)));
        assert!(!key.hash.is(&Hash::of(&secret[1..])));
        assert!(!format!("{key:?}{text:?}").contains(secret));
        let (other, _) = Key::make(wanted(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(key.id != other.id && key.hash != other.hash);
    }

    #[test]
    fn a_hash_reads_back_and_is_what_other_tools_make() {
        let hash = Hash::of("abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_string(), text);
        assert_eq!(Hash::parse(text), Some(hash));
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &"é".repeat(32)]
        {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_could_be_a_key_is_looked_up() {
        let secret = "_-".repeat(21) + "a";
        let good = format!("weir_0123456789ab_{secret}");
        assert_eq!(parts(&good), Some(("0123456789ab", secret.as_str())));
        for bad in [
            "",
            "weir_",
            "weir__",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}a"),
            &good.replace("0123456789ab", "0123456789AB"),
            &good.replace("0123456789ab", "../../../../x"),
            &format!("weir_0123456789ab_{}=", &secret[1..]),
            &good.replace("weir", "Weir"),
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
