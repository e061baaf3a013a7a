//! What a server of the test kit remembers of its calls, and waiting for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::watch;

use crate::PATIENCE;

/// A call as its server remembers it.
pub(crate) trait Noted: Clone + fmt::Debug + Send + Sync + 'static {
    /// How it may end.
    type Ending: Copy + fmt::Debug + Send + Sync;

    /// Whose calls these are, for errors.
    const SERVER: &'static str;

    /// How a call has ended of which nobody said so: its client went away.
    const UNTOLD: Self::Ending;

    /// It ended at this time since the Unix epoch.
    fn end(&mut self, ending: Self::Ending, at: Duration);
}

/// All calls to one server, in the order of their arrival.
#[derive(Debug)]
pub(crate) struct Journal<C> {
    seen: watch::Sender<Vec<C>>,
    released: watch::Sender<bool>,
}

impl<C> Default for Journal<C> {
    fn default() -> Self {
        Self { seen: watch::Sender::new(Vec::new()), released: watch::Sender::new(false) }
    }
}

impl<C: Noted> Journal<C> {
    pub(crate) fn all(&self) -> Vec<C> {
        self.seen.borrow().clone()
    }

    /// Looks at all calls where they are: copies of many cost much.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[C]) -> T) -> T {
        look(&self.seen.borrow())
    }

    /// Notes a call. The guard is told how it ends.
    pub(crate) fn begin(self: &Arc<Self>, call: C) -> Guard<C> {
        let mut index = 0;
        self.seen.send_modify(|calls| {
            index = calls.len();
            calls.push(call);
        });
        Guard { calls: Arc::clone(self), index, ending: C::UNTOLD }
    }

    /// All calls, once `seen` says so. `what` names it in the error.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&[C]) -> bool + Send + Sync,
    ) -> Result<Vec<C>> {
        let mut calls = self.seen.subscribe();
        let waited = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| seen(calls))).await;
        match waited {
            Ok(Ok(calls)) => Ok(calls.clone()),
            Ok(Err(_)) | Err(_) => Err(anyhow!("no {what} at {}: {:?}", C::SERVER, self.all())),
        }
    }

    /// Lets every call that waits for it, now or later, go on.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Ready once they may go on.
    pub(crate) async fn released(&self) {
        let mut released = self.released.subscribe();
        // The sender lives in `self`, so that waiting cannot fail.
        let waited = released.wait_for(|it| *it).await;
        drop(waited);
    }
}

/// Notes, when it is dropped, how its call has ended.
#[derive(Debug)]
pub(crate) struct Guard<C: Noted> {
    calls: Arc<Journal<C>>,
    index: usize,
    ending: C::Ending,
}

impl<C: Noted> Guard<C> {
    /// Its call's place in the journal.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn calls(&self) -> &Arc<Journal<C>> {
        &self.calls
    }

    /// The ending that is noted.
    pub(crate) fn ends(&mut self, ending: C::Ending) {
        self.ending = ending;
    }
}

impl<C: Noted> Drop for Guard<C> {
    fn drop(&mut self) {
        let (index, ending) = (self.index, self.ending);
        self.calls.seen.send_modify(|calls| {
            if let Some(call) = calls.get_mut(index) {
                call.end(ending, ::process::clock::now());
            }
        });
    }
}
