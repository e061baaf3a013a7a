//! The name of a request, for those who look for it in a log. Refuses to take
//! over what could be more than a name there.

use http::HeaderValue;
use uuid::Uuid;

/// The longest that is taken over, in characters.
const LONGEST: usize = 128;

/// A plain token.
#[derive(Debug)]
pub(super) struct Name(String);

impl Name {
    /// The one that was given, if it is plain and the only one; otherwise a new
    /// one.
    pub(super) fn of<'a>(mut given: impl Iterator<Item = &'a HeaderValue>) -> Self {
        let given = match (given.next(), given.next()) {
            (Some(only), None) => only.to_str().ok().filter(|it| is_plain(it)),
            (None | Some(_), _) => None,
        };
        Self(given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a plain token may be a header")
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~:+/=".contains(c);
    (1..=LONGEST).contains(&text.len()) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_token_is_taken_over() {
        let long = "x".repeat(LONGEST);
        let longer = "x".repeat(LONGEST + 1);
        for (given, taken) in [
            (vec!["a"], true),
            (vec!["0192f0c1-7a4e.A_b~c:d+e/f="], true),
            (vec![long.as_str()], true),
            (vec![longer.as_str()], false),
            (vec![""], false),
            (vec!["two words"], false),
            (vec!["a\tb"], false),
            (vec!["名"], false),
            (vec!["\"quoted\""], false),
            (vec!["a", "b"], false),
            (vec![], false),
        ] {
            let values: Vec<_> =
                given.iter().map(|it| HeaderValue::from_bytes(it.as_bytes()).unwrap()).collect();
            let name = Name::of(values.iter());
            assert_eq!(name.as_str() == given.concat(), taken, "{given:?}: {name:?}");
            assert!(is_plain(name.as_str()), "{name:?}");
            assert_eq!(name.to_header(), name.as_str());
        }
        let none = || std::iter::empty();
        assert_ne!(Name::of(none()).as_str(), Name::of(none()).as_str());
    }
}
