//! Times and sizes as people write them in configuration files. There is one way
//! for each: a number with its unit, so that nobody has to know whether 10 means
//! seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

const TIME: &str = "a time such as \"250ms\", \"30s\", \"10m\", \"1h 30m\" or \"7d\"";
const SIZE: &str = "a size such as \"0B\", \"500B\", \"32KiB\" or \"1MiB\"";
const NEVER: &str = "never";

/// How many milliseconds each unit has, the longest first.
const TIMES: [(&str, u128); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// How many bytes each unit has, the largest first.
const SIZES: [(&str, usize); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(
    /// How long.
    pub Duration,
);

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(
    /// In bytes.
    pub usize,
);

/// A time, or no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until(
    /// How long; without end when absent.
    pub Option<Duration>,
);

impl Time {
    fn read(text: &str) -> Option<Self> {
        let span = SpanParser::new().parse_span(text).ok()?;
        let time = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
        Some(Self(Duration::try_from(time).ok()?))
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        Self::read(text).ok_or(InvalidTime)
    }
}

/// A text that is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not {TIME}")]
pub struct InvalidTime;

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        let mut parts = Vec::new();
        for (unit, each) in TIMES {
            if left >= each {
                parts.push(format!("{}{unit}", left / each));
                left %= each;
            }
        }
        if parts.is_empty() { f.write_str("0s") } else { f.write_str(&parts.join(" ")) }
    }
}

impl Size {
    fn read(text: &str) -> Option<Self> {
        let (unit, each) = SIZES.into_iter().find(|(unit, _)| text.ends_with(unit))?;
        let number: usize = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(each).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |each: usize| self.0 >= each && self.0.is_multiple_of(each);
        let (unit, each) = SIZES.into_iter().find(|(_, each)| whole(*each)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / each)
    }
}

impl Until {
    fn read(text: &str) -> Option<Self> {
        if text == NEVER { Some(Self(None)) } else { Time::read(text).map(|it| Self(Some(it.0))) }
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => Time(time).fmt(f),
            None => f.write_str(NEVER),
        }
    }
}

/// Reads a text that is one of these amounts.
struct Amount<T> {
    read: fn(&str) -> Option<T>,
    wanted: fn(&mut fmt::Formatter<'_>) -> fmt::Result,
}

impl<T> Visitor<'_> for Amount<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.wanted)(f)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

macro_rules! amount {
    ($kind:ty, $($wanted:tt)*) => {
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                let wanted = |f: &mut fmt::Formatter<'_>| write!(f, $($wanted)*);
                source.deserialize_str(Amount { read: Self::read, wanted })
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
                target.collect_str(self)
            }
        }
    };
}

amount!(Time, "{TIME}");
amount!(Size, "{SIZE}");
amount!(Until, "{TIME}, or \"{NEVER}\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, milliseconds, again) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("10m", 600_000, "10m"),
            ("1h 30m", 5_400_000, "1h 30m"),
            ("90m", 5_400_000, "1h 30m"),
            ("7d", 604_800_000, "7d"),
            ("0s", 0, "0s"),
        ] {
            let time = Time::read(text);
            assert_eq!(time, Some(Time(Duration::from_millis(milliseconds))), "{text}");
            assert_eq!(time.map(|it| it.to_string()).as_deref(), Some(again));
        }
        for bad in ["", "10", "-5s", "5s ago", "1 month", "2y", "soon", "10x", "never"] {
            assert_eq!(Time::read(bad), None, "{bad}");
        }
        assert_eq!(Until::read("never"), Some(Until(None)));
        assert_eq!(Until(None).to_string(), "never");
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, again) in [
            ("0B", 0, "0B"),
            ("500B", 500, "500B"),
            ("32KiB", 32 << 10, "32KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1 MiB", 1 << 20, "1MiB"),
        ] {
            assert_eq!(Size::read(text), Some(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), again);
        }
        for bad in ["", "32", "32K", "32KB", "-1B", "1.5MiB", "KiB", "99999999999999999999MiB"] {
            assert_eq!(Size::read(bad), None, "{bad}");
        }
    }
}
