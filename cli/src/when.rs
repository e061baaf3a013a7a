//! Moments as people read them: in words while they are near, then as a date.
//! Pure but for the clock.

use jiff::Timestamp;
use process::clock;

use crate::plain;

/// How long a moment is told in words, in days.
const DAYS: i64 = 30;

/// This moment.
pub(crate) fn now() -> Timestamp {
    let seconds = i64::try_from(clock::now().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// How long ago a moment is that a gateway told, as RFC 3339 has it.
pub(crate) fn ago(told: &str) -> String {
    before(now(), told)
}

/// A moment to the second, in UTC.
pub(crate) fn exactly(told: &str) -> String {
    match told.parse::<Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_other) => plain::line(told),
    }
}

fn before(now: Timestamp, told: &str) -> String {
    let Ok(at) = told.parse::<Timestamp>() else {
        return plain::line(told);
    };
    let seconds = now.as_second() - at.as_second();
    match seconds {
        // Clocks differ a little.
        ..60 => "just now".to_owned(),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ if seconds < DAYS * 86_400 => format!("{} d ago", seconds / 86_400),
        _ => at.strftime("%Y-%m-%d").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_told_in_words_and_what_is_far_as_a_date() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        for (told, expected) in [
            ("2026-11-21T12:00:09Z", "just now"),
            ("2026-11-21T11:59:01.5Z", "just now"),
            ("2026-11-21T11:59:00Z", "1 min ago"),
            ("2026-11-21T11:00:01Z", "59 min ago"),
            ("2026-11-21T11:00:00Z", "1 h ago"),
            ("2026-11-20T12:00:01Z", "23 h ago"),
            ("2026-11-20T12:00:00Z", "1 d ago"),
            ("2026-10-23T12:00:00Z", "29 d ago"),
            ("2026-10-22T12:00:00Z", "2026-10-22"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(before(now, told), expected, "{told}");
        }
        assert_eq!(exactly("2026-11-21T11:59:01.5Z"), "2026-11-21 11:59:01 UTC");
    }
}
