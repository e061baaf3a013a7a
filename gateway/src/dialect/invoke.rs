//! The answers and frames of `/agent/*`, as the `FastAPI` backend had them that
//! Weir replaces: a turn as one object, and a turn as frames of `data:` alone.
//!
//! Times are seconds since 1970 as a number with a fraction. Messages have the
//! types that `LangChain` gives them. A cancelled turn is an `error` with a clear
//! message: what was said of it until then must not be taken for an answer. What
//! was taken back is told by a frame `rewind` with all text and all calls that are
//! left, which clients that do not know it ignore; the last frame has the whole
//! text for them.

use std::time::Duration;

use broker::{Position, Stored};
use proto::{Ending, Event, Failed, Interrupted, SessionId, SessionRecord, TurnId, event};
use serde::Serialize;
use utoipa::ToSchema;

use super::messages::Messages;
use super::{Dialect, ERASED, json};

mod message;
mod review;

pub(crate) use message::Message;
pub(crate) use review::Review;

/// How a turn is explained that somebody stopped.
pub(crate) const CANCELLED: &str = "The turn was cancelled.";

/// Where the time comes from, since 1970.
pub(crate) type Clock = fn() -> Duration;

/// What a turn came to.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentAnswer)]
pub(crate) struct Answer {
    pub(crate) session_id: String,
    /// `completed`, `interrupted` or `error`.
    pub(crate) status: &'static str,
    /// When this was told, or when it was so.
    pub(crate) timestamp: f64,
    /// What went wrong.
    pub(crate) message: Option<String>,
    /// What was said; none of a turn that failed.
    pub(crate) result: Option<Said>,
    /// The calls that wait.
    pub(crate) interrupt_data: Option<Review>,
    pub(crate) turn_id: String,
}

/// The messages of a turn. The last one of a completed turn is its answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AgentSaid)]
pub(crate) struct Said {
    pub(crate) messages: Vec<Message>,
}

/// Gathers a turn.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    messages: Messages,
    interrupt: Option<Interrupted>,
    error: Option<String>,
}

impl Gathering {
    /// Takes an entry; how the turn ended, if it ended with it.
    pub(crate) fn entry(&mut self, stored: &Stored) -> Option<Ending> {
        let mut ending = None;
        for event in &stored.entry.events {
            let Some(kind) = &event.kind else { continue };
            ending = ending.or(kind.ending());
            self.event(event.index, kind);
        }
        ending
    }

    fn event(&mut self, index: u32, kind: &event::Kind) {
        self.messages.event(index, kind);
        if let event::Kind::Interrupted(it) = kind {
            self.interrupt = Some(it.clone());
        } else if let event::Kind::Failed(it) = kind {
            self.error = Some(it.message.clone());
        }
    }

    /// Takes what is kept of a turn that has left the log: what it said, or else
    /// the beginnings of that.
    pub(crate) fn kept(&mut self, record: &SessionRecord, said: Option<Vec<proto::Message>>) {
        let beginnings = || {
            [("user", &record.question), ("assistant", &record.answer)].map(|(role, content)| {
                let (role, content) = (role.to_owned(), content.clone());
                proto::Message { role, content, ..proto::Message::default() }
            })
        };
        self.messages.kept(said.unwrap_or_else(|| beginnings().into()));
        self.error = Some(record.error.clone()).filter(|it| !it.is_empty());
    }

    /// The turn as one object; it was erased when it has no ending.
    pub(crate) fn finish(
        self,
        (session, turn): (&SessionId, TurnId),
        ending: Option<Ending>,
        now: Duration,
    ) -> Answer {
        let (status, message) = match ending {
            Some(Ending::Completed) => ("completed", None),
            Some(Ending::Interrupted) => ("interrupted", None),
            Some(Ending::Cancelled) => ("error", Some(CANCELLED.to_owned())),
            Some(Ending::Failed | Ending::Unspecified) => {
                ("error", Some(self.error.unwrap_or_else(|| "The turn failed.".to_owned())))
            }
            None => ("error", Some(ERASED.to_owned())),
        };
        let said = message.is_none().then(|| Said::of(self.messages, status == "completed"));
        Answer {
            session_id: session.to_string(),
            status,
            timestamp: now.as_secs_f64(),
            message,
            result: said,
            interrupt_data: self.interrupt.as_ref().and_then(|it| Review::of(&it.calls)),
            turn_id: turn.to_string(),
        }
    }
}

impl Said {
    /// What a turn said. A completed one ends with an answer, even an empty one:
    /// clients look for it in the last message.
    fn of(messages: Messages, completed: bool) -> Self {
        let mut messages = Message::all(messages);
        if completed && !messages.last().is_some_and(Message::is_answer) {
            messages.push(Message::answer(String::new()));
        }
        Self { messages }
    }

    /// The question that the turn answers; none of one that brings decisions.
    pub(crate) fn question(&self) -> Option<String> {
        self.messages.iter().find_map(|it| match it {
            Message::Human { content } => Some(content.clone()),
            Message::Ai { .. } | Message::Tool { .. } | Message::System { .. } => None,
        })
    }
}

/// The encoder of one turn.
#[derive(Debug)]
pub(crate) struct Invoke {
    session: SessionId,
    turn: TurnId,
    clock: Clock,
    gathering: Gathering,
}

#[derive(Debug, Default, Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupt_data: Option<Review>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Calls { tool_calls: Vec<message::Call> },
    Whole { content: String, messages: Vec<Message> },
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    frame: Frame<'a>,
    session_id: &'a str,
    turn_id: String,
    timestamp: f64,
}

impl Invoke {
    pub(crate) fn new(session: SessionId, turn: TurnId, clock: Clock) -> Self {
        Self { session, turn, clock, gathering: Gathering::default() }
    }

    fn frame(&self, frame: Frame<'_>, out: &mut String) {
        let named = Named {
            frame,
            session_id: self.session.as_str(),
            turn_id: self.turn.to_string(),
            timestamp: (self.clock)().as_secs_f64(),
        };
        out.push_str("data: ");
        json(&named, out);
        out.push_str("\n\n");
    }

    fn event(&mut self, event: &Event, kind: &event::Kind, out: &mut String) {
        use event::Kind as K;
        self.gathering.event(event.index, kind);
        match kind {
            K::Text(text) => {
                let content = Some(text.as_str());
                self.frame(Frame { kind: "text_chunk", content, ..Frame::default() }, out);
            }
            K::ToolCall(call) => {
                let data = Data::Calls { tool_calls: vec![message::Call::of(call)] };
                self.frame(Frame { kind: "tool_call", data: Some(data), ..Frame::default() }, out);
            }
            K::Rewind(_) => self.left(out),
            K::Interrupted(it) => {
                let interrupt_data = Review::of(&it.calls);
                let frame = Frame { kind: "interrupt", interrupt_data, ..Frame::default() };
                self.frame(frame, out);
            }
            K::Completed(_) => self.completed(out),
            K::Failed(Failed { message, .. }) => self.error(message, out),
            K::Cancelled(_) => self.error(CANCELLED, out),
            K::Deleted(_) => self.error(ERASED, out),
            K::Reasoning(_)
            | K::ToolResult(_)
            | K::Citation(_)
            | K::Usage(_)
            | K::Started(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Gap(_) => {}
        }
    }

    /// What is left after something was taken back.
    fn left(&self, out: &mut String) {
        let text = self.gathering.messages.text();
        let tool_calls = self.gathering.messages.calls().map(message::Call::of).collect();
        let frame = Frame {
            kind: "rewind",
            content: Some(&text),
            data: Some(Data::Calls { tool_calls }),
            ..Frame::default()
        };
        self.frame(frame, out);
    }

    fn completed(&mut self, out: &mut String) {
        let messages = std::mem::take(&mut self.gathering.messages);
        let content = messages.text();
        let data = Some(Data::Whole { content, messages: Said::of(messages, true).messages });
        self.frame(Frame { kind: "completed", data, ..Frame::default() }, out);
    }

    fn error(&self, message: &str, out: &mut String) {
        let error_message = Some(message);
        self.frame(Frame { kind: "error", error_message, ..Frame::default() }, out);
    }
}

impl Dialect for Invoke {
    fn open(&mut self, _: &mut String) {}

    fn entry(&mut self, _: Position, stored: &Stored, _: usize, out: &mut String) {
        for event in &stored.entry.events {
            if let Some(kind) = &event.kind {
                self.event(event, kind, out);
            }
        }
    }

    /// The turn is told anew: what was said of it is taken back.
    fn gap(&mut self, _: &event::Kind, out: &mut String) {
        self.gathering.messages.rewind(0);
        self.left(out);
    }
}

#[cfg(test)]
mod tests;
