//! A whole turn as one JSON object, for clients that wait for its end.

use broker::Stored;
use proto::{Ending, Failed, Interrupted, Session, ToolCall, TurnId, Usage, event};
use serde::Serialize;

use super::said::Said;
use super::{ERASED, ending_name};

/// Gathers a turn's entries.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    said: Said,
    /// Calls with the agent's number, so that a rewind can take them back.
    calls: Vec<(u32, ToolCall)>,
    usage: Usage,
    interrupt: Option<Interrupted>,
    error: Option<Failed>,
}

/// What a turn came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    session_id: String,
    turn_id: String,
    status: &'static str,
    text: String,
    tool_calls: Vec<ToolCall>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupt: Option<Interrupted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failed>,
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
        use event::Kind as K;
        match kind {
            K::Text(text) => self.said.push(index, text),
            K::Rewind(rewind) => {
                self.said.rewind(rewind.to);
                self.calls.retain(|it| it.0 <= rewind.to);
            }
            K::ToolCall(call) => self.calls.push((index, call.clone())),
            K::Usage(usage) => self.usage = usage.clone(),
            K::Interrupted(interrupt) => self.interrupt = Some(interrupt.clone()),
            K::Failed(error) => self.error = Some(error.clone()),
            K::Reasoning(_)
            | K::ToolResult(_)
            | K::Citation(_)
            | K::Completed(_)
            | K::Cancelled(_)
            | K::Started(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Deleted(_)
            | K::Gap(_) => {}
        }
    }

    /// The session was erased, and what the turn had said with it.
    pub(crate) fn erased(session: &Session, turn: TurnId) -> Answer {
        let (code, message) = ("session_deleted".to_owned(), ERASED.to_owned());
        let error = Some(Failed { code, message, retryable: false });
        Self { error, ..Self::default() }.finish(session, turn, Ending::Cancelled)
    }

    pub(crate) fn finish(self, session: &Session, turn: TurnId, ending: Ending) -> Answer {
        Answer {
            session_id: session.id.to_string(),
            turn_id: turn.to_string(),
            status: ending_name(ending),
            text: self.said.into_text(),
            tool_calls: self.calls.into_iter().map(|it| it.1).collect(),
            usage: self.usage,
            interrupt: self.interrupt,
            error: self.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Sequence;
    use event::Kind as K;

    #[test]
    fn an_answer_holds_what_was_not_taken_back() {
        let call = |id: &str| ToolCall { call_id: id.into(), ..ToolCall::default() };
        let kinds = [
            (1, K::Text("a".into())),
            (2, K::ToolCall(call("kept"))),
            (3, K::Text("b".into())),
            (4, K::ToolCall(call("void"))),
            (5, K::Rewind(proto::Rewind { to: 2 })),
            (6, K::Text("c".into())),
            (7, K::Usage(Usage { output_tokens: 3, ..Usage::default() })),
            (8, K::Completed(proto::Completed::default())),
        ];
        let events = kinds.map(|(index, kind)| proto::Event { index, kind: Some(kind) });
        let entry = proto::Entry { events: events.into(), ..proto::Entry::default() };
        let mut gathering = Gathering::default();
        let ending = gathering.entry(&Stored { sequence: Sequence(1), entry });
        assert_eq!(ending, Some(Ending::Completed));
        let session = Session::parse("u", "s").unwrap();
        let turn = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let answer = gathering.finish(&session, turn, Ending::Completed);
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"sessionId":"s","turnId":"00000000-0000-7000-8000-000000000001","status":"completed","text":"ac","toolCalls":[{"callId":"kept"}],"usage":{"outputTokens":3}}"#
        );
    }
}
