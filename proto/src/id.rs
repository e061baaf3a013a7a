//! Ids as clients write them, checked once at the edge.
//!
//! A user or session id is any UTF-8 text of 1 to 128 bytes without control
//! characters; a turn id is a UUID. Refuses everything else by name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The longest user or session id, in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More than [`MAX_ID_BYTES`] bytes.
    #[error("must be at most {MAX_ID_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// A control character, at this byte.
    #[error("must not contain control characters (byte {0})")]
    Control(usize),
    /// Not a UUID.
    #[error("must be a UUID")]
    NotUuid,
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(InvalidId::Control(at)),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as the client wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id!(
    /// Who asks.
    UserId
);
text_id!(
    /// One conversation, as its user names it.
    SessionId
);

/// One conversation of one user: two users may use the same session id and
/// never meet.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// Whose it is.
    pub user: UserId,
    /// Which of theirs.
    pub id: SessionId,
}

impl Session {
    /// Parses both parts; the error names the field that is wrong.
    pub fn parse(user: &str, session: &str) -> Result<Self, (&'static str, InvalidId)> {
        Ok(Self {
            user: user.parse().map_err(|e| ("userId", e))?,
            id: session.parse().map_err(|e| ("sessionId", e))?,
        })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.user, self.id)
    }
}

/// One question and everything that happens until it ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TurnId(Uuid);

impl TurnId {
    /// A new id (UUID v7: later ids sort later).
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that a client's idempotency key always makes for this user
    /// (UUID v5), so that a repeated submit names the same turn.
    pub fn from_key(user: &UserId, key: &str) -> Self {
        let space = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:weir:turn");
        let owner = Uuid::new_v5(&space, user.as_str().as_bytes());
        Self(Uuid::new_v5(&owner, key.as_bytes()))
    }

    /// The id of the turn that asks once more what this one asked, and why: the
    /// same words make the same id (UUID v5), so that doing it twice does it once.
    #[must_use]
    pub fn again(self, why: &str) -> Self {
        Self(Uuid::new_v5(&self.0, why.as_bytes()))
    }
}

impl Default for TurnId {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for TurnId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId::Empty);
        }
        match Uuid::try_parse(text) {
            Ok(id) => Ok(Self(id)),
            Err(_) => Err(InvalidId::NotUuid),
        }
    }
}

impl fmt::Display for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for TurnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_1_to_128_bytes_without_control_characters_are_valid() {
        for good in ["a", "a.b", "*", ">", "用户", &"x".repeat(128)] {
            assert_eq!(good.parse::<UserId>().unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        for (bad, why) in [
            ("", InvalidId::Empty),
            (long.as_str(), InvalidId::TooLong(129)),
            ("a\nb", InvalidId::Control(1)),
            ("a\u{85}", InvalidId::Control(1)),
        ] {
            assert_eq!(bad.parse::<SessionId>().unwrap_err(), why);
        }
    }

    #[test]
    fn asking_again_for_the_same_reason_is_the_same_turn() {
        let (turn, other) = (TurnId::new(), TurnId::new());
        assert_eq!(turn.again("a"), turn.again("a"));
        assert_ne!(turn.again("a"), turn.again("b"));
        assert_ne!(turn.again("a"), other.again("a"));
        assert_ne!(turn.again("a"), turn);
    }

    #[test]
    fn a_key_always_names_the_same_turn_of_the_same_user() {
        let (ann, bob) = ("ann".parse().unwrap(), "bob".parse().unwrap());
        assert_eq!(TurnId::from_key(&ann, "k"), TurnId::from_key(&ann, "k"));
        assert_ne!(TurnId::from_key(&ann, "k"), TurnId::from_key(&bob, "k"));
        assert_ne!(TurnId::from_key(&ann, "k"), TurnId::from_key(&ann, "l"));
    }
}
