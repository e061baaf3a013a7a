//! Lines as they come, where keys are not heard one by one: from a pipe, or from a
//! terminal that nothing can be drawn on. A line that is too long, or no text, is
//! refused.

use std::io::BufRead as _;

use anyhow::{Context as _, ensure};

use super::editor::Typed;

/// The longest line, in bytes: more than any question may have.
const LONGEST: u64 = 1024 * 1024;

/// The next line of standard input.
pub(super) fn read() -> anyhow::Result<Typed> {
    next(std::io::stdin().lock())
}

fn next(from: impl std::io::BufRead) -> anyhow::Result<Typed> {
    let mut bytes = Vec::new();
    let mut from = from.take(LONGEST + 1);
    if from.read_until(b'\n', &mut bytes).context("standard input")? == 0 {
        return Ok(Typed::Over);
    }
    ensure!(
        from.limit() > 0 || bytes.ends_with(b"\n"),
        "a line of standard input has more than 1 MiB"
    );
    let line = String::from_utf8(bytes).ok().context("standard input is no UTF-8 text")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(Typed::Line(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_one_by_one_and_what_is_no_line_is_refused() {
        let mut from = &b"one\r\n\ntwo"[..];
        for expected in ["one", "", "two"] {
            assert_eq!(next(&mut from).unwrap(), Typed::Line(expected.to_owned()));
        }
        assert_eq!(next(&mut from).unwrap(), Typed::Over);
        let error = next(&b"\xff\n"[..]).unwrap_err();
        assert_eq!(format!("{error:#}"), "standard input is no UTF-8 text");
        let long = vec![b'x'; usize::try_from(LONGEST).unwrap() + 1];
        assert!(next(long.as_slice()).unwrap_err().to_string().contains("more than 1 MiB"));
        assert!(next(&long[1..]).is_ok());
    }
}
