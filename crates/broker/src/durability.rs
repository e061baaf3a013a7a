//! What an acknowledgement is worth, as a type: shown by the status page, and
//! refused at start when the broker cannot give what is asked for.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Error, Result};

/// What "stored" means at most. As something asked for it is the least that
/// must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// In memory: gone with the process.
    Memory,
    /// In files: survives kill -9, and a power cut except for its last moments.
    Disk,
    /// In files on two servers at least: survives the loss of one.
    Replicated,
    /// Written through to every disk that counts before it is acknowledged:
    /// survives a power cut of all servers. Says nothing about how many.
    Fsynced,
}

impl Durability {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Disk, Self::Replicated, Self::Fsynced];

    /// Its name in flags and on the status page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Replicated => "replicated",
            Self::Fsynced => "fsynced",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or_else(|| "must be memory, disk, replicated or fsynced".to_owned())
    }
}

/// When what was acknowledged is safe from a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// Before it is acknowledged.
    Always,
    /// So long after it was acknowledged, at the latest.
    Within(Duration),
    /// Never: it is in memory.
    Never,
    /// It cannot be known, and why.
    Unknown(String),
}

/// What a broker is and what its acknowledgements are worth, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `embedded`, `ephemeral` or `nats`.
    pub kind: &'static str,
    /// Where it is: a folder, or servers with their version.
    pub place: String,
    /// What "stored" means, in a sentence.
    pub durability: String,
    /// The same as one of four words.
    pub level: Durability,
    /// On how many machines everything is kept.
    pub copies: usize,
    /// When it is safe from a power cut.
    pub synced: Synced,
}

impl Profile {
    /// Refuses a broker that gives less than is asked for, or of which it
    /// cannot be known.
    ///
    /// Errors: [`Error::Unsuitable`] with what is given and why it is too little.
    pub fn require(&self, least: Durability) -> Result<()> {
        let stored = self.level != Durability::Memory;
        let why = match (least, &self.synced) {
            (Durability::Memory, _) | (Durability::Fsynced, Synced::Always) => return Ok(()),
            (Durability::Disk, _) if stored => return Ok(()),
            (Durability::Replicated, _) if stored && self.copies > 1 => return Ok(()),
            (Durability::Disk, _) => "it is kept in memory".to_owned(),
            (Durability::Replicated, _) => format!("it is kept on {} machine", self.copies),
            (Durability::Fsynced, Synced::Within(window)) => {
                format!("it reaches the disk up to {window:?} after it is acknowledged")
            }
            (Durability::Fsynced, Synced::Never) => "it never reaches a disk".to_owned(),
            (Durability::Fsynced, Synced::Unknown(why)) => {
                format!("whether it is synced cannot be known: {why}")
            }
        };
        Err(Error::Unsuitable(format!(
            "durability {least} is asked for, but the {} broker at {} does not give it: {why}",
            self.kind, self.place
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(level: Durability, copies: usize, synced: Synced) -> Profile {
        let (place, durability) = (String::new(), String::new());
        Profile { kind: "nats", place, durability, level, copies, synced }
    }

    #[test]
    fn what_is_asked_for_is_given_or_refused() {
        use Durability::{Disk, Fsynced, Memory, Replicated};
        let minutes = Synced::Within(Duration::from_mins(2));
        let unknown = Synced::Unknown("nobody says".to_owned());
        let table = [
            (profile(Memory, 1, Synced::Never), vec![Memory]),
            (profile(Disk, 1, minutes.clone()), vec![Memory, Disk]),
            (profile(Disk, 1, unknown.clone()), vec![Memory, Disk]),
            (profile(Replicated, 3, minutes), vec![Memory, Disk, Replicated]),
            (profile(Replicated, 3, unknown), vec![Memory, Disk, Replicated]),
            (profile(Fsynced, 1, Synced::Always), vec![Memory, Disk, Fsynced]),
            (profile(Fsynced, 3, Synced::Always), Durability::ALL.to_vec()),
        ];
        for (profile, given) in table {
            for least in Durability::ALL {
                let answer = profile.require(least);
                assert_eq!(answer.is_ok(), given.contains(&least), "{profile:?} {least}");
            }
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let why = Synced::Unknown("nobody says".to_owned());
        let error = profile(Durability::Disk, 1, why).require(Durability::Fsynced).unwrap_err();
        assert!(error.to_string().ends_with("cannot be known: nobody says"), "{error}");
    }

    #[test]
    fn a_level_reads_back_as_it_is_written() {
        for level in Durability::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("fsync".parse::<Durability>().is_err());
    }
}
