//! What a caller asks, as far as the fake model looks at it.

use serde::Deserialize;
use serde_json::Value;

/// A request for a chat completion. Other fields are ignored, as OpenAI does.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) model: String,
    messages: Vec<Message>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
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

    pub(super) fn wants_usage(&self) -> bool {
        !self.stream || self.stream_options.as_ref().is_some_and(|it| it.include_usage)
    }

    /// A count of words, which stands for prompt tokens.
    pub(super) fn words(&self) -> usize {
        let words = |it: &Message| it.text().split_whitespace().count();
        self.messages.iter().map(words).sum()
    }
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
}
