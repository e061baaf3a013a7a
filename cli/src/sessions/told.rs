//! A session as it is shown on a terminal. Pure; everything in it is plain text.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::columns::aligned;
use crate::{decide, plain, when};

/// A session with its turns.
pub(super) fn shown(session: &Value) -> String {
    let mut text = aligned(&head(session));
    for turn in session["turns"].as_array().into_iter().flatten() {
        text += &told(turn);
    }
    text
}

fn head(session: &Value) -> Vec<[String; 2]> {
    let field = |name: &str| session[name].as_str().filter(|it| !it.is_empty());
    let id = field("sessionId").unwrap_or_default();
    let mut rows = vec![["session".to_owned(), plain::line(id)]];
    let mut row = |name: &str, text: Option<String>| {
        rows.extend(text.map(|it| [name.to_owned(), it]));
    };
    row("title", field("title").map(plain::line));
    let ending = field("ending").map(|it| format!(" (the last turn: {it})")).unwrap_or_default();
    row("status", field("status").map(|it| plain::line(&format!("{it}{ending}"))));
    let moment = |it: &str| format!("{} ({})", when::exactly(it), when::ago(it));
    row("created", field("createdAt").map(moment));
    row("updated", field("updatedAt").map(moment));
    let waiting = session["pending"].as_array().map_or(0, Vec::len);
    let decide = || format!("{waiting} tool calls: weir decide {}", decide::argument(id));
    row("waiting", (waiting > 0).then(decide));
    rows
}

fn told(turn: &Value) -> String {
    let field = |name: &str| turn[name].as_str().unwrap_or_default();
    let at = turn["at"].as_str().map(|it| format!(", {}", when::exactly(it))).unwrap_or_default();
    let mut text = format!("\n--- {}{at}\n", plain::line(field("status")));
    for message in turn["messages"].as_array().into_iter().flatten() {
        text += &said(message);
    }
    for source in turn["sources"].as_array().into_iter().flatten() {
        add(&mut text, format_args!("{}\n", plain::line(&place(source))));
    }
    if turn["partial"] == true {
        text += "[there is more than a gateway reads at once]\n";
    }
    text
}

fn said(message: &Value) -> String {
    let field = |name: &str| plain::lines(message[name].as_str().unwrap_or_default());
    let mut text = String::new();
    if !field("content").is_empty() {
        add(
            &mut text,
            format_args!("{}: {}\n", plain::line(&field("role")), field("content").trim_end()),
        );
    }
    for call in message["toolCalls"].as_array().into_iter().flatten() {
        let field = |name: &str| plain::line(call[name].as_str().unwrap_or_default());
        add(&mut text, format_args!("calls {} {}\n", field("name"), field("arguments")));
    }
    text
}

/// Writes behind a text.
pub(super) fn add(text: &mut String, more: fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(more);
}

/// Where something stands that an answer names.
pub(super) fn place(source: &Value) -> String {
    let field = |name: &str| source[name].as_str().unwrap_or_default();
    let (number, line) = (&source["number"], &source["firstLine"]);
    format!("[{number}] {} ({}, line {line})", field("source"), field("heading"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_shown_with_what_was_said_and_nothing_in_it_acts() {
        let shown = shown(&json!({
            "sessionId": "s", "title": "T\u{1b}[2J", "status": "interrupted",
            "ending": "interrupted", "createdAt": "2020-01-02T03:04:05Z",
            "pending": [{"callId": "a"}],
            "turns": [{"turnId": "t", "at": "2020-01-02T03:04:05Z", "status": "interrupted",
                "messages": [
                    {"role": "user", "content": "one\ntwo\u{1b}"},
                    {"role": "assistant", "content": "",
                     "toolCalls": [{"name": "pay", "arguments": "{\"to\":\"x\"}"}]},
                ],
                "sources": [{"number": 1, "source": "a.md", "heading": "A", "firstLine": 3}]}],
        }));
        let expected = "session  s\ntitle    T\\u{1b}[2J\n\
                        status   interrupted (the last turn: interrupted)\n\
                        created  2020-01-02 03:04:05 UTC (2020-01-02)\n\
                        waiting  1 tool calls: weir decide s\n\n\
                        --- interrupted, 2020-01-02 03:04:05 UTC\nuser: one\ntwo\\u{1b}\n\
                        calls pay {\"to\":\"x\"}\n[1] a.md (A, line 3)\n";
        assert_eq!(shown, expected);
    }
}
