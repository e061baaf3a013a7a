//! Where sentences end, in Chinese and in languages that use full stops.

use std::ops::Range;

use words::is_wide;

/// The sentences of a paragraph, without the space around them.
pub(crate) fn split(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let closing = (c == '`').then(|| text[at + 1..].find('`')).flatten();
        if let Some(inside) = closing {
            // Nothing ends inside of code.
            while chars.next_if(|(next, _)| *next <= at + 1 + inside).is_some() {}
            continue;
        }
        if !is_end(c) {
            continue;
        }
        let mut end = at + c.len_utf8();
        while let Some((at, c)) = chars.next_if(|(_, c)| is_end(*c) || is_closing(*c)) {
            end = at + c.len_utf8();
        }
        if ends_here(c, &text[start..end], &text[end..]) {
            push(text, start..end, &mut sentences);
            start = end;
        }
    }
    push(text, start..text.len(), &mut sentences);
    sentences
}

fn push(text: &str, range: Range<usize>, sentences: &mut Vec<Range<usize>>) {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    let end = start + piece.trim().len();
    if start < end {
        sentences.push(start..end);
    }
}

fn is_end(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '。' | '！' | '？' | '…')
}

fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '”' | '’' | '）' | '」' | '』' | '】')
}

/// Whether the mark that ends `before` also ends a sentence.
fn ends_here(mark: char, before: &str, after: &str) -> bool {
    if is_wide(mark) {
        return true;
    }
    let Some(next) = after.chars().next() else {
        return true;
    };
    if is_wide(next) {
        return mark != '.';
    }
    let begins = after.trim_start().chars().next();
    let lower = begins.is_some_and(char::is_lowercase);
    next.is_whitespace() && !(mark == '.' && (lower || is_abbreviation(before)))
}

fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next();
    let word = word.unwrap_or("").to_lowercase();
    ["e.g.", "i.e.", "etc.", "vs.", "cf.", "no.", "dr.", "mr.", "ms.", "st.", "fig."]
        .contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        let got: Vec<_> = split(text).into_iter().map(|it| &text[it]).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn sentences_end_where_a_reader_would_end_them() {
        check(
            "It runs 2.14.5 or later. See e.g. README.md for more! Is it? Yes",
            &["It runs 2.14.5 or later.", "See e.g. README.md for more!", "Is it?", "Yes"],
        );
        check(
            "先存储，再显示。断开后（比如换了网络。）会继续；为什么？因为有位置。",
            &["先存储，再显示。", "断开后（比如换了网络。）", "会继续；为什么？", "因为有位置。"],
        );
        check("He said \"stop.\" Then left.", &["He said \"stop.\"", "Then left."]);
        check("用 Weir v1.2 启动 weir.toml 文件。", &["用 Weir v1.2 启动 weir.toml 文件。"]);
        check(
            "Send `{\"a\": \"…\"}`. A ` alone. Ends",
            &["Send `{\"a\": \"…\"}`.", "A ` alone.", "Ends"],
        );
        check("  \n ", &[]);
    }
}
