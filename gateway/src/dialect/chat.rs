//! The frames of `POST /chat`: `session`, then `message`s, then `end`.

use broker::{Position, Stored};
use proto::{Ending, Event, Failed, PendingCall, SessionId, ToolCall, TurnId, event};
use serde::Serialize;

use super::said::Said;
use super::{Dialect, ERASED, compatible_name, frame};

/// The encoder of one turn.
#[derive(Debug)]
pub(crate) struct Chat {
    session: SessionId,
    turn: TurnId,
    said: Said,
    /// Calls with the agent's number.
    calls: Vec<(u32, ToolCall)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a, T> {
    session_id: &'a str,
    turn_id: String,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
enum Message<'a> {
    TextChunk {
        content: &'a str,
    },
    /// All text, and all calls, that are left after some were taken back.
    #[serde(rename_all = "camelCase")]
    Rewind {
        content: &'a str,
        tool_calls: Vec<&'a ToolCall>,
    },
    #[serde(rename_all = "camelCase")]
    ToolCall {
        tool_call: &'a ToolCall,
    },
    Interrupt {
        calls: &'a [PendingCall],
    },
}

#[derive(Serialize)]
struct End<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct Nothing {}

impl Chat {
    pub(crate) fn new(session: SessionId, turn: TurnId) -> Self {
        Self { session, turn, said: Said::default(), calls: Vec::new() }
    }

    fn frame(&self, name: &str, what: impl Serialize, out: &mut String) {
        let data =
            Frame { session_id: self.session.as_str(), turn_id: self.turn.to_string(), what };
        frame(name, &data, out);
    }

    fn event(&mut self, event: &Event, kind: &event::Kind, out: &mut String) {
        use event::Kind as K;
        match kind {
            K::Text(text) => {
                self.said.push(event.index, text);
                self.frame("message", Message::TextChunk { content: text }, out);
            }
            K::Rewind(back) => self.rewind(back.to, out),
            K::ToolCall(tool_call) => {
                self.calls.push((event.index, tool_call.clone()));
                self.frame("message", Message::ToolCall { tool_call }, out);
            }
            K::Interrupted(it) => {
                self.frame("message", Message::Interrupt { calls: &it.calls }, out);
                self.end(kind, None, out);
            }
            K::Failed(Failed { message, .. }) => self.end(kind, Some(message), out),
            K::Completed(_) | K::Cancelled(_) => self.end(kind, None, out),
            K::Deleted(_) => self.erased(out),
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

    fn end(&self, kind: &event::Kind, message: Option<&str>, out: &mut String) {
        if let Some(ending) = kind.ending() {
            let status = compatible_name(ending);
            self.frame("end", End { status, message }, out);
        }
    }
}

impl Chat {
    /// Takes back what came after the event with this number.
    fn rewind(&mut self, to: u32, out: &mut String) {
        self.said.rewind(to);
        self.calls.retain(|it| it.0 <= to);
        let tool_calls = self.calls.iter().map(|it| &it.1).collect();
        let content = self.said.text();
        self.frame("message", Message::Rewind { content, tool_calls }, out);
    }

    fn erased(&self, out: &mut String) {
        let status = compatible_name(Ending::Cancelled);
        self.frame("end", End { status, message: Some(ERASED) }, out);
    }
}

impl Dialect for Chat {
    fn open(&mut self, out: &mut String) {
        self.frame("session", Nothing {}, out);
    }

    fn entry(&mut self, _: Position, stored: &Stored, _: usize, out: &mut String) {
        for event in &stored.entry.events {
            if let Some(kind) = &event.kind {
                self.event(event, kind, out);
            }
        }
    }

    /// The turn is told anew: what was said of it is taken back.
    fn gap(&mut self, _: &event::Kind, out: &mut String) {
        self.rewind(0, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Epoch, Sequence};
    use event::Kind as K;

    const HEAD: &str = r#"data: {"sessionId":"s","turnId":"00000000-0000-7000-8000-000000000001""#;

    fn check(kinds: Vec<(u32, K)>, expected: &str) {
        let turn = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let mut chat = Chat::new("s".parse().unwrap(), turn);
        let sequence = Sequence(1);
        let at = Position { epoch: Epoch(1), sequence };
        let mut out = String::new();
        for (index, kind) in kinds {
            let entry = proto::Entry {
                events: vec![Event { index, kind: Some(kind) }],
                ..proto::Entry::default()
            };
            chat.entry(at, &Stored { sequence, entry }, 0, &mut out);
        }
        assert_eq!(out, expected.replace("HEAD", HEAD));
    }

    #[test]
    fn text_comes_in_chunks_and_the_last_event_is_end() {
        check(
            vec![
                (0, K::Started(proto::Started::default())),
                (1, K::Text("你\n".into())),
                (2, K::Completed(proto::Completed::default())),
            ],
            "event: message\nHEAD,\"type\":\"text_chunk\",\"content\":\"你\\n\"}\n\n\
             event: end\nHEAD,\"status\":\"completed\"}\n\n",
        );
    }

    #[test]
    fn a_failure_is_an_end_with_its_sentence() {
        let failed =
            Failed { code: "x".into(), message: "No such model.".into(), retryable: false };
        check(
            vec![(1, K::Failed(failed))],
            "event: end\nHEAD,\"status\":\"error\",\"message\":\"No such model.\"}\n\n",
        );
    }

    #[test]
    fn an_erased_session_ends_its_turns() {
        check(
            vec![(1, K::Text("a".into())), (0, K::Deleted(proto::Deleted {}))],
            "event: message\nHEAD,\"type\":\"text_chunk\",\"content\":\"a\"}\n\n\
             event: end\nHEAD,\"status\":\"cancelled\",\"message\":\"The session was deleted.\"}\n\n",
        );
    }

    #[test]
    fn what_is_taken_back_is_told_with_what_is_left() {
        let call = |id: &str| ToolCall { call_id: id.into(), ..ToolCall::default() };
        check(
            vec![
                (1, K::Text("a".into())),
                (2, K::ToolCall(call("kept"))),
                (3, K::Text("b".into())),
                (4, K::ToolCall(call("void"))),
                (2, K::Rewind(proto::Rewind { to: 2 })),
                (0, K::Rewind(proto::Rewind { to: 0 })),
            ],
            "event: message\nHEAD,\"type\":\"text_chunk\",\"content\":\"a\"}\n\n\
             event: message\nHEAD,\"type\":\"tool_call\",\"toolCall\":{\"callId\":\"kept\"}}\n\n\
             event: message\nHEAD,\"type\":\"text_chunk\",\"content\":\"b\"}\n\n\
             event: message\nHEAD,\"type\":\"tool_call\",\"toolCall\":{\"callId\":\"void\"}}\n\n\
             event: message\nHEAD,\"type\":\"rewind\",\"content\":\"a\",\"toolCalls\":[{\"callId\":\"kept\"}]}\n\n\
             event: message\nHEAD,\"type\":\"rewind\",\"content\":\"\",\"toolCalls\":[]}\n\n",
        );
    }

    #[test]
    fn tool_calls_and_pending_reviews_are_messages() {
        let call = ToolCall { call_id: "c".into(), name: "n".into(), arguments: "{}".into() };
        let pending = PendingCall { call_id: "c".into(), ..PendingCall::default() };
        check(
            vec![
                (1, K::ToolCall(call)),
                (2, K::Interrupted(proto::Interrupted { calls: vec![pending], expires: None })),
            ],
            "event: message\nHEAD,\"type\":\"tool_call\",\"toolCall\":{\"callId\":\"c\",\"name\":\"n\",\"arguments\":\"{}\"}}\n\n\
             event: message\nHEAD,\"type\":\"interrupt\",\"calls\":[{\"callId\":\"c\"}]}\n\n\
             event: end\nHEAD,\"status\":\"interrupted\"}\n\n",
        );
    }
}
