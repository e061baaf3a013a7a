//! Where an entry stands in the log, and how that is written.

use std::fmt;
use std::str::FromStr;

/// The place of an entry or job in its stream: ordered, never reused. Zero is
/// before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Before the first.
    pub const START: Self = Self(0);

    /// The place just before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The birth of a log. A position of another log is answered with a gap, not
/// with wrong data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epoch(pub u64);

/// A [`Sequence`] with the log it belongs to; opaque to clients. Written
/// `<epoch in base 36>-<sequence>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which log.
    pub epoch: Epoch,
    /// Where in it.
    pub sequence: Sequence,
}

/// A text that no log ever gave out as a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a position that this server gave out")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 13 digits of base 36 hold every u64.
        let mut digits = [0_u8; 13];
        let mut rest = self.epoch.0;
        let mut from = digits.len();
        loop {
            from -= 1;
            digits[from] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % 36) as usize];
            rest /= 36;
            if rest == 0 {
                break;
            }
        }
        for digit in &digits[from..] {
            fmt::Write::write_char(f, char::from(*digit))?;
        }
        write!(f, "-{}", self.sequence)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, sequence) = text.split_once('-').ok_or(InvalidPosition)?;
        let plain = |it: &str| it.bytes().all(|b| b.is_ascii_alphanumeric());
        if !plain(epoch) || !plain(sequence) {
            return Err(InvalidPosition);
        }
        match (u64::from_str_radix(epoch, 36), sequence.parse()) {
            (Ok(epoch), Ok(sequence)) => {
                Ok(Self { epoch: Epoch(epoch), sequence: Sequence(sequence) })
            }
            _ => Err(InvalidPosition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_as_it_was_written() {
        for (epoch, sequence, text) in [
            (0, 0, "0-0"),
            (72_731, 18, "1k4b-18"),
            (u64::MAX, u64::MAX, "3w5e11264sgsf-18446744073709551615"),
        ] {
            let position = Position { epoch: Epoch(epoch), sequence: Sequence(sequence) };
            assert_eq!(position.to_string(), text);
            assert_eq!(text.parse(), Ok(position));
        }
    }

    #[test]
    fn what_was_never_given_out_is_refused() {
        for bad in
            ["", "-", "18", "a-", "-1", "a-b", "a--1", "a-+1", "+a-1", "é-1", "3w5e11264sgsg-1"]
        {
            assert_eq!(bad.parse::<Position>(), Err(InvalidPosition), "{bad}");
        }
    }
}
