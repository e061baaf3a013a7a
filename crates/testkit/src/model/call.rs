//! What the model remembers of each call.

use std::time::Duration;

use serde_json::Value;

use crate::journal::{self, Journal, Noted};

/// One request for an answer, or for embeddings.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where it was sent, as `/v1/chat/completions`.
    pub path: String,
    /// When it arrived, since the Unix epoch.
    pub at: Duration,
    /// The value of its `authorization` header.
    pub authorization: Option<String>,
    /// The value of its `traceparent` header.
    pub traceparent: Option<String>,
    /// Its body; null when it was no JSON.
    pub body: Value,
    /// When it ended, since the Unix epoch.
    pub ended: Option<Duration>,
    /// How it ended, or that it has not.
    pub ending: Ending,
    /// Its last user message, and the step of its script that it has come to.
    pub(super) asked: Option<(String, usize)>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is being answered.
    Open,
    /// The answer was given to its last byte.
    Finished,
    /// It was answered with an error status.
    Refused,
    /// The script broke the connection.
    Cut,
    /// The client went away before the end.
    HungUp,
}

/// All calls to one model.
pub(super) type Calls = Journal<Call>;

/// Notes how its call ends.
pub(super) type Guard = journal::Guard<Call>;

impl Noted for Call {
    type Ending = Ending;

    const SERVER: &'static str = "the fake model";
    const UNTOLD: Ending = Ending::HungUp;

    fn end(&mut self, ending: Ending, at: Duration) {
        self.ending = ending;
        self.ended = Some(at);
    }
}

impl Journal<Call> {
    /// How many calls before this one asked the same and had come as far.
    pub(super) fn before(&self, index: usize) -> usize {
        self.look(|calls| {
            let Some(asked) = calls.get(index).and_then(|it| it.asked.as_ref()) else {
                return 0;
            };
            calls.iter().take(index).filter(|it| it.asked.as_ref() == Some(asked)).count()
        })
    }
}
