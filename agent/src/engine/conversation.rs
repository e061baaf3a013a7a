//! A conversation as models are shown it, from what turns said. Pure.
//!
//! Every call in it has a result behind it: providers refuse one that has not.

use std::collections::HashSet;

use proto::ask_event::Kind;
use proto::{Message, ToolCall};

/// The longest id of a call that every provider takes, and the longest name, in
/// bytes. Room is left to tell repeated ids apart.
const MAX_ID: usize = 32;
const MAX_NAME: usize = 64;

/// What a model hears of a call that nobody answered.
const UNANSWERED: &str = "This call has no result: the conversation went on without it. It may or \
    may not have been carried out.";

/// The messages that a turn adds to its conversation, from what it said.
/// `asked` are the calls of earlier turns that this one carries out.
pub(crate) fn messages<'a>(
    said: impl IntoIterator<Item = &'a Kind>,
    asked: &HashSet<String>,
) -> Vec<Message> {
    let mut messages = Vec::new();
    for kind in said {
        match kind {
            Kind::Text(text) => assistant(&mut messages).content.push_str(text),
            // What a human changed is told in the result.
            Kind::ToolCall(call) if asked.contains(&call.call_id) => {}
            Kind::ToolCall(call) => assistant(&mut messages).tool_calls.push(call.clone()),
            Kind::ToolResult(result) => messages.push(Message {
                role: "tool".to_owned(),
                content: result.content.clone(),
                tool_call_id: result.call_id.clone(),
                ..Message::default()
            }),
            Kind::Reasoning(_)
            | Kind::Citation(_)
            | Kind::Usage(_)
            | Kind::Rewind(_)
            | Kind::Completed(_)
            | Kind::Interrupted(_)
            | Kind::Failed(_)
            | Kind::Cancelled(_) => {}
        }
    }
    messages
}

/// The assistant's message that is being said: a tool's result ends one.
fn assistant(messages: &mut Vec<Message>) -> &mut Message {
    let open = messages.last().is_some_and(|it| it.role == "assistant");
    if !open {
        messages.push(Message { role: "assistant".to_owned(), ..Message::default() });
    }
    messages.last_mut().expect("there is one now")
}

/// How many times a model has answered in these messages.
pub(crate) fn steps(messages: &[Message]) -> usize {
    messages.iter().filter(|it| it.role == "assistant").count()
}

/// The conversation with every call answered, and every answer behind its call:
/// results that come later, as after a review, move up to where they belong.
pub(crate) fn whole(conversation: Vec<Message>) -> Vec<Message> {
    let mut results: Vec<Message> = Vec::new();
    let mut others = Vec::new();
    for message in conversation {
        let answers = message.role == "tool" && !message.tool_call_id.is_empty();
        if answers { results.push(message) } else { others.push(message) }
    }
    let mut whole = Vec::with_capacity(others.len() + results.len());
    for message in others {
        let calls = message.tool_calls.clone();
        whole.push(Message { tool_calls: calls.iter().map(readable).collect(), ..message });
        whole.extend(calls.iter().map(|call| answer(call, &mut results)));
    }
    whole
}

/// A call that every provider can read: some refuse a conversation in which the
/// arguments are no JSON, or a name has other letters, as models may write them.
fn readable(call: &ToolCall) -> ToolCall {
    let object = serde_json::from_str::<serde_json::Map<_, _>>(&call.arguments);
    let arguments = object.map_or_else(|_| "{}".to_owned(), |_| call.arguments.clone());
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
    let name: String = call.name.chars().map(plain).take(MAX_NAME).collect();
    let name = if name.is_empty() { "unnamed".to_owned() } else { name };
    ToolCall { name, arguments, ..call.clone() }
}

fn answer(call: &ToolCall, results: &mut Vec<Message>) -> Message {
    let at = results.iter().position(|it| it.tool_call_id == call.call_id);
    let unanswered = || Message {
        role: "tool".to_owned(),
        content: UNANSWERED.to_owned(),
        tool_call_id: call.call_id.clone(),
        ..Message::default()
    };
    at.map_or_else(unanswered, |at| results.remove(at))
}

/// Ids for the calls of a step that no call before them has: the ledger knows a
/// call by its id, and models repeat them or give none.
pub(crate) fn name(calls: &mut [ToolCall], mut taken: HashSet<String>) {
    for call in calls {
        let wanted = if usable(&call.call_id) { call.call_id.clone() } else { "call".to_owned() };
        let mut id = wanted.clone();
        let mut nth = 1;
        while taken.contains(&id) {
            nth += 1;
            id = format!("{wanted}-{nth}");
        }
        taken.insert(id.clone());
        call.call_id = id;
    }
}

fn usable(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ToolResult;

    fn call(id: &str) -> ToolCall {
        ToolCall { call_id: id.into(), name: "t".into(), arguments: "{}".into() }
    }

    fn asks(id: &str) -> Kind {
        Kind::ToolCall(call(id))
    }

    fn answers(id: &str) -> Kind {
        let (call_id, content) = (id.to_owned(), format!("result of {id}"));
        Kind::ToolResult(ToolResult { call_id, content, ..ToolResult::default() })
    }

    fn text(it: &str) -> Kind {
        Kind::Text(it.into())
    }

    fn told(messages: &[Message]) -> Vec<String> {
        let calls = |it: &Message| {
            let ids = it.tool_calls.iter().map(|it| it.call_id.as_str());
            ids.collect::<Vec<_>>().join("+")
        };
        let line = |it: &Message| match it.role.as_str() {
            "tool" => format!("{} = {}", it.tool_call_id, it.content),
            role => format!("{role}: {} [{}]", it.content, calls(it)),
        };
        messages.iter().map(line).collect()
    }

    #[test]
    fn what_a_turn_said_becomes_messages_step_by_step() {
        let said = [
            Kind::Reasoning("hm".into()),
            text("Let me "),
            text("look."),
            asks("a"),
            asks("b"),
            answers("b"),
            answers("a"),
            text("Found."),
        ];
        let messages = messages(&said, &HashSet::new());
        assert_eq!(steps(&messages), 2);
        assert_eq!(
            told(&messages),
            [
                "assistant: Let me look. [a+b]",
                "b = result of b",
                "a = result of a",
                "assistant: Found. []"
            ]
        );
    }

    #[test]
    fn a_resuming_turn_answers_the_calls_of_the_one_before_it() {
        let first = messages(&[asks("a"), asks("b"), answers("b")], &HashSet::new());
        let again =
            messages(&[asks("a"), answers("a"), text("Done.")], &HashSet::from(["a".into()]));
        let user = Message { role: "user".into(), content: "?".into(), ..Message::default() };
        let all = [vec![user], first, again].concat();
        assert_eq!(
            told(&whole(all)),
            [
                "user: ? []",
                "assistant:  [a+b]",
                "a = result of a",
                "b = result of b",
                "assistant: Done. []"
            ]
        );
    }

    #[test]
    fn a_call_that_nobody_answered_is_answered_where_it_stands() {
        let first = messages(&[asks("a")], &HashSet::new());
        let user = Message { role: "user".into(), content: "Well?".into(), ..Message::default() };
        let whole = whole([first, vec![user]].concat());
        assert_eq!(whole.len(), 3);
        assert_eq!((whole[1].role.as_str(), whole[1].tool_call_id.as_str()), ("tool", "a"));
    }

    #[test]
    fn a_call_is_shown_as_every_provider_takes_it() {
        let odd =
            ToolCall { name: "functions.count now".into(), arguments: "{oops".into(), ..call("a") };
        let read = readable(&odd);
        assert_eq!((read.name.as_str(), read.arguments.as_str()), ("functions_count_now", "{}"));
        let fine = ToolCall { arguments: r#"{"a": 1}"#.into(), ..call("a") };
        assert_eq!(readable(&fine), fine);
    }

    #[test]
    fn every_call_of_a_conversation_has_an_id_of_its_own() {
        let mut calls = [call("call_0"), call(""), call(""), call("a b"), call("x")];
        name(&mut calls, HashSet::from(["call_0".to_owned()]));
        let ids: Vec<&str> = calls.iter().map(|it| it.call_id.as_str()).collect();
        assert_eq!(ids, ["call_0-2", "call", "call-2", "call-3", "x"]);
    }
}
