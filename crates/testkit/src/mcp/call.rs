//! What the server remembers of each call, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::PATIENCE;

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
#[derive(Debug, Default)]
pub(super) struct Calls {
    seen: watch::Sender<Vec<Call>>,
    released: watch::Sender<bool>,
}

impl Calls {
    pub(super) fn all(&self) -> Vec<Call> {
        self.seen.borrow().clone()
    }

    /// Notes a call. The guard is told when it is answered; dropped untold, it
    /// was cancelled.
    pub(super) fn begin(self: &Arc<Self>, call: Call) -> Guard {
        let mut index = 0;
        self.seen.send_modify(|calls| {
            index = calls.len();
            calls.push(call);
        });
        Guard { calls: Arc::clone(self), index, ending: Ending::Cancelled }
    }

    /// The sum of `by` in the calls of a tool, 1 where there is none.
    pub(super) fn sum(&self, tool: &str) -> u64 {
        let calls = self.seen.borrow();
        let by = |call: &Call| call.arguments.get("by").and_then(Value::as_u64).unwrap_or(1);
        calls.iter().filter(|it| it.tool == tool).map(by).sum()
    }

    pub(super) async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&[Call]) -> bool + Send + Sync,
    ) -> Result<Vec<Call>> {
        let mut calls = self.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| seen(calls))).await;
        match waited {
            Ok(Ok(calls)) => Ok(calls.clone()),
            Ok(Err(_)) | Err(_) => Err(anyhow!("no {what} at the MCP server: {:?}", self.all())),
        }
    }

    pub(super) fn release(&self) {
        self.released.send_replace(true);
    }

    pub(super) async fn released(&self) {
        let mut released = self.released.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let waited = released.wait_for(|it| *it).await;
        drop(waited);
    }
}

/// Notes how its call ends.
#[derive(Debug)]
pub(super) struct Guard {
    calls: Arc<Calls>,
    index: usize,
    ending: Ending,
}

impl Guard {
    /// The call ran to its end.
    pub(super) fn answered(mut self) {
        self.ending = Ending::Answered;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (index, ending) = (self.index, self.ending);
        self.calls.seen.send_modify(|calls| {
            if let Some(call) = calls.get_mut(index) {
                call.ending = ending;
                call.ended = Some(::process::clock::now());
            }
        });
    }
}
