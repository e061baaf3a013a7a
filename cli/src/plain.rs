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
        || is_unseen(it)
}

/// What is drawn as nothing, so that a text says more, or something else, than
/// one sees. Joiners and the variation selectors of emoji stay: words and
/// pictures of several scripts are made with them.
fn is_unseen(it: char) -> bool {
    matches!(it,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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
    fn what_is_drawn_as_nothing_is_written_out_and_what_makes_words_stays() {
        for unseen in [
            '\u{200b}',
            '\u{2060}',
            '\u{2064}',
            '\u{feff}',
            '\u{ad}',
            '\u{3164}',
            '\u{115f}',
            '\u{1160}',
            '\u{ffa0}',
            '\u{180e}',
            '\u{e0000}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{e01ef}',
        ] {
            let expected = format!("a{}b", unseen.escape_unicode());
            assert_eq!(line(&format!("a{unseen}b")), expected);
            assert_eq!(lines(&format!("a{unseen}b")), expected);
        }
        for whole in ["👩\u{200d}💻 ❤\u{fe0f}", "می\u{200c}خواهم", "한글 用户 がき"]
        {
            assert_eq!(line(whole), whole);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("用户们", 2), "用户…");
        assert_eq!(shortened("用户", 2), "用户");
    }
}
