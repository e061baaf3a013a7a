//! In which script a text is written, as far as answers care: Chinese or not.

/// A Chinese character.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// A Chinese character, or one of the wide marks that go with them.
pub fn is_wide(c: char) -> bool {
    is_han(c)
        || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff60}' | '“' | '”' | '…' | '—')
}

/// Whether a text is Chinese: one in five of its letters, a Latin word counting
/// as one letter.
pub fn is_chinese(text: &str) -> bool {
    let han = text.chars().filter(|c| is_han(*c)).count();
    let words =
        text.split(|c: char| !c.is_alphanumeric() || is_han(c)).filter(|it| !it.is_empty()).count();
    han > 0 && han * 4 >= words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_foreign_names_keeps_its_language() {
        for (text, chinese) in [
            ("Weir 是什么?", true),
            ("How does `Last-Event-ID` work?", false),
            ("如何用 NATS JetStream 扩展 broker worker?", true),
            ("What does 门 mean in the docs of this project?", false),
            ("", false),
        ] {
            assert_eq!(is_chinese(text), chinese, "{text}");
        }
    }
}
