//! What DashScope says, event by event or whole. Pure.
//!
//! An answer is whole only with a finish reason; tool calls are said only when
//! they are whole. An answer that is stopped for what it says is an answer: it
//! ends with `content_filter`. A question that is refused for what it says is a
//! failure.

use std::collections::VecDeque;
use std::sync::Arc;

use proto::{Usage, code};
use serde_json::Value;

use super::event::{Event, Piece};
use super::fault;
use super::flow::Flow;
use crate::calls::Calls;
use crate::connection::Connection;
use crate::finish::{Finish, strange, unstreamed};
use crate::reply::{Dialect, Next};
use crate::sse::Sse;
use crate::{Failure, Said, sse};

/// An answer as far as it has been read.
#[derive(Debug)]
pub(super) struct Generation {
    connection: Arc<Connection>,
    /// The model, as requests name it.
    model: String,
    flow: Flow,
    calls: Calls,
    usage: Option<Usage>,
    finish: Option<Finish>,
    /// Whether anything of the answer has come.
    begun: bool,
}

impl Generation {
    pub(super) fn new(connection: Arc<Connection>, model: String) -> Self {
        Self {
            connection,
            model,
            flow: Flow::default(),
            calls: Calls::default(),
            usage: None,
            finish: None,
            begun: false,
        }
    }

    /// Reads a body that is a whole result, or an error.
    pub(super) fn whole(mut self, body: &[u8]) -> Result<VecDeque<Said>, Failure> {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Err(unstreamed());
        };
        let mut said = VecDeque::new();
        self.result(value, false, &mut said)?;
        if self.finish.is_none() {
            return Err(unstreamed());
        }
        self.end(&mut said)?;
        Ok(said)
    }

    fn result(
        &mut self,
        value: Value,
        failed: bool,
        said: &mut VecDeque<Said>,
    ) -> Result<(), Failure> {
        if let Some(error) = error(&value, failed) {
            return self.failed(error, said);
        }
        let event: Event = serde_json::from_value(value).map_err(|error| strange(&error))?;
        self.event(event, said)
    }

    fn event(&mut self, mut event: Event, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        let used = event.usage.take();
        let tokens = used.as_ref().map(|it| it.completion_tokens);
        // Every event counts along: the last count is the one.
        self.usage = used.map(|it| it.usage(&self.model)).or(self.usage.take());
        let (piece, reason) = event.said();
        for piece in self.flow.take(piece, tokens, reason.is_some())? {
            self.piece(piece, said)?;
        }
        if let Some(reason) = reason {
            self.finish = Some(finish(&reason)?);
        }
        Ok(())
    }

    fn piece(&mut self, piece: Piece, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        let some = |text: String| Some(text).filter(|it| !it.is_empty());
        let composing = (!piece.calls.is_empty()).then_some(Said::Composing);
        let pieces = [
            some(piece.reasoning).map(Said::Reasoning),
            some(piece.text).map(Said::Text),
            composing,
        ];
        let before = said.len();
        said.extend(pieces.into_iter().flatten());
        self.begun |= said.len() > before;
        self.calls.take(piece.calls)
    }

    /// An error in place of more. What is held was asked for as it came, and
    /// belongs to an answer that was stopped.
    fn failed(&mut self, error: &Value, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        if !self.begun || !fault::is_inspection(error) {
            return Err(self.connection.fault(error));
        }
        tracing::warn!("the model's answer was stopped for what it says");
        for piece in self.flow.rest() {
            self.piece(piece, said)?;
        }
        self.finish = Some(Finish::Filter);
        Ok(())
    }
}

impl Dialect for Generation {
    fn take(&mut self, event: Sse, said: &mut VecDeque<Said>) -> Result<Next, Failure> {
        let failed = event.event.as_deref() == Some("error");
        let data = event.data.unwrap_or_default();
        let data = data.trim();
        if !data.is_empty() && data != "[DONE]" {
            let value = serde_json::from_str(data);
            let value = if failed {
                value.unwrap_or_default()
            } else {
                value.map_err(|error| strange(&error))?
            };
            // What came with a failure must not follow it.
            let before = said.len();
            self.result(value, failed, said).inspect_err(|_| said.truncate(before))?;
        }
        Ok(if self.finish.is_some() { Next::Tail } else { Next::More })
    }

    fn end(&mut self, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        let finish = self.finish.ok_or_else(sse::cut)?;
        finish.tell(&mut self.calls, self.usage.take(), said)
    }
}

/// The words for the end of an answer.
fn finish(reason: &str) -> Result<Finish, Failure> {
    match reason {
        "length" | "max_tokens" => Ok(Finish::Length),
        "content_filter" | "data_inspection_failed" => Ok(Finish::Filter),
        "tool_calls" | "function_call" => Ok(Finish::Calls),
        "error" => Err(Failure::passing(code::MODEL_ERROR, "the model failed while it answered")),
        _ => Ok(Finish::Stop),
    }
}

/// The error in an object: the object itself when its event says so or it has a
/// code and no output.
fn error(value: &Value, failed: bool) -> Option<&Value> {
    if let Some(inner) = value.get("error").filter(|it| !it.is_null()) {
        return Some(inner);
    }
    let coded = value["code"].as_str().is_some_and(|it| !it.is_empty());
    (failed || (coded && value["output"].is_null())).then_some(value)
}

#[cfg(test)]
mod tests;
