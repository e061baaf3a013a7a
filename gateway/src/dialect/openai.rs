//! OpenAI's chat completions: the chunks of a stream, and the whole completion.
//!
//! Calls that the agent makes by itself are not shown: a client takes what it is
//! shown for its own to make. Those that wait for a human are. What was sent
//! cannot be taken back in this contract, so a rewind behind it is an error.

mod told;
mod whole;

use broker::{Position, Stored};
use proto::{Ending, Failed, Interrupted, Usage, event};
use serde::Serialize;
use serde_json::json;

use super::answer::{BETWEEN_STEPS, total};
use super::{Dialect, ERASED, ending_name, json};
use crate::openai::Fault;
pub(crate) use told::{About, Head};
use told::{Call, Delta, Used, calls};
pub(crate) use whole::completion;

/// The encoder of one turn.
#[derive(Debug)]
pub(crate) struct Chunks {
    head: Head,
    /// Whether the client wants to be told what was used.
    usage: bool,
    /// The agent's number of the last piece that was sent; none before the first.
    sent: Option<u32>,
    /// The number of the last piece of text, and its last character.
    text: (u32, Option<char>),
    /// The agent's numbers of what was said of tools.
    tools: Vec<u32>,
    /// What each step used, with the agent's number.
    usages: Vec<(u32, Usage)>,
    over: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: &'a [Choice<'a>],
    /// Absent when it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Share>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weir: Option<&'a About<'a>>,
}

/// What a chunk says of what was used: null, as OpenAI does, or in the end all.
#[derive(Serialize)]
#[serde(untagged)]
enum Share {
    None(()),
    All(Used),
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    finish_reason: Option<&'a str>,
}

impl Chunks {
    pub(crate) fn new(head: Head, usage: bool) -> Self {
        let head = head.of_chunks();
        Self {
            head,
            usage,
            sent: None,
            text: (0, None),
            tools: Vec::new(),
            usages: Vec::new(),
            over: false,
        }
    }

    fn event(&mut self, index: u32, kind: &event::Kind, out: &mut String) {
        use event::Kind as K;
        match kind {
            K::Text(text) => self.text(index, text, out),
            K::Reasoning(text) => {
                self.sent = Some(index);
                self.delta(&Delta { reasoning_content: Some(text), ..Delta::default() }, out);
            }
            K::ToolCall(_) | K::ToolResult(_) => self.tools.push(index),
            K::Usage(usage) => self.usages.push((index, usage.clone())),
            K::Rewind(rewind) => self.rewind(rewind.to, out),
            K::Completed(completed) => {
                let reason = told::finish_reason(&completed.finish_reason);
                self.finish(reason, &self.about(Ending::Completed, None), out);
            }
            K::Interrupted(interrupt) => self.interrupted(interrupt, out),
            K::Cancelled(_) => self.finish("stop", &self.about(Ending::Cancelled, None), out),
            K::Failed(failed) => self.fail(&Fault::of(failed).1, out),
            K::Deleted(_) => self.broken("session_deleted", ERASED, out),
            K::Citation(_)
            | K::Started(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Gap(_) => {}
        }
    }

    fn text(&mut self, index: u32, text: &str, out: &mut String) {
        let (last, before) = self.text;
        let apart = before.is_none_or(char::is_whitespace) || text.starts_with(char::is_whitespace);
        let stepped = self.tools.last().is_some_and(|it| *it > last);
        if stepped && !apart {
            let text = format!("{BETWEEN_STEPS}{text}");
            self.delta(&Delta { content: Some(&text), ..Delta::default() }, out);
        } else {
            self.delta(&Delta { content: Some(text), ..Delta::default() }, out);
        }
        self.sent = Some(index);
        self.text = (index, text.chars().next_back().or(before));
    }

    fn rewind(&mut self, to: u32, out: &mut String) {
        if self.sent.is_some_and(|it| it > to) {
            self.broken("taken_back", "what was said is taken back; ask again", out);
        }
        self.tools.retain(|it| *it <= to);
        self.usages.retain(|it| it.0 <= to);
    }

    fn interrupted(&mut self, interrupt: &Interrupted, out: &mut String) {
        let calls: Vec<Call<'_>> = calls(&interrupt.calls);
        self.delta(&Delta { tool_calls: Some(&calls), ..Delta::default() }, out);
        let about = self.about(Ending::Interrupted, Some(interrupt));
        self.finish("tool_calls", &about, out);
    }

    fn about<'a>(&self, ending: Ending, interrupt: Option<&'a Interrupted>) -> About<'a> {
        self.head.about(ending_name(ending), interrupt)
    }

    fn delta(&self, delta: &Delta<'_>, out: &mut String) {
        let choice = Choice { index: 0, delta: delta.clone(), finish_reason: None };
        self.chunk(&[choice], None, out);
    }

    fn chunk(&self, choices: &[Choice<'_>], weir: Option<&About<'_>>, out: &mut String) {
        let usage = self.usage.then_some(Share::None(()));
        data(&Chunk { head: &self.head, choices, usage, weir }, out);
    }

    /// The last chunk of the answer, what it used, and the end.
    fn finish(&self, reason: &str, about: &About<'_>, out: &mut String) {
        let choice = Choice { index: 0, delta: Delta::default(), finish_reason: Some(reason) };
        self.chunk(&[choice], Some(about), out);
        if self.usage {
            let used = Used::of(&total(self.usages.iter().map(|it| it.1.clone())));
            let usage = Some(Share::All(used));
            data(&Chunk { head: &self.head, choices: &[], usage, weir: None }, out);
        }
        out.push_str("data: [DONE]\n\n");
    }

    /// Ends the stream without an end of the answer.
    fn broken(&mut self, code: &str, message: &str, out: &mut String) {
        let status = http::StatusCode::INTERNAL_SERVER_ERROR;
        self.fail(&Fault::new(status, code, message), out);
    }

    fn fail(&mut self, fault: &Fault, out: &mut String) {
        data(&json!({ "error": fault }), out);
        self.over = true;
    }
}

impl Dialect for Chunks {
    fn open(&mut self, out: &mut String) {
        let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
        self.delta(&delta, out);
    }

    fn entry(&mut self, _: Position, stored: &Stored, _: usize, out: &mut String) {
        for event in &stored.entry.events {
            if let (Some(kind), false) = (&event.kind, self.over) {
                self.event(event.index, kind, out);
            }
        }
    }

    /// The turn is told anew, which must not be told twice.
    fn gap(&mut self, _: &event::Kind, out: &mut String) {
        self.rewind(0, out);
    }

    fn expired(&mut self, out: &mut String) {
        let status = http::StatusCode::UNAUTHORIZED;
        self.fail(&Fault::new(status, "auth_expired", "the credential has ended"), out);
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

fn data(value: &impl Serialize, out: &mut String) {
    out.push_str("data: ");
    json(value, out);
    out.push_str("\n\n");
}

/// Why a turn ended without an answer, when its stored end says so.
pub(crate) fn failure(failed: &Failed) -> (http::StatusCode, serde_json::Value) {
    let (status, fault) = Fault::of(failed);
    (status, json!({ "error": fault }))
}

#[cfg(test)]
mod tests;
