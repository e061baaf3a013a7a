//! A whole turn as one JSON object, for clients that wait for its end.

use broker::Stored;
use proto::{Ending, Failed, Interrupted, Session, ToolCall, TurnId, Usage, event};
use serde::Serialize;
use utoipa::ToSchema;

use super::said::Said;
use super::{ERASED, ending_name};
use crate::document::words;

/// Gathers a turn's entries.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    said: Said,
    reasoning: Said,
    finish_reason: String,
    /// Calls with the agent's number, so that a rewind can take them back.
    calls: Vec<(u32, ToolCall)>,
    /// What each step used, with the agent's number.
    usages: Vec<(u32, Usage)>,
    /// The agent's numbers of what was said of tools.
    tools: Vec<u32>,
    interrupt: Option<Interrupted>,
    error: Option<Failed>,
}

/// What stands between what the model says before it calls a tool and after.
pub(super) const BETWEEN_STEPS: &str = "\n\n";

/// What a turn came to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) session_id: String,
    pub(crate) turn_id: String,
    /// `completed`, `interrupted`, `failed` or `cancelled`.
    pub(crate) status: &'static str,
    pub(crate) text: String,
    #[schema(value_type = Vec<words::ToolCall>)]
    pub(crate) tool_calls: Vec<ToolCall>,
    #[schema(value_type = words::Usage)]
    pub(crate) usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Interrupted>)]
    pub(crate) interrupt: Option<Interrupted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Failed>)]
    pub(crate) error: Option<Failed>,
    /// The thoughts behind the text, which not every dialect tells.
    #[serde(skip)]
    pub(crate) reasoning: String,
    /// Why the answer stopped, as its model said.
    #[serde(skip)]
    pub(crate) finish_reason: String,
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
            K::Text(text) => self.text(index, text),
            K::Reasoning(text) => self.reasoning.push(index, text),
            K::Completed(completed) => self.finish_reason.clone_from(&completed.finish_reason),
            K::Rewind(rewind) => {
                self.said.rewind(rewind.to);
                self.reasoning.rewind(rewind.to);
                self.calls.retain(|it| it.0 <= rewind.to);
                self.usages.retain(|it| it.0 <= rewind.to);
                self.tools.retain(|it| *it <= rewind.to);
            }
            K::ToolCall(call) => {
                self.tools.push(index);
                self.calls.push((index, call.clone()));
            }
            K::ToolResult(_) => self.tools.push(index),
            K::Usage(usage) => self.usages.push((index, usage.clone())),
            K::Interrupted(interrupt) => self.interrupt = Some(interrupt.clone()),
            K::Failed(error) => self.error = Some(error.clone()),
            K::Citation(_)
            | K::Cancelled(_)
            | K::Started(_)
            | K::Resumed(_)
            | K::HandedOver(_)
            | K::CancelRequested(_)
            | K::Deleted(_)
            | K::Gap(_) => {}
        }
    }

    fn text(&mut self, index: u32, text: &str) {
        let before = self.said.text().chars().next_back();
        let apart = before.is_none_or(char::is_whitespace) || text.starts_with(char::is_whitespace);
        let stepped = self.tools.last().is_some_and(|it| *it > self.said.index());
        if stepped && !apart {
            self.said.push(index, BETWEEN_STEPS);
        }
        self.said.push(index, text);
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
            usage: total(self.usages.into_iter().map(|it| it.1)),
            interrupt: self.interrupt,
            error: self.error,
            reasoning: self.reasoning.into_text(),
            finish_reason: self.finish_reason,
        }
    }
}

/// What all steps used together. What a model was not shown, and which one it
/// was, is the last step's.
pub(crate) fn total(steps: impl Iterator<Item = Usage>) -> Usage {
    steps.fold(Usage::default(), |sum, step| Usage {
        input_tokens: sum.input_tokens.saturating_add(step.input_tokens),
        output_tokens: sum.output_tokens.saturating_add(step.output_tokens),
        reasoning_tokens: sum.reasoning_tokens.saturating_add(step.reasoning_tokens),
        cached_tokens: sum.cached_tokens.saturating_add(step.cached_tokens),
        ..step
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Sequence;
    use event::Kind as K;

    fn gathered(kinds: &[(u32, K)]) -> String {
        let event =
            |(index, kind): &(u32, K)| proto::Event { index: *index, kind: Some(kind.clone()) };
        let events = kinds.iter().map(event).collect();
        let entry = proto::Entry { events, ..proto::Entry::default() };
        let mut gathering = Gathering::default();
        let ending = gathering.entry(&Stored { sequence: Sequence(1), entry }).expect("an end");
        let session = Session::parse("u", "s").unwrap();
        let turn = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        serde_json::to_string(&gathering.finish(&session, turn, ending)).unwrap()
    }

    fn call(id: &str) -> K {
        K::ToolCall(ToolCall { call_id: id.into(), ..ToolCall::default() })
    }

    fn done() -> K {
        K::Completed(proto::Completed::default())
    }

    #[test]
    fn an_answer_holds_what_was_not_taken_back() {
        let usage = |it| K::Usage(Usage { output_tokens: it, ..Usage::default() });
        assert_eq!(
            gathered(&[
                (1, K::Text("a".into())),
                (2, call("kept")),
                (3, K::Text("b".into())),
                (4, call("void")),
                (5, usage(100)),
                (6, K::Rewind(proto::Rewind { to: 2 })),
                (7, K::Text("c".into())),
                (8, usage(3)),
                (9, done()),
            ]),
            r#"{"sessionId":"s","turnId":"00000000-0000-7000-8000-000000000001","status":"completed","text":"a\n\nc","toolCalls":[{"callId":"kept"}],"usage":{"outputTokens":3}}"#
        );
    }

    #[test]
    fn the_usage_of_a_turn_is_that_of_all_its_steps() {
        let step = |tokens: u32, model: &str, omitted| {
            K::Usage(Usage {
                input_tokens: tokens,
                output_tokens: 1,
                cached_tokens: u32::MAX,
                model: model.into(),
                omitted_messages: omitted,
                ..Usage::default()
            })
        };
        let answer = gathered(&[(1, step(10, "a/x", 4)), (2, step(20, "b/y", 2)), (3, done())]);
        let usage = r#""usage":{"inputTokens":30,"outputTokens":2,"cachedTokens":4294967295,"model":"b/y","omittedMessages":2}"#;
        assert!(answer.contains(usage), "{answer}");
    }

    #[test]
    fn the_texts_of_two_steps_stand_apart() {
        let text = |it: &str| K::Text(it.into());
        let result = || K::ToolResult(proto::ToolResult::default());
        for (said, expected) in [
            (
                vec![text("Let me "), text("look."), call("1"), result(), text("It"), text(" is.")],
                r"Let me look.\n\nIt is.",
            ),
            (vec![call("1"), text("a")], "a"),
            (vec![text("a\n"), call("1"), text("b")], r"a\nb"),
            (vec![text("a"), K::Reasoning("hm".into()), text("b")], "ab"),
            (vec![text("a"), call("1"), K::Rewind(proto::Rewind { to: 1 }), text("b")], "ab"),
            (vec![text("a"), call("1"), text("b"), K::Rewind(proto::Rewind { to: 2 })], "a"),
        ] {
            let mut kinds: Vec<_> = (1..).zip(said).collect();
            kinds.push((99, done()));
            let answer = gathered(&kinds);
            assert!(answer.contains(&format!(r#""text":"{expected}""#)), "{answer}");
        }
    }
}
