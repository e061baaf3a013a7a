//! What a turn has said, as the messages that it adds to a conversation. Leaves
//! out what was taken back.

use std::collections::BTreeMap;

use proto::{Entry, Message, ToolCall, ToolResult, event};

/// Gathers a turn's entries.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    question: String,
    /// The turn whose place this one takes.
    replaces: String,
    /// With the agent's numbers, so that a rewind can take them back.
    pieces: Vec<(u32, Piece)>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Call(ToolCall),
    Result(ToolResult),
}

impl Messages {
    /// Takes an entry of the turn.
    pub(crate) fn entry(&mut self, entry: &Entry) {
        for event in &entry.events {
            if let Some(kind) = &event.kind {
                self.event(event.index, kind);
            }
        }
    }

    /// Takes an event of the turn.
    pub(crate) fn event(&mut self, index: u32, kind: &event::Kind) {
        use event::Kind as K;
        match kind {
            K::Started(started) => {
                self.question.clone_from(&started.input);
                self.replaces.clone_from(&started.replaces);
            }
            K::Text(text) => self.pieces.push((index, Piece::Text(text.clone()))),
            K::ToolCall(call) => self.pieces.push((index, Piece::Call(call.clone()))),
            K::ToolResult(result) => self.pieces.push((index, Piece::Result(result.clone()))),
            K::Rewind(rewind) => self.rewind(rewind.to),
            K::Reasoning(_)
            | K::Citation(_)
            | K::Usage(_)
            | K::Completed(_)
            | K::Interrupted(_)
            | K::Failed(_)
            | K::Cancelled(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Deleted(_)
            | K::Gap(_) => {}
        }
    }

    /// Takes what is kept of a turn, message by message.
    pub(crate) fn kept(&mut self, messages: Vec<Message>) {
        for Message { role, content, tool_calls, tool_call_id: call_id } in messages {
            match role.as_str() {
                "user" => self.question = content,
                "tool" => {
                    let result = ToolResult { call_id, content, ..ToolResult::default() };
                    self.pieces.push((0, Piece::Result(result)));
                }
                _assistant => {
                    self.pieces.push((0, Piece::Text(content)));
                    self.pieces.extend(tool_calls.into_iter().map(|it| (0, Piece::Call(it))));
                }
            }
        }
    }

    /// Each call's tool, as far as its call or its result was heard.
    pub(crate) fn names(&self) -> BTreeMap<String, String> {
        let named = self.pieces.iter().filter_map(|it| match &it.1 {
            Piece::Call(ToolCall { call_id, name, .. })
            | Piece::Result(ToolResult { call_id, name, .. }) => Some((call_id, name)),
            Piece::Text(_) => None,
        });
        let named = named.filter(|it| !it.1.is_empty());
        named.map(|(id, name)| (id.clone(), name.clone())).collect()
    }

    /// Takes back what came after the event with this number.
    pub(crate) fn rewind(&mut self, to: u32) {
        self.pieces.retain(|it| it.0 <= to);
    }

    /// The calls that were asked for.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.pieces.iter().filter_map(|it| match &it.1 {
            Piece::Call(call) => Some(call),
            Piece::Text(_) | Piece::Result(_) => None,
        })
    }

    /// The turn whose place this one takes; empty for none.
    pub(crate) fn replaces(&self) -> &str {
        &self.replaces
    }

    /// All text that was said.
    pub(crate) fn text(&self) -> String {
        let texts = self.pieces.iter().filter_map(|it| match &it.1 {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Call(_) | Piece::Result(_) => None,
        });
        texts.collect()
    }

    /// The question, if the turn had one, and what was said to it.
    pub(crate) fn into_messages(self) -> Vec<Message> {
        let mut messages = Vec::new();
        if !self.question.is_empty() {
            messages.push(said("user", self.question));
        }
        for (_, piece) in self.pieces {
            match piece {
                Piece::Text(text) => assistant(&mut messages).content.push_str(&text),
                Piece::Call(call) => assistant(&mut messages).tool_calls.push(call),
                Piece::Result(result) => messages
                    .push(Message { tool_call_id: result.call_id, ..said("tool", result.content) }),
            }
        }
        messages
    }
}

fn said(role: &str, content: String) -> Message {
    Message { role: role.to_owned(), content, ..Message::default() }
}

/// The assistant's message that is being said: a tool's result ends one.
fn assistant(messages: &mut Vec<Message>) -> &mut Message {
    if messages.last().is_none_or(|it| it.role != "assistant") {
        messages.push(said("assistant", String::new()));
    }
    messages.last_mut().expect("there is one now")
}

#[cfg(test)]
mod tests {
    use super::*;
    use event::Kind as K;

    fn call(id: &str) -> K {
        K::ToolCall(ToolCall { call_id: id.into(), ..ToolCall::default() })
    }

    fn result(id: &str) -> K {
        K::ToolResult(ToolResult {
            call_id: id.into(),
            content: format!("of {id}"),
            ..ToolResult::default()
        })
    }

    #[test]
    fn steps_are_messages_and_what_was_taken_back_is_none() {
        let mut messages = Messages::default();
        let question = proto::Started { input: "Why?".into(), ..Default::default() };
        for (index, kind) in [
            (0, K::Started(question)),
            (1, K::Text("Let ".into())),
            (2, K::Text("me look.".into())),
            (3, call("a")),
            (4, call("b")),
            (5, result("a")),
            (6, result("b")),
            (7, K::Text("wrong".into())),
            (8, call("c")),
            (6, K::Rewind(proto::Rewind { to: 6 })),
            (7, K::Text("Right.".into())),
        ] {
            messages.event(index, &kind);
        }
        assert_eq!(messages.text(), "Let me look.Right.");
        let calls: Vec<_> = messages.calls().map(|it| it.call_id.clone()).collect();
        assert_eq!(calls, ["a", "b"]);
        let told: Vec<_> = messages
            .into_messages()
            .into_iter()
            .map(|it| (it.role, it.content, it.tool_calls.len(), it.tool_call_id))
            .collect();
        let of = |role: &str, content: &str, calls, id: &str| {
            (role.to_owned(), content.to_owned(), calls, id.to_owned())
        };
        assert_eq!(
            told,
            [
                of("user", "Why?", 0, ""),
                of("assistant", "Let me look.", 2, ""),
                of("tool", "of a", 0, "a"),
                of("tool", "of b", 0, "b"),
                of("assistant", "Right.", 0, ""),
            ]
        );
    }
}
