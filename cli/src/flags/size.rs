//! A number of bytes, as people write it.

/// Each unit and how many bytes it is.
const UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];
/// More than a server can count.
const MOST: u64 = i64::MAX as u64;

/// Reads a whole number with a unit, or of bytes without one.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
    let (number, unit) = match unit {
        Some((name, unit)) => (&text[..text.len() - name.len()], *unit),
        None => (text, 1),
    };
    let number: Option<u64> = number.trim_end().parse().ok();
    let bytes = number.and_then(|it| it.checked_mul(unit)).filter(|it| (1..=MOST).contains(it));
    bytes.ok_or_else(|| "must be a number of bytes, such as 1073741824, 1GiB or 500MB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, is) in [
            ("1", 1),
            ("1073741824", 1 << 30),
            ("1GiB", 1 << 30),
            ("64 GiB", 64 << 30),
            ("5kB", 5_000),
            ("500MB", 500_000_000),
            ("2TB", 2_000_000_000_000),
            ("7B", 7),
        ] {
            assert_eq!(bytes(text), Ok(is), "{text}");
        }
        for bad in ["", "0", "-1", "1.5GiB", "GiB", "1G", "1 gib", "99999999999TiB", "1e9"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
