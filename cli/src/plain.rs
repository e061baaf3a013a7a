//! Texts of strangers on a terminal: nothing in them moves the cursor, changes
//! a colour, hides or turns around what stands beside it.

/// The text on one line, with everything that is not plain written as an
/// escape.
pub(crate) fn line(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, but line ends and tabs stay.
pub(crate) fn lines(text: &str) -> String {
    escaped(text, |it| matches!(it, '\n' | '\t'))
}

/// The first so many characters of a text; more is shown by an ellipsis.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for it in text.chars() {
        if is_active(it) && !stays(it) {
            plain.extend(it.escape_default());
        } else {
            plain.push(it);
        }
    }
    plain
}

/// Controls of a terminal, and of the direction and the lines of a text.
fn is_active(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_active_is_written_out_and_words_stay() {
        assert_eq!(line("a\u{1b}[31mb\r\n\u{9b}c\u{7f}"), r"a\u{1b}[31mb\r\n\u{9b}c\u{7f}");
        assert_eq!(line("user\u{202e}gpj"), r"user\u{202e}gpj");
        assert_eq!(line("用户 ★ é"), "用户 ★ é");
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("用户们", 2), "用户…");
        assert_eq!(shortened("用户", 2), "用户");
    }
}
