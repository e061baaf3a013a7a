//! What the parts need to know of an event's kind.

use crate::{AskEvent, Ending, Entry, Event, ask_event, event};

impl event::Kind {
    /// The kind's name as SSE carries it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Reasoning(_) => "reasoning",
            Self::ToolCall(_) => "tool_call",
            Self::ToolResult(_) => "tool_result",
            Self::Citation(_) => "citation",
            Self::Usage(_) => "usage",
            Self::Rewind(_) => "rewind",
            Self::Completed(_) => "completed",
            Self::Interrupted(_) => "interrupted",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
            Self::Started(_) => "started",
            Self::Resumed(_) => "resumed",
            Self::HandedOver(_) => "handed_over",
            Self::CancelRequested(_) => "cancel_requested",
            Self::Deleted(_) => "deleted",
            Self::Gap(_) => "gap",
        }
    }

    /// How the turn ends with this event; `None` when it goes on.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Self::Completed(_) => Some(Ending::Completed),
            Self::Interrupted(_) => Some(Ending::Interrupted),
            Self::Failed(_) => Some(Ending::Failed),
            Self::Cancelled(_) => Some(Ending::Cancelled),
            Self::Text(_)
            | Self::Reasoning(_)
            | Self::ToolCall(_)
            | Self::ToolResult(_)
            | Self::Citation(_)
            | Self::Usage(_)
            | Self::Rewind(_)
            | Self::Started(_)
            | Self::Resumed(_)
            | Self::HandedOver(_)
            | Self::CancelRequested(_)
            | Self::Deleted(_)
            | Self::Gap(_) => None,
        }
    }
}

impl Entry {
    /// How the entry's turn ends with it; `None` when it goes on. Only the last
    /// event of an entry can end a turn.
    pub fn ending(&self) -> Option<Ending> {
        self.events.last().and_then(|it| it.kind.as_ref()?.ending())
    }

    /// Whether the session was erased here: nothing before belongs to it.
    pub fn is_tombstone(&self) -> bool {
        let mut kinds = self.events.iter().filter_map(|it| it.kind.as_ref());
        kinds.any(|it| matches!(it, event::Kind::Deleted(_)))
    }
}

impl AskEvent {
    /// An event that says only that the turn goes on.
    pub fn alive() -> Self {
        Self::default()
    }

    /// Whether it says no more than that.
    pub fn is_alive(&self) -> bool {
        self.kind.is_none() && self.index == 0
    }
}

impl From<event::Kind> for Event {
    /// An event that no agent numbered.
    fn from(kind: event::Kind) -> Self {
        Self { index: 0, kind: Some(kind) }
    }
}

impl From<AskEvent> for Event {
    /// The event without its run, which belongs into the state.
    fn from(event: AskEvent) -> Self {
        Self { index: event.index, kind: event.kind.map(event::Kind::from) }
    }
}

impl From<ask_event::Kind> for event::Kind {
    fn from(kind: ask_event::Kind) -> Self {
        match kind {
            ask_event::Kind::Text(it) => Self::Text(it),
            ask_event::Kind::Reasoning(it) => Self::Reasoning(it),
            ask_event::Kind::ToolCall(it) => Self::ToolCall(it),
            ask_event::Kind::ToolResult(it) => Self::ToolResult(it),
            ask_event::Kind::Citation(it) => Self::Citation(it),
            ask_event::Kind::Usage(it) => Self::Usage(it),
            ask_event::Kind::Rewind(it) => Self::Rewind(it),
            ask_event::Kind::Completed(it) => Self::Completed(it),
            ask_event::Kind::Interrupted(it) => Self::Interrupted(it),
            ask_event::Kind::Failed(it) => Self::Failed(it),
            ask_event::Kind::Cancelled(it) => Self::Cancelled(it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_event_keeps_its_bytes_in_the_log() {
        use prost::Message as _;
        let said = AskEvent { index: 7, run: 0, kind: Some(ask_event::Kind::Text("Hello".into())) };
        assert_eq!(Event::from(said.clone()).encode_to_vec(), said.encode_to_vec());
    }

    #[test]
    fn json_is_canonical_proto3() {
        let event = Event { index: 7, kind: Some(event::Kind::Text("Hello".into())) };
        assert_eq!(serde_json::to_string(&event).unwrap(), r#"{"index":7,"text":"Hello"}"#);
    }
}
