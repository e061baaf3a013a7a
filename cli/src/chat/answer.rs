//! A turn's events on the screen, in the order in which they were said: text,
//! reasoning, tools and what they answered, sources, and how it ended.

use serde_json::Value;

use super::screen::Screen;
use crate::client::Frame;
use crate::output::Error;
use crate::plain;
use crate::terminal::Paint;

/// The most of a tool's arguments, its result, and a thought that is shown.
const ARGUMENTS: usize = 120;
const RESULT: usize = 200;
const THOUGHT: usize = 160;

/// How a turn ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    Completed,
    Failed,
    Stopped,
    /// These calls wait for a human.
    Waits(Vec<Value>),
    /// The session is erased.
    Erased,
}

/// A turn that is shown.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The text so far, each piece with the number of its event.
    pieces: Vec<(u64, String)>,
    sources: Vec<(u64, String)>,
    /// What was thought since the last word, and how much of it is shown.
    thought: String,
    thinks_aloud: bool,
    /// The last call that was shown.
    call: String,
    started: bool,
    /// What it is doing, in words.
    doing: String,
}

impl Answer {
    /// One whose reasoning is shown whole, or only its beginning.
    pub(super) fn new(thinks_aloud: bool) -> Self {
        Self { thinks_aloud, doing: "sending".to_owned(), ..Self::default() }
    }

    /// Whether a worker has begun.
    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    /// What is being waited for, in words.
    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    /// That it has not begun yet, and why.
    pub(super) fn queued(&mut self, why: &str) {
        why.clone_into(&mut self.doing);
    }

    /// Shows an event. How the turn ended, when it is the last one.
    pub(super) fn show(
        &mut self,
        frame: &Frame,
        screen: &mut Screen,
    ) -> Result<Option<End>, Error> {
        let value = frame.value();
        let kind = frame.kind.as_str();
        self.started |= kind != "gap";
        if kind != "reasoning" {
            self.end_thought(screen)?;
        }
        let index = value["index"].as_u64().unwrap_or_default();
        match kind {
            "text" => self.text(index, value["text"].as_str().unwrap_or_default(), screen)?,
            "reasoning" => self.think(value["reasoning"].as_str().unwrap_or_default(), screen)?,
            "tool_call" => self.call(&value["toolCall"], screen)?,
            "tool_result" => self.result(&value["toolResult"], screen)?,
            "citation" => self.cite(index, &value["citation"]),
            "rewind" => {
                self.rewind(value["rewind"]["to"].as_u64().unwrap_or_default(), screen)?;
            }
            "gap" => {
                self.pieces.clear();
                screen.note(Paint::Yellow, "[part of the answer is no longer kept]")?;
            }
            "started" | "resumed" => "thinking".clone_into(&mut self.doing),
            "handed_over" => "waiting for another worker".clone_into(&mut self.doing),
            "cancel_requested" => "stopping".clone_into(&mut self.doing),
            ending => return self.end(ending, &value, screen),
        }
        Ok(None)
    }

    fn text(&mut self, index: u64, text: &str, screen: &mut Screen) -> Result<(), Error> {
        if self.pieces.is_empty() {
            screen.space();
        }
        self.pieces.push((index, text.to_owned()));
        "writing".clone_into(&mut self.doing);
        screen.text(text)
    }

    fn think(&mut self, thought: &str, screen: &mut Screen) -> Result<(), Error> {
        "thinking".clone_into(&mut self.doing);
        self.thought += thought;
        if !self.thinks_aloud {
            return Ok(());
        }
        // Line by line: it is dimmed as a whole.
        while let Some((line, rest)) = self.thought.split_once('\n') {
            screen.note(Paint::Dim, &format!("∴ {}", plain::line(line)))?;
            self.thought = rest.to_owned();
        }
        Ok(())
    }

    fn end_thought(&mut self, screen: &mut Screen) -> Result<(), Error> {
        let thought = std::mem::take(&mut self.thought);
        if thought.trim().is_empty() {
            return Ok(());
        }
        let most = if self.thinks_aloud { usize::MAX } else { THOUGHT };
        let words: Vec<_> = thought.split_whitespace().collect();
        let line = plain::line(&plain::shortened(&words.join(" "), most));
        screen.note(Paint::Dim, &format!("∴ {line}"))
    }

    fn call(&mut self, call: &Value, screen: &mut Screen) -> Result<(), Error> {
        let name = field(call, "name");
        self.doing = format!("calling {name}");
        self.call = field(call, "callId");
        screen.note(Paint::Cyan, &format!("● {name} {}", short(call, "arguments", ARGUMENTS)))
    }

    fn result(&mut self, result: &Value, screen: &mut Screen) -> Result<(), Error> {
        "thinking".clone_into(&mut self.doing);
        // Of calls that run beside each other, each answer names its own.
        let name = if field(result, "callId") == self.call {
            String::new()
        } else {
            format!("{}: ", field(result, "name"))
        };
        let failed = result["isError"] == true;
        let (paint, mark) = if failed { (Paint::Red, "failed: ") } else { (Paint::Dim, "") };
        screen.note(paint, &format!("  └ {name}{mark}{}", short(result, "content", RESULT)))
    }

    fn cite(&mut self, index: u64, it: &Value) {
        let (source, heading) = (field(it, "source"), field(it, "heading"));
        let source = format!("[{}] {source} ({heading}, line {})", it["number"], it["firstLine"]);
        if !self.sources.iter().any(|it| it.1 == source) {
            self.sources.push((index, source));
        }
    }

    /// What was printed stays where it is: the answer is shown anew, as far as it
    /// stands.
    fn rewind(&mut self, to: u64, screen: &mut Screen) -> Result<(), Error> {
        self.sources.retain(|it| it.0 <= to);
        let before = self.pieces.len();
        self.pieces.retain(|it| it.0 <= to);
        if self.pieces.len() == before {
            return Ok(());
        }
        screen.note(Paint::Yellow, "[an earlier part is taken back; the answer begins again]")?;
        self.pieces.iter().try_for_each(|it| screen.text(&it.1))
    }

    fn end(
        &mut self,
        kind: &str,
        value: &Value,
        screen: &mut Screen,
    ) -> Result<Option<End>, Error> {
        let end = match kind {
            "completed" => End::Completed,
            "failed" => End::Failed,
            "cancelled" => End::Stopped,
            "deleted" => End::Erased,
            "interrupted" => {
                let calls = value["interrupted"]["calls"].as_array();
                End::Waits(calls.cloned().unwrap_or_default())
            }
            _ => return Ok(None),
        };
        screen.end_text()?;
        for (_, source) in self.sources.drain(..) {
            screen.note(Paint::Dim, &source)?;
        }
        match (&end, value["completed"]["finishReason"].as_str()) {
            (End::Failed, _) => {
                let message = value["failed"]["message"].as_str().unwrap_or("failed");
                screen.note(Paint::Red, &format!("weir: {}", plain::line(message)))?;
            }
            (End::Stopped, _) => screen.note(Paint::Yellow, "[stopped]")?,
            (End::Erased, _) => screen.note(Paint::Red, "[the session was erased]")?,
            (End::Completed, Some("length")) => {
                screen.note(Paint::Yellow, "[the model stopped at its limit of length]")?;
            }
            (End::Completed, Some("content_filter")) => {
                screen.note(Paint::Yellow, "[the model's filter ended the answer]")?;
            }
            (End::Completed | End::Waits(_), _) => {}
        }
        Ok(Some(end))
    }
}

/// A field's text on one line.
pub(super) fn field(value: &Value, name: &str) -> String {
    plain::line(value[name].as_str().unwrap_or_default())
}

/// The beginning of a field's text on one line.
pub(super) fn short(value: &Value, name: &str, most: usize) -> String {
    plain::line(&plain::shortened(value[name].as_str().unwrap_or_default().trim(), most))
}
