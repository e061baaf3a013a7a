//! Cutting text to a number of bytes without cutting a character.

/// The longest beginning of `text` of at most `bytes` bytes.
pub(crate) fn head(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_never_cut() {
        for (text, bytes, want) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("三四", 5, "三"), ("三四", 2, ""), ("", 0, "")]
        {
            assert_eq!(head(text, bytes), want);
        }
    }
}
