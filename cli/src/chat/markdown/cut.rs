//! How much of a text that still grows can be drawn: what comes can no longer
//! change how it looks. Pure.
//!
//! Held back are the last word, a mark that may open something (`**`, `` ` ``,
//! `[`), a line that may be a mark altogether (`-`, `1.`, ```` ``` ````), a line
//! of code that is not complete, and a table up to its end.

use std::ops::Range;

use pulldown_cmark::{Event, Parser, Tag};

use super::OPTIONS;
use super::glyph::is_break;

/// How many bytes of the text stand.
pub(super) fn cut(text: &str) -> usize {
    let line = text.rfind('\n').map_or(0, |it| it + 1);
    let cut = if in_fence(&text[..line]) || is_undecided(&text[line..]) {
        line
    } else {
        last_break(text, line)
    };
    let cut = cut.min(rows(text, line));
    match opener(&text[..cut], text) {
        Some(at) => last_break(&text[..=at], 0).min(at),
        None => cut,
    }
}

/// Behind the last place from `from` on where a line may end.
fn last_break(text: &str, from: usize) -> usize {
    let mut found = from;
    let mut before: Option<char> = None;
    for (at, it) in text[from..].char_indices() {
        // Whether a mark closes depends on what follows it.
        let may = |before: char| is_break(before, it) && !"*_~`]".contains(before);
        if before.is_some_and(may) {
            found = from + at;
        }
        before = Some(it);
    }
    if before.is_some_and(char::is_whitespace) { text.len() } else { found }
}

/// Whether the line's beginning does not say yet what it is, or says that it
/// counts as a whole.
fn is_undecided(line: &str) -> bool {
    let marks = |it: char| "-*+#>=_`~|.)[]: \t\r".contains(it) || it.is_ascii_digit();
    let inner = inside(line);
    let whole = ["#", "<", "```", "~~~"].iter().any(|it| inner.starts_with(it));
    whole || line.starts_with("    ") || line.starts_with('\t') || line.chars().all(marks)
}

/// A line behind the marks of lists and quotations.
fn inside(line: &str) -> &str {
    let mut rest = line.trim_start();
    loop {
        let unquoted = rest.strip_prefix('>').map(str::trim_start);
        let digits = rest.trim_start_matches(|it: char| it.is_ascii_digit());
        let numbered = if digits.len() < rest.len() {
            digits.strip_prefix(". ").or(digits.strip_prefix(") "))
        } else {
            None
        };
        let listed = ["- ", "* ", "+ "].iter().find_map(|it| rest.strip_prefix(it));
        match unquoted.or(numbered).or(listed) {
            Some(inner) => rest = inner.trim_start(),
            None => return rest,
        }
    }
}

/// Whether these complete lines end inside of a block of code.
fn in_fence(lines: &str) -> bool {
    let mut open: Option<(char, usize)> = None;
    for line in lines.lines() {
        let inner = inside(line);
        let Some(mark) = inner.chars().next().filter(|it| "`~".contains(*it)) else { continue };
        let marks = inner.chars().take_while(|it| *it == mark).count();
        let bare = inner.trim_end().chars().count() == marks;
        open = match open {
            None if marks >= 3 && !inner[marks..].contains('`') => Some((mark, marks)),
            Some((of, count)) if of == mark && marks >= count && bare => None,
            other => other,
        };
    }
    open.is_some()
}

/// Where the last lines begin that may be a table.
fn rows(text: &str, line: usize) -> usize {
    if in_fence(&text[..line]) {
        return text.len();
    }
    let mut from = text.len();
    let last = &text[line..];
    let mut end = if last.is_empty() { line } else { text.len() };
    while end > 0 {
        let begin = text[..end].trim_end_matches('\n').rfind('\n').map_or(0, |it| it + 1);
        let one_line = text[begin..end].trim_end_matches('\n').len() + 1 >= end - begin;
        if !one_line || !text[begin..end].contains('|') {
            break;
        }
        (from, end) = (begin, begin);
    }
    from
}

/// Where the first mark stands in the last paragraph that may open something
/// which is not closed in `text`; `all` is what is known beyond it.
fn opener(text: &str, all: &str) -> Option<usize> {
    if text.trim_end_matches([' ', '\t']).ends_with("\n\n") {
        return None;
    }
    let (mut found, mut code) = (None, false);
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        if let Event::Start(tag) = &event
            && !is_inline(tag)
        {
            (found, code) = (None, matches!(tag, Tag::CodeBlock(_)));
        } else if matches!(event, Event::Text(_)) && !code {
            found = found.or_else(|| mark(all, range));
        }
    }
    found
}

fn is_inline(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::Emphasis | Tag::Strong | Tag::Strikethrough | Tag::Link { .. } | Tag::Image { .. }
    )
}

/// The first mark among these characters that may open something.
fn mark(text: &str, range: Range<usize>) -> Option<usize> {
    let after = |at: usize| text[at + 1..].chars().next();
    let before = |at: usize| text[..at].chars().next_back();
    let word = |it: Option<char>| it.is_some_and(|it| !it.is_whitespace());
    let opens = |at: usize, it: char| match it {
        '`' => true,
        '*' | '~' => after(at).is_none_or(|it| !it.is_whitespace()),
        '_' => word(after(at).or(Some('x'))) && !before(at).is_some_and(char::is_alphanumeric),
        '<' => after(at).is_none_or(|it| it.is_ascii_alphabetic() || "/!?".contains(it)),
        '[' => !is_settled(&text[at..]),
        _ => false,
    };
    let marks = text[range.clone()].char_indices().map(|(at, it)| (range.start + at, it));
    let found = marks.into_iter().find(|it| opens(it.0, it.1))?.0;
    Some(if before(found) == Some('!') { found - 1 } else { found })
}

/// Whether what begins with a bracket is known to be no link.
fn is_settled(text: &str) -> bool {
    let Some(end) = text.find(']') else { return false };
    let after = text[end + 1..].chars().next();
    !text[1..end].contains('[') && after.is_some_and(|it| !"([:".contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_change_is_held_back() {
        for (text, stands) in [
            ("Hello wor", "Hello "),
            ("Hello ", "Hello "),
            ("a **bold wo", "a "),
            ("a **bold** wo", "a **bold** "),
            ("a **bold**", "a "),
            ("use `co", "use "),
            ("2 * 3 is", "2 * 3 "),
            ("snake_case is", "snake_case "),
            ("as [3] sa", "as [3] "),
            ("as [3]", "as "),
            ("see [it](http", "see "),
            ("text\n- ", "text\n"),
            ("text\n-", "text\n"),
            ("- item wo", "- item "),
            ("1", ""),
            ("1. one tw", "1. one "),
            ("# Titl", ""),
            ("# Title\nte", "# Title\n"),
            ("```rust\nlet a = 1;\nlet", "```rust\nlet a = 1;\n"),
            ("- a\n  ```\n  code|\n  mo", "- a\n  ```\n  code|\n"),
            ("text\n\n| a | b |\n|---|---|\n| 1", "text\n\n"),
            (
                "| a | b |\n|---|---|\n| 1 | 2 |\n\nmore te",
                "| a | b |\n|---|---|\n| 1 | 2 |\n\nmore ",
            ),
            ("one *open\n\ntwo thr", "one *open\n\ntwo "),
            ("你好，世", "你好，"),
            ("你好", "你"),
            ("**粗体。**后", ""),
            ("see ![al", "see "),
        ] {
            assert_eq!(&text[..cut(text)], stands, "{text:?}");
        }
    }

    #[test]
    fn it_cuts_between_characters_wherever_a_text_ends() {
        let text = "é**ü `中文` [用户](x) | 表\n|-|\n> - 1. ~~`~~ <b>\n    code\n```\n中`";
        for (end, _) in text.char_indices() {
            let text = &text[..end];
            assert!(text.is_char_boundary(cut(text)), "{text:?}");
        }
    }
}
