//! Where secrets are, and how they are fetched. An error names the place and
//! never what was found there.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The most bytes that a file with a secret may have.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

/// A value as the file has it: a text, or where to find it.
#[derive(Debug, Clone)]
pub(super) enum Written {
    /// The text itself.
    Plain(SecretString),
    /// In a variable of the environment, or in a file.
    Elsewhere(Elsewhere),
}

/// Where a value is; exactly one of the two.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Elsewhere {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
}

/// What may stand in `env` and `headers`.
pub(super) const WRITTEN: &str = "a text, { env = \"NAME\" } or { file = \"PATH\" }";

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WRITTEN)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written::Plain(text.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
        Elsewhere::deserialize(MapAccessDeserializer::new(map)).map(Written::Elsewhere)
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Reading)
    }
}

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(_) => target.serialize_str("********"),
            Self::Elsewhere(place) => place.serialize(target),
        }
    }
}

/// A URL that may hold a name and a password, which are not written again.
#[derive(Debug, Clone)]
pub(super) struct Address(pub(super) SecretString);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source).map(|it| Self(it.into()))
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        let url = self.0.expose_secret();
        match url.rsplit_once('@') {
            None => target.serialize_str(url),
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                target.serialize_str(&format!("{scheme}://********@{host}"))
            }
        }
    }
}

/// The value of a variable, by its name.
pub(super) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a variable holds.
pub(super) fn variable(name: &str, variables: Variables<'_>) -> Result<SecretString, String> {
    if !is_variable(name) {
        // It may be the secret itself, written in the wrong place.
        return Err("must be the name of an environment variable, not its value: letters, \
                    digits and _"
            .to_owned());
    }
    let value = variables(name).filter(|it| !it.trim().is_empty());
    value.map(SecretString::from).ok_or_else(|| format!("the variable {name} is not set"))
}

/// What a file holds, without the space around it.
pub(super) fn file(path: &Path) -> Result<SecretString, String> {
    let text = text(path, MAX_BYTES)?;
    match text.trim() {
        "" => Err(format!("the file {} is empty", path.display())),
        secret => Ok(secret.into()),
    }
}

/// A file's text, of at most `most` bytes.
pub(super) fn text(path: &Path, most: u64) -> Result<String, String> {
    let name = path.display();
    let unreadable = |error: std::io::Error| format!("the file {name} cannot be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|it| it > most) {
        return Err(format!("the file {name} must have at most {} KiB", most / 1024));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|it| *it == b'\n');
        format!("the file {name} is not UTF-8 in line {}", line.count())
    })
}

pub(super) fn is_variable(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit()) && name.len() <= 128
}
