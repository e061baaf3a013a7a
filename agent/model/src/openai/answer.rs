//! What an OpenAI-compatible endpoint says, chunk by chunk or whole. Pure.
//!
//! An answer is whole only with a `finish_reason`; tool calls are said only when
//! they are whole.

use std::collections::VecDeque;
use std::sync::Arc;

use proto::{Usage, code};
use serde_json::Value;

use super::chunk::{Chunk, Delta};
use crate::calls::{Calls, Fragment};
use crate::connection::Connection;
use crate::finish::{Finish, strange, unstreamed};
use crate::reply::{Dialect, Next};
use crate::sse::Sse;
use crate::{Failure, Said, sse};

/// An answer as far as it has been read.
#[derive(Debug)]
pub(super) struct Completion {
    connection: Arc<Connection>,
    /// The model, as requests name it.
    model: String,
    calls: Calls,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

impl Completion {
    pub(super) fn new(connection: Arc<Connection>, model: String) -> Self {
        Self { connection, model, calls: Calls::default(), usage: None, finish: None }
    }

    /// Reads a body that is a whole completion, or an error.
    pub(super) fn whole(mut self, body: &[u8]) -> Result<VecDeque<Said>, Failure> {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(error) = error(&value) {
            return Err(self.connection.fault(error));
        }
        let chunk = serde_json::from_value::<Chunk>(value).ok();
        let mut chunk = chunk.filter(|it| !it.choices.is_empty()).ok_or_else(unstreamed)?;
        for choice in &mut chunk.choices {
            choice.delta = choice.message.take().unwrap_or_default();
        }
        let mut said = VecDeque::new();
        self.chunk(chunk, &mut said)?;
        self.end(&mut said)?;
        Ok(said)
    }

    fn chunk(&mut self, chunk: Chunk, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        // Some endpoints count along with every chunk: the last count is the one.
        self.usage = chunk.usage.map(|it| it.usage(&self.model)).or(self.usage.take());
        let Some(choice) = chunk.choices.into_iter().find(|it| it.index == 0) else {
            return Ok(());
        };
        self.delta(choice.delta, said)?;
        let reason = choice.finish_reason.filter(|it| !it.is_empty());
        if let Some(reason) = reason {
            self.finish = Some(finish(&reason)?);
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        let some = |text: Option<String>| text.filter(|it| !it.is_empty());
        let reasoning = some(delta.reasoning_content).or_else(|| some(delta.reasoning));
        let pieces = [
            reasoning.map(Said::Reasoning),
            some(delta.content).map(Said::Text),
            some(delta.refusal).map(Said::Text),
        ];
        said.extend(pieces.into_iter().flatten());
        let single = |function| Fragment { function: Some(function), ..Fragment::default() };
        let calls = delta.tool_calls.into_iter().chain(delta.function_call.map(single));
        let calls: Vec<_> = calls.collect();
        said.extend((!calls.is_empty()).then_some(Said::Composing));
        self.calls.take(calls)
    }

    fn next(&self) -> Next {
        if self.finish.is_some() { Next::Tail } else { Next::More }
    }
}

impl Dialect for Completion {
    fn take(&mut self, event: Sse, said: &mut VecDeque<Said>) -> Result<Next, Failure> {
        let failed = event.event.as_deref() == Some("error");
        let data = event.data.unwrap_or_default();
        match data.trim() {
            "" => return Ok(self.next()),
            "[DONE]" if self.finish.is_none() => {
                return Err(Failure::passing(
                    code::MODEL_CUT,
                    "the model's answer ended without saying why",
                ));
            }
            "[DONE]" => return Ok(Next::Over),
            _ => {}
        }
        let chunk = serde_json::from_str::<Chunk>(&data);
        match chunk {
            Ok(chunk) if !failed && chunk.error.is_none() && !chunk.choices.is_empty() => {
                self.chunk(chunk, said)?;
            }
            chunk => {
                let value = serde_json::from_str::<Value>(&data).unwrap_or_default();
                let whole = failed.then_some(&value).filter(|it| !it.is_null());
                if let Some(error) = error(&value).or(whole) {
                    return Err(self.connection.fault(error));
                }
                self.chunk(chunk.map_err(|error| strange(&error))?, said)?;
            }
        }
        Ok(self.next())
    }

    fn end(&mut self, said: &mut VecDeque<Said>) -> Result<(), Failure> {
        let finish = self.finish.ok_or_else(sse::cut)?;
        finish.tell(&mut self.calls, self.usage.take(), said)
    }
}

/// The words for the end of an answer, of which servers have more than OpenAI.
fn finish(reason: &str) -> Result<Finish, Failure> {
    match reason {
        "length" | "max_tokens" => Ok(Finish::Length),
        "content_filter" => Ok(Finish::Filter),
        "tool_calls" | "function_call" => Ok(Finish::Calls),
        "abort" | "insufficient_system_resource" => Err(sse::cut()),
        "error" => Err(Failure::passing(code::MODEL_ERROR, "the model failed while it answered")),
        _ => Ok(Finish::Stop),
    }
}

/// The error in an object that is no answer.
fn error(value: &Value) -> Option<&Value> {
    let inner = value.get("error").filter(|it| !it.is_null());
    inner.or_else(|| (value["object"] == "error").then_some(value))
}

#[cfg(test)]
mod tests;
