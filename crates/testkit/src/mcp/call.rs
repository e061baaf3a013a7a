//! What the server remembers of each call.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::journal::{Journal, Noted};

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it arrived, since the Unix epoch.
    pub at: Duration,
    /// The tool's name, without the server's.
    pub tool: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// The value of the request's `authorization` header.
    pub authorization: Option<String>,
    /// `traceparent` in the call's `_meta`.
    pub traceparent: Option<String>,
    /// When it ended, since the Unix epoch.
    pub ended: Option<Duration>,
    /// How it ended, or that it has not.
    pub ending: Ending,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It runs.
    Open,
    /// It ran to its end; whether the client heard it is not known here.
    Answered,
    /// The client cancelled it or went away.
    Cancelled,
}

/// All calls to one server.
pub(super) type Calls = Journal<Call>;

impl Noted for Call {
    type Ending = Ending;

    const SERVER: &'static str = "the MCP server";
    const UNTOLD: Ending = Ending::Cancelled;

    fn end(&mut self, ending: Ending, at: Duration) {
        self.ending = ending;
        self.ended = Some(at);
    }
}

impl Journal<Call> {
    /// The sum of `by` in the calls of a tool, 1 where there is none.
    pub(super) fn sum(&self, tool: &str) -> u64 {
        let by = |call: &Call| call.arguments.get("by").and_then(Value::as_u64).unwrap_or(1);
        self.all().iter().filter(|it| it.tool == tool).map(by).sum()
    }
}
