//! Text from standard input or a file, whole and never more than could be sent.
//! Refuses what is not UTF-8 and what is too long.

use std::io::{IsTerminal as _, Read};

use anyhow::{Context as _, anyhow, ensure};

use crate::output;

/// What stands for standard input.
pub(crate) const STDIN: &str = "-";
/// The longest text that a gateway takes anywhere, in bytes: a question.
pub(crate) const MOST: usize = 256 * 1024;

/// Standard input to its end; `what` it is for is said where a person types it.
pub(crate) fn stdin(what: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        output::note(&format!("weir: reading {what} from the terminal; end it with Ctrl-D"));
    }
    text(stdin.lock(), "standard input")
}

/// All of a source; `what` names it where it is refused.
pub(crate) fn text(source: impl Read, what: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MOST).unwrap_or(u64::MAX).saturating_add(1);
    source.take(most).read_to_end(&mut bytes).with_context(|| what.to_owned())?;
    ensure!(bytes.len() <= MOST, "{what} is too long: a gateway takes at most {MOST} bytes");
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to() + 1;
        anyhow!("{what} is not UTF-8 text: byte {place} is not part of a character")
    })
}

/// A text in a Markdown fence that nothing in it closes.
pub(crate) fn fenced(text: &str) -> String {
    let longest = text.split(|it| it != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    format!("{fence}\n{text}{end}{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_to_its_last_byte_and_not_one_more() {
        let most = "x".repeat(MOST);
        assert_eq!(text(most.as_bytes(), "it").unwrap(), most);
        let error = text((most + "x").as_bytes(), "it").unwrap_err().to_string();
        assert!(error.contains("it is too long") && error.contains("262144"), "{error}");
        let error = text(&b"ab\xff"[..], "it").unwrap_err().to_string();
        assert_eq!(error, "it is not UTF-8 text: byte 3 is not part of a character");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_it() {
        assert_eq!(fenced(""), "```\n```\n");
        assert_eq!(fenced("a `b`"), "```\na `b`\n```\n");
        assert_eq!(fenced("```\na\n````\n"), "`````\n```\na\n````\n`````\n");
    }
}
