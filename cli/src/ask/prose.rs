//! A turn as it is read: its text to standard output, its sources and all that
//! is said about it to standard error.

use std::io::IsTerminal as _;

use serde_json::Value;

use super::follow::Show;
use crate::chat::markdown::Flow;
use crate::client::Frame;
use crate::output::{self, Error};
use crate::terminal::{Paint, Style};
use crate::{decide, plain, terminal};

/// The most of a tool's arguments or result that is shown, in characters.
const TOOL: usize = 300;

/// Every event as one line of JSON, its kind first.
pub(crate) struct Lines;

impl Show for Lines {
    fn show(&mut self, frame: &Frame) -> Result<(), Error> {
        output::line(&line(frame))
    }
}

fn line(frame: &Frame) -> String {
    let data = frame.data.strip_prefix('{').unwrap_or(&frame.data);
    let id = frame.id.as_ref().map(|it| format!("\"id\":\"{it}\",")).unwrap_or_default();
    format!("{{\"event\":\"{}\",{id}{data}", frame.kind)
}

/// The answer as text.
#[derive(Debug, Default)]
pub(crate) struct Prose {
    text: Pieces,
    /// With the number of the event that named each.
    sources: Vec<(u64, String)>,
    /// What draws it where it can be drawn.
    flow: Option<Flow>,
    /// Whether a line of what it drew has not ended.
    within: bool,
    shown: bool,
    verbose: bool,
}

/// The text so far, each piece with the number of its event.
#[derive(Debug, Default)]
struct Pieces(Vec<(u64, String)>);

impl Pieces {
    /// Takes back what came after an event; the text that is left, if any of it
    /// is gone.
    fn rewind(&mut self, to: u64) -> Option<String> {
        let before = self.0.len();
        self.0.retain(|it| it.0 <= to);
        let gone = self.0.len() < before;
        gone.then(|| self.0.iter().map(|it| it.1.as_str()).collect())
    }
}

impl Show for Prose {
    fn show(&mut self, frame: &Frame) -> Result<(), Error> {
        let value = frame.value();
        let index = value["index"].as_u64().unwrap_or_default();
        match frame.kind.as_str() {
            "text" => {
                let text = value["text"].as_str().unwrap_or_default();
                self.text.0.push((index, text.to_owned()));
                self.shown = true;
                return self.say(text);
            }
            "citation" => self.cite(index, &value["citation"]),
            "rewind" => return self.rewind(value["rewind"]["to"].as_u64().unwrap_or_default()),
            "gap" => {
                self.text = Pieces::default();
                output::aside("part of the answer is no longer kept");
            }
            "tool_call" if self.verbose => call(&value["toolCall"]),
            "tool_result" if self.verbose => result(&value["toolResult"]),
            "usage" if self.verbose => usage(&value["usage"]),
            ending => return self.end(ending, &value),
        }
        Ok(())
    }
}

impl Prose {
    /// With the tools that are called, and what it took.
    pub(crate) fn verbose(verbose: bool) -> Self {
        Self { verbose, ..Self::default() }
    }

    /// Prints a part of the answer.
    fn say(&mut self, text: &str) -> Result<(), Error> {
        if !Style::of(&std::io::stdout()).is_drawn() {
            return answer(text);
        }
        let flow = self.flow.get_or_insert_with(|| Flow::new(terminal::width()));
        let drawn = flow.push(text);
        self.within = drawn.chars().next_back().map_or(self.within, |it| it != '\n');
        output::print(&drawn)
    }

    /// Prints what is left of it, and ends its line.
    fn end_line(&mut self) -> Result<(), Error> {
        match self.flow.take() {
            Some(mut flow) => {
                let rest = flow.finish();
                let within = rest.chars().next_back().map_or(self.within, |it| it != '\n');
                output::print(&format!("{rest}{}", if within { "\n" } else { "" }))
            }
            None => output::print("\n"),
        }
    }

    /// What was printed stays where it is: the answer is printed anew, as far as
    /// it stands.
    fn rewind(&mut self, to: u64) -> Result<(), Error> {
        self.sources.retain(|it| it.0 <= to);
        let Some(left) = self.text.rewind(to) else {
            return Ok(());
        };
        self.end_line()?;
        output::aside("an earlier part is taken back; the answer begins again");
        self.say(&left)
    }

    fn cite(&mut self, index: u64, it: &Value) {
        let text = |name: &str| plain::line(it[name].as_str().unwrap_or_default());
        let source = format!(
            "[{}] {} ({}, line {})",
            it["number"],
            text("source"),
            text("heading"),
            it["firstLine"]
        );
        if !self.sources.iter().any(|it| it.1 == source) {
            self.sources.push((index, source));
        }
    }

    /// An ending, in words.
    fn end(&mut self, kind: &str, value: &Value) -> Result<(), Error> {
        if !matches!(kind, "completed" | "failed" | "cancelled" | "deleted" | "interrupted") {
            return Ok(());
        }
        self.finish()?;
        match kind {
            "failed" => failed(&value["failed"]["message"]),
            "cancelled" => output::aside("stopped"),
            "deleted" => output::aside("the session was erased"),
            "interrupted" => {
                let session = value["sessionId"].as_str().unwrap_or_default();
                let calls = value["interrupted"]["calls"].as_array();
                output::say(&decide::wanted(session, calls.map_or(&[], Vec::as_slice)));
            }
            _completed => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.shown) {
            self.end_line()?;
        }
        let style = Style::of(&std::io::stderr());
        for (_, source) in self.sources.drain(..) {
            output::note(&style.paint(Paint::Dim, &source));
        }
        self.text = Pieces::default();
        Ok(())
    }
}

/// Prints a part of an answer: a terminal would obey what a model says, a pipe
/// gets it as it was said.
pub(super) fn answer(text: &str) -> Result<(), Error> {
    if std::io::stdout().is_terminal() {
        return output::print(&plain::lines(text));
    }
    output::print(text)
}

/// Says why a turn failed.
pub(super) fn failed(message: &Value) {
    let message = message.as_str().unwrap_or("failed");
    output::note(&format!("weir: {}", plain::line(message)));
}

fn call(call: &Value) {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    output::aside(&format!("calls {} {}", text("name"), plain::shortened(text("arguments"), TOOL)));
}

fn result(result: &Value) {
    let text = |name: &str| result[name].as_str().unwrap_or_default();
    let how = if result["isError"] == true { "failed" } else { "answered" };
    let content = plain::shortened(text("content"), TOOL);
    output::aside(&format!("{} {how}: {content}", text("name")));
}

fn usage(usage: &Value) {
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let (model, read) = (usage["model"].as_str().unwrap_or_default(), count("inputTokens"));
    output::aside(&format!("{model}: {read} tokens read, {} written", count("outputTokens")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_leaves_the_text_before_it_and_nothing_is_printed_twice_for_nothing() {
        let mut text = Pieces::default();
        for (index, piece) in [(2, "a"), (5, "b"), (9, "c")] {
            text.0.push((index, piece.to_owned()));
        }
        assert_eq!(text.rewind(9), None, "nothing is void");
        assert_eq!(text.rewind(7).as_deref(), Some("ab"));
        text.0.push((8, "d".to_owned()));
        // An event goes as a whole.
        assert_eq!(text.rewind(4).as_deref(), Some("a"));
        assert_eq!(text.rewind(0).as_deref(), Some(""));
        assert_eq!(text.rewind(0), None);
    }

    #[test]
    fn an_event_is_one_json_object_with_its_kind_and_its_position() {
        let frame = |id: Option<&str>| Frame {
            kind: "text".to_owned(),
            id: id.map(str::to_owned),
            data: r#"{"text":"a"}"#.to_owned(),
        };
        assert_eq!(line(&frame(Some("1-2"))), r#"{"event":"text","id":"1-2","text":"a"}"#);
        assert_eq!(line(&frame(None)), r#"{"event":"text","text":"a"}"#);
    }
}
