//! A tool call in one line for people. Shows what is there and nothing else: a
//! value can neither end its quotes nor pass for another argument, and what is
//! left out is counted.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// The longest summary, in bytes.
const MAX_BYTES: usize = 300;

/// The longest name that is shown whole, in bytes: of a tool, of an argument.
const NAME_BYTES: usize = 96;
const KEY_BYTES: usize = 40;

/// The least that an argument is shown with.
const ITEM_BYTES: usize = 48;

/// Room for the words about what is not shown.
const MORE_BYTES: usize = 16;

/// What stands between a server's name and its tool's.
const SERVER: &str = "__";

/// Stands where something was cut.
const CUT: &str = "…";

/// What a call will do: its tool and its arguments, the short ones first.
pub(crate) fn summary(name: &str, arguments: &str) -> String {
    let tool = tool(name);
    let left = MAX_BYTES - tool.len() - ": ".len();
    match serde_json::from_str::<Map<String, Value>>(arguments) {
        Ok(map) if map.is_empty() => format!("{tool}, without arguments"),
        Ok(map) => format!("{tool}: {}", list(&map, left)),
        Err(_not_an_object) => format!("{tool}: {}", Text::quoted(arguments).within(left)),
    }
}

fn tool(name: &str) -> String {
    match name.split_once(SERVER) {
        Some((server, tool)) if !server.is_empty() && !tool.is_empty() => {
            format!("{} in {}", word(tool, NAME_BYTES / 2), word(server, NAME_BYTES / 2))
        }
        Some(_) | None => word(name, NAME_BYTES),
    }
}

fn list(arguments: &Map<String, Value>, room: usize) -> String {
    let mut items: Vec<_> = arguments.iter().map(|(key, it)| (key, Text::of(it))).collect();
    items.sort_by_key(|(key, text)| key.len() + text.raw.len());
    let mut left = room - MORE_BYTES;
    let mut shown = String::new();
    for (at, (key, text)) in items.iter().enumerate() {
        let remaining = items.len() - at;
        let share = left / remaining;
        if share < ITEM_BYTES && key.len() + text.raw.len() > ITEM_BYTES / 4 {
            let and = if at == 0 { "" } else { " and " };
            return format!("{shown}{and}{remaining} more");
        }
        let share = share.max(ITEM_BYTES).min(left);
        let comma = if at == 0 { "" } else { ", " };
        let key = word(key, KEY_BYTES.min(share / 2));
        let value = text.within(share - key.len() - ", ".len() - " = ".len());
        let item = format!("{comma}{key} = {value}");
        left -= item.len();
        shown.push_str(&item);
    }
    shown
}

/// A text as it is shown.
#[derive(Debug)]
struct Text<'a> {
    raw: Cow<'a, str>,
    quote: &'static str,
}

impl<'a> Text<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::String(text) => Self::quoted(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => Self { raw: value.to_string().into(), quote: "" },
        }
    }

    fn quoted(text: &'a str) -> Self {
        Self { raw: text.into(), quote: "\"" }
    }

    /// In so many bytes; of one that is too long the beginning and its size.
    fn within(&self, room: usize) -> String {
        let quote = self.quote;
        let mut shown = quote.to_owned();
        let end = format!("{CUT}{quote} ({})", size(self.raw.len()));
        let mut kept = shown.len();
        for c in self.raw.chars() {
            self.push(c, &mut shown);
            if shown.len() + end.len() <= room {
                kept = shown.len();
            }
            if shown.len() + quote.len() > room {
                shown.truncate(kept);
                return shown + &end;
            }
        }
        shown + quote
    }

    fn push(&self, c: char, into: &mut String) {
        match c {
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            '"' | '\\' if !self.quote.is_empty() => into.extend(['\\', c]),
            c if is_hidden(c) => into.extend(c.escape_unicode()),
            c => into.push(c),
        }
    }
}

/// Whether a character would show as nothing, or change how others show.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A name as it is when it is one, else in quotes.
fn word(name: &str, room: usize) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if !name.is_empty() && name.len() <= room && name.chars().all(plain) {
        return name.to_owned();
    }
    Text::quoted(name).within(room)
}

fn size(bytes: usize) -> String {
    let tenths = |unit: usize| (bytes * 10).div_ceil(unit);
    let shown = |tenths: usize, unit| format!("{}.{} {unit}", tenths / 10, tenths % 10);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => shown(tenths(1024), "KB"),
        _ => shown(tenths(1_048_576), "MB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_call_is_told_in_a_line_with_its_short_arguments_first() {
        let long = format!(r#"{{"content":"{}","path":"/tmp/a.txt"}}"#, "x".repeat(2_100));
        let told = summary("filesystem__write_file", &long);
        assert!(
            told.starts_with(r#"write_file in filesystem: path = "/tmp/a.txt", content = "xxx"#),
            "{told}"
        );
        assert!(told.ends_with(r#"xxx…" (2.1 KB)"#), "{told}");
        for (name, arguments, expected) in [
            ("now", "{}", "now, without arguments"),
            ("add", r#"{"b":[1,{"c":null}],"a":1.50}"#, r#"add: a = 1.5, b = [1,{"c":null}]"#),
            ("add", "[1]", r#"add: "[1]""#),
            ("", "{", r#""": "{""#),
            ("say", r#"{"x":"a\n\u001b[2Jb\"c\u202e"}"#, r#"say: x = "a\n\u{1b}[2Jb\"c\u{202e}""#),
            ("a b", r#"{"to = \"x":"你好"}"#, r#""a b": "to = \"x" = "你好""#),
            ("__x", "{}", "__x, without arguments"),
        ] {
            assert_eq!(summary(name, arguments), expected);
        }
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        let many: Vec<_> = (0..40).map(|it| format!(r#""key_{it:02}":"value {it}""#)).collect();
        let told = summary("tool", &format!("{{{}}}", many.join(",")));
        assert!(told.starts_with("tool: "), "{told}");
        assert!(told.ends_with(" more"), "{told}");
    }

    #[test]
    fn sizes_are_told_in_the_unit_that_fits() {
        for (bytes, expected) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KB"), (3 << 20, "3.0 MB")]
        {
            assert_eq!(size(bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn a_summary_is_one_short_line_whatever_the_model_says(
            name in ".{0,200}",
            entries in prop::collection::btree_map(".{0,80}", "(?s).{0,400}", 0..12),
            text in "(?s).{0,400}",
        ) {
            let arguments = serde_json::to_string(&entries).unwrap();
            for arguments in [arguments, text] {
                let told = summary(&name, &arguments);
                prop_assert!(told.len() <= MAX_BYTES, "{} bytes: {told}", told.len());
                prop_assert!(!told.chars().any(is_hidden), "{told:?}");
            }
        }
    }
}
