//! Moments, which canonical proto3 JSON writes as RFC 3339 in UTC: with `Z`, and
//! with 0, 3, 6 or 9 digits of a second. Refuses years before 1 and after 9999.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// `google.protobuf.Timestamp`: a moment since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Timestamp {
    /// Whole seconds; negative before the epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest, 0 to 999,999,999, which counts forward.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// What the contract allows, save the last 26 hours of the year 9999, which the
/// calendar library does not know.
const SECONDS: RangeInclusive<i64> = -62_135_596_800..=253_402_207_199;

/// A time since the Unix epoch as the contract carries it.
pub fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp {
        seconds: since_epoch.as_secs().try_into().unwrap_or(i64::MAX),
        nanos: since_epoch.subsec_nanos().try_into().unwrap_or(0),
    }
}

impl Timestamp {
    fn written(self) -> Option<String> {
        let whole = SECONDS.contains(&self.seconds) && (0..1_000_000_000).contains(&self.nanos);
        let moment = jiff::Timestamp::new(self.seconds, self.nanos).ok().filter(|_| whole)?;
        Some(match self.nanos {
            0 => format!("{moment:.0}"),
            it if it % 1_000_000 == 0 => format!("{moment:.3}"),
            it if it % 1_000 == 0 => format!("{moment:.6}"),
            _finer => format!("{moment:.9}"),
        })
    }

    fn read(text: &str) -> Option<Self> {
        let moment: jiff::Timestamp = text.parse().ok()?;
        let (mut seconds, mut nanos) = (moment.as_second(), moment.subsec_nanosecond());
        if nanos < 0 {
            (seconds, nanos) = (seconds - 1, nanos + 1_000_000_000);
        }
        SECONDS.contains(&seconds).then_some(Self { seconds, nanos })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, target: S) -> Result<S::Ok, S::Error> {
        let written = self.written();
        let text = written.ok_or_else(|| ser::Error::custom("no moment of the years 1 to 9999"))?;
        target.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(source)?;
        let wrong = || de::Error::custom("a moment must be written as 2026-01-31T12:00:00Z");
        Self::read(&text).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_canonical_json_has_it_and_reads_back() {
        for (seconds, nanos, written) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (1000, 500_000_000, "1970-01-01T00:16:40.500Z"),
            (1, 1_000, "1970-01-01T00:00:01.000001Z"),
            (1, 1, "1970-01-01T00:00:01.000000001Z"),
            (-1, 500_000_000, "1969-12-31T23:59:59.500Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (253_402_207_199, 999_999_999, "9999-12-30T21:59:59.999999999Z"),
        ] {
            let moment = Timestamp { seconds, nanos };
            let json = serde_json::to_string(&moment).unwrap();
            assert_eq!(json, format!("\"{written}\""));
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
        }
        let elsewhere: Timestamp = serde_json::from_str(r#""1970-01-01T01:00:00+01:00""#).unwrap();
        assert_eq!(elsewhere, Timestamp::default());
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for json in ["\"\"", "\"now\"", "5", "null", "\"1970-01-01\"", "\"10000-01-01T00:00:00Z\""]
        {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json}");
        }
        for (seconds, nanos) in [(i64::MAX, 0), (0, -1), (0, 1_000_000_000), (-62_135_596_801, 0)] {
            assert!(
                serde_json::to_string(&Timestamp { seconds, nanos }).is_err(),
                "{seconds} {nanos}"
            );
        }
    }
}
