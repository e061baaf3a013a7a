//! What the model remembers of each call, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;
use tokio::sync::watch;

use crate::PATIENCE;

/// One request for an answer, or for embeddings.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where it was sent, as `/v1/chat/completions`.
    pub path: String,
    /// When it arrived, since the Unix epoch.
    pub at: Duration,
    /// The value of its `authorization` header.
    pub authorization: Option<String>,
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
#[derive(Debug, Default)]
pub(super) struct Calls {
    seen: watch::Sender<Vec<Call>>,
    released: watch::Sender<bool>,
}

impl Calls {
    pub(super) fn all(&self) -> Vec<Call> {
        self.seen.borrow().clone()
    }

    /// Notes a call. The guard is told how it ends; dropped untold, the client
    /// has hung up.
    pub(super) fn begin(self: &Arc<Self>, call: Call) -> Guard {
        let mut index = 0;
        self.seen.send_modify(|calls| {
            index = calls.len();
            calls.push(call);
        });
        Guard { calls: Arc::clone(self), index, ending: Ending::HungUp }
    }

    /// How many calls before this one asked the same and had come as far.
    pub(super) fn before(&self, index: usize) -> usize {
        let calls = self.seen.borrow();
        let Some(asked) = calls.get(index).and_then(|it| it.asked.as_ref()) else {
            return 0;
        };
        calls.iter().take(index).filter(|it| it.asked.as_ref() == Some(asked)).count()
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
            Ok(Err(_)) | Err(_) => Err(anyhow!("no {what} at the fake model: {:?}", self.all())),
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
    pub(super) fn index(&self) -> usize {
        self.index
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// The ending that is noted when the guard is dropped.
    pub(super) fn ends(&mut self, ending: Ending) {
        self.ending = ending;
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
