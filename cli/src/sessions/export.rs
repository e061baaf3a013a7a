//! `weir sessions export`: a conversation to keep. As Markdown it is for reading;
//! as JSON it has everything. Writes over no file unless told to.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::Value;

use super::told::{add, place};
use super::whole;
use crate::client::Client;
use crate::flags::{Format, SessionsExport};
use crate::input::{STDIN, fenced};
use crate::{Ended, output, plain};

pub(super) async fn run(flags: SessionsExport) -> Ended {
    let json = matches!(flags.format, Format::Json);
    let client = Client::new(&flags.peer)?;
    let text = document(&client, &flags.session, json).await?;
    match flags.output.filter(|it| it.as_os_str() != STDIN) {
        Some(file) => write(&file, &text, flags.force)?,
        None if std::io::stdout().is_terminal() => output::print(&plain::lines(&text))?,
        None => output::print(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A session as a document: JSON, or Markdown.
pub(crate) async fn document(client: &Client, session: &str, json: bool) -> anyhow::Result<String> {
    let session = whole(client, session).await?;
    if json { Ok(serde_json::to_string_pretty(&session)? + "\n") } else { Ok(markdown(&session)) }
}

/// Writes a document to a file; over one that is there only by `force`.
pub(crate) fn write(file: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let mut how = OpenOptions::new();
    how.write(true).create(true).truncate(true).create_new(!force);
    let advice = if !force && file.exists() { "; --force writes over it" } else { "" };
    let name = || format!("{}{advice}", file.display());
    how.open(file).and_then(|mut it| it.write_all(text.as_bytes())).with_context(name)
}

fn markdown(session: &Value) -> String {
    let field = |name: &str| session[name].as_str().unwrap_or_default();
    let title = if field("title").is_empty() { field("sessionId") } else { field("title") };
    let mut text = format!("# {}\n", one_line(title));
    for turn in session["turns"].as_array().into_iter().flatten() {
        text += &told(turn);
    }
    text
}

fn told(turn: &Value) -> String {
    let field = |name: &str| turn[name].as_str().unwrap_or_default();
    let at = if field("at").is_empty() { field("turnId") } else { field("at") };
    let mut text = format!("\n## {}\n", one_line(at));
    for message in turn["messages"].as_array().into_iter().flatten() {
        text += &said(message);
    }
    let sources: Vec<_> = turn["sources"].as_array().into_iter().flatten().map(place).collect();
    for source in sources {
        add(&mut text, format_args!("\n    {}\n", one_line(&source)));
    }
    if field("status") != "completed" {
        add(&mut text, format_args!("\n*The turn is {}.*\n", one_line(field("status"))));
    }
    text
}

/// Questions are quoted, answers stand as they were said, and what tools were
/// told and told back is fenced.
fn said(message: &Value) -> String {
    let content = message["content"].as_str().unwrap_or_default().trim_end();
    let mut text = String::new();
    match message["role"].as_str().unwrap_or_default() {
        _ if content.is_empty() => {}
        "user" => {
            let quoted: Vec<_> = content.lines().map(|it| format!("> {it}")).collect();
            add(&mut text, format_args!("\n{}\n", quoted.join("\n")));
        }
        "assistant" => add(&mut text, format_args!("\n{content}\n")),
        other => add(&mut text, format_args!("\n{}:\n\n{}", one_line(other), fenced(content))),
    }
    for call in message["toolCalls"].as_array().into_iter().flatten() {
        let field = |name: &str| call[name].as_str().unwrap_or_default();
        let name = one_line(field("name"));
        add(&mut text, format_args!("\nCalls {name}:\n\n{}", fenced(field("arguments"))));
    }
    text
}

/// A text where a line end would make another part of the document of it. What
/// else is in it stays: a terminal gets the whole document written out.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r']).filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_conversation_becomes_a_document_in_which_every_voice_is_told_apart() {
        let session = json!({"sessionId": "s", "title": "Trip\u{1b}\nx", "turns": [
            {"turnId": "t", "at": "2020-01-02T03:04:05Z", "status": "failed", "messages": [
                {"role": "user", "content": "one\n# two"},
                {"role": "assistant", "content": "**Yes**",
                 "toolCalls": [{"name": "find", "arguments": "{}"}]},
                {"role": "tool", "content": "``` x"},
            ], "sources": [{"number": 1, "source": "a.md", "heading": "A", "firstLine": 3}]},
        ]});
        let expected = "# Trip\u{1b} x\n\n## 2020-01-02T03:04:05Z\n\n> one\n> # two\n\n**Yes**\n\n\
                        Calls find:\n\n```\n{}\n```\n\ntool:\n\n````\n``` x\n````\n\n    \
                        [1] a.md (A, line 3)\n\n*The turn is failed.*\n";
        assert_eq!(markdown(&session), expected);
        assert_eq!(markdown(&json!({"sessionId": "s"})), "# s\n");
    }

    #[test]
    fn a_file_that_is_there_is_kept_unless_it_is_to_be_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.md");
        write(&file, "one", false).unwrap();
        let error = format!("{:#}", write(&file, "two", false).unwrap_err());
        assert!(error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        write(&file, "2", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "2");
        assert!(write(&folder.path().join("no/a.md"), "x", false).is_err());
    }
}
