//! What a caller asks, as far as the fake model looks at it; the same for every
//! protocol.
//!
//! Refuses what endpoints refuse: a tool call without its result before the
//! next message, and a result that answers no call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request for an answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    pub(super) stream: bool,
    /// Whether a streamed answer says what it used.
    pub(super) usage: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Option<Vec<Asked>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

/// A tool call, as the caller repeats it.
#[derive(Debug, Deserialize)]
struct Asked {
    id: String,
}

/// A tool's result, as the model is shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// The id of the call that it answers.
    pub tool_call_id: String,
    /// What the model reads.
    pub content: String,
}

impl Request {
    /// The last user message, empty when there is none.
    pub(super) fn question(&self) -> String {
        let last = self.messages.iter().rev().find(|it| it.role == "user");
        last.map(Message::text).unwrap_or_default()
    }

    /// How many user messages the caller sent.
    pub(super) fn user_messages(&self) -> usize {
        self.messages.iter().filter(|it| it.role == "user").count()
    }

    /// Whether the last message is the result of a tool.
    pub(super) fn after_tools(&self) -> bool {
        self.messages.last().is_some_and(|it| it.role == "tool")
    }

    /// How often the model has asked for tools since the last user message.
    pub(super) fn steps(&self) -> usize {
        self.since_question().iter().filter(|it| it.asks()).count()
    }

    /// The results of tools since the last user message.
    pub(super) fn heard(&self) -> Vec<Heard> {
        let results = self.since_question().iter().filter(|it| it.role == "tool");
        let heard = results.map(|it| Heard {
            tool_call_id: it.tool_call_id.clone().unwrap_or_default(),
            content: it.text(),
        });
        heard.collect()
    }

    fn since_question(&self) -> &[Message] {
        let asked = self.messages.iter().rposition(|it| it.role == "user");
        &self.messages[asked.map_or(0, |it| it + 1)..]
    }

    /// A count of words, which stands for prompt tokens.
    pub(super) fn words(&self) -> usize {
        let words = |it: &Message| it.text().split_whitespace().count();
        self.messages.iter().map(words).sum()
    }

    /// What is wrong with the messages, when something is.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut open: Vec<&str> = Vec::new();
        for message in &self.messages {
            if message.role == "tool" {
                let id = message.tool_call_id.as_deref().unwrap_or_default();
                let Some(at) = open.iter().position(|it| *it == id) else {
                    return Err(format!(
                        "a message with role `tool` answers `{id}`, which the assistant did not ask for just before"
                    ));
                };
                open.remove(at);
                continue;
            }
            unanswered(&open)?;
            open = message.calls().map(|it| it.id.as_str()).collect();
        }
        unanswered(&open)
    }
}

fn unanswered(open: &[&str]) -> Result<(), String> {
    let Some(id) = open.first() else {
        return Ok(());
    };
    Err(format!(
        "the tool call `{id}` is not followed by a message with role `tool` that answers it"
    ))
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => {
                parts.iter().filter_map(|it| it["text"].as_str()).collect()
            }
            None => String::new(),
        }
    }

    /// Whether a model can answer it: it is the user's, or a tool's result.
    pub(super) fn wants_an_answer(&self) -> bool {
        matches!(self.role.as_str(), "user" | "tool")
    }

    fn calls(&self) -> impl Iterator<Item = &Asked> {
        self.tool_calls.iter().flatten()
    }

    /// Whether the model asks for tools in it.
    fn asks(&self) -> bool {
        self.role == "assistant" && self.calls().next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(messages: Value) -> Request {
        let messages = Vec::<Message>::deserialize(messages).unwrap();
        Request { model: "script".to_owned(), messages, stream: true, usage: true }
    }

    fn asks(ids: &[&str]) -> Value {
        let calls: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        json!({"role": "assistant", "content": null, "tool_calls": calls})
    }

    fn result(id: &str) -> Value {
        json!({"role": "tool", "tool_call_id": id, "content": format!("of {id}")})
    }

    #[test]
    fn steps_and_results_count_from_the_last_user_message() {
        let user = json!({"role": "user", "content": "go"});
        let all = request(json!([
            user, asks(&["a"]), result("a"), {"role": "assistant", "content": "so"},
            user, asks(&["b", "c"]), result("c"), result("b"), asks(&["d"]), result("d"),
        ]));
        assert_eq!(all.check(), Ok(()));
        assert_eq!((all.steps(), all.after_tools()), (2, true));
        let heard: Vec<_> = all.heard().into_iter().map(|it| it.content).collect();
        assert_eq!(heard, ["of c", "of b", "of d"]);
    }

    #[test]
    fn calls_and_results_that_do_not_pair_are_refused() {
        let user = json!({"role": "user", "content": "go"});
        for messages in [
            json!([user, asks(&["a"])]),
            json!([user, asks(&["a"]), user]),
            json!([user, asks(&["a", "b"]), result("a"), user]),
            json!([user, result("a")]),
            json!([user, asks(&["a"]), result("a"), result("a")]),
            json!([user, asks(&["a"]), result("b")]),
        ] {
            assert!(request(messages.clone()).check().is_err(), "{messages}");
        }
    }
}
