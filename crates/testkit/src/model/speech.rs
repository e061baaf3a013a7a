//! The bytes of an answer: chunks written from ready-made parts. Pure but for
//! the clock that stamps tokens.

use std::io::Write as _;

/// What is said, in deltas counted from 0 through `first`, `words` and `last`.
#[derive(Debug, Default)]
pub(super) struct Speech {
    /// JSON objects said before the words.
    pub(super) first: Vec<String>,
    pub(super) words: Words,
    /// JSON objects said after the words.
    pub(super) last: Vec<String>,
    pub(super) finish: String,
}

/// The text of an answer.
#[derive(Debug)]
pub(super) enum Words {
    /// So many tokens `t<i> `.
    Numbered(usize),
    /// So many tokens `<prefix><i> `.
    Named(String, usize),
    /// So many times of emission.
    Stamps(usize),
    /// These deltas, again and again until there are so many.
    Said(Vec<String>, usize),
}

impl Default for Words {
    fn default() -> Self {
        Self::Numbered(0)
    }
}

impl Words {
    fn len(&self) -> usize {
        match self {
            Self::Said(said, _) if said.is_empty() => 0,
            Self::Numbered(count)
            | Self::Named(_, count)
            | Self::Stamps(count)
            | Self::Said(_, count) => *count,
        }
    }

    fn write(&self, at: usize, out: &mut Vec<u8>) {
        let written = match self {
            Self::Numbered(_) => write!(out, r#"{{"content":"t{at} "}}"#),
            Self::Named(prefix, _) => {
                let token = serde_json::Value::from(format!("{prefix}{at} "));
                write!(out, r#"{{"content":{token}}}"#)
            }
            Self::Stamps(_) => {
                let now = ::process::clock::now().as_micros();
                write!(out, r#"{{"content":"{now} "}}"#)
            }
            Self::Said(said, _) => out.write_all(said[at % said.len()].as_bytes()),
        };
        written.expect("a vector takes every write");
    }
}

impl Speech {
    /// How many deltas there are.
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.words.len() + self.last.len()
    }

    /// Writes the delta, a JSON object.
    pub(super) fn write(&self, at: usize, out: &mut Vec<u8>) {
        let said = at.checked_sub(self.first.len());
        let after = said.and_then(|it| it.checked_sub(self.words.len()));
        match (said, after) {
            (_, Some(at)) => out.extend_from_slice(self.last[at].as_bytes()),
            (Some(at), None) => self.words.write(at, out),
            (None, None) => out.extend_from_slice(self.first[at].as_bytes()),
        }
    }
}
