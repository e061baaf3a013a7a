//! A stream of events, as what the model says: the part that every protocol
//! shares. Pure but for the clock.
//!
//! An answer is whole only when its protocol says so, and what may follow that
//! is not waited for long.

use std::collections::VecDeque;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use crate::sse::{Events, Sse};
use crate::{Failure, Said};

/// How long something may follow the end of the text.
const TAIL: Duration = Duration::from_secs(5);

/// What follows an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More of the answer.
    More,
    /// The answer is whole; what comes within [`TAIL`] may still add to it, as
    /// the usage. Nothing can fail it any more.
    Tail,
    /// Nothing: [`Dialect::end`] is asked.
    Over,
}

/// How a protocol speaks in events. Knows no connection and no clock.
pub(crate) trait Dialect: Send + 'static {
    /// Takes one event in; what it says goes to the end of `said`.
    fn take(&mut self, event: Sse, said: &mut VecDeque<Said>) -> Result<Next, Failure>;

    /// Nothing follows: says what is left, up to [`Said::Finished`], or fails
    /// when the answer is not whole. Called once.
    fn end(&mut self, said: &mut VecDeque<Said>) -> Result<(), Failure>;
}

/// Reads the events to the end of the answer.
pub(crate) fn said(
    events: Events,
    dialect: impl Dialect,
) -> impl Stream<Item = Result<Said, Failure>> + Send {
    let reply = Reply { events, dialect, ready: VecDeque::new(), whole_until: None, over: false };
    futures::stream::unfold(reply, |mut reply| async move {
        let said = reply.next().await?;
        reply.over |= said.is_err();
        Some((said, reply))
    })
}

struct Reply<D> {
    events: Events,
    dialect: D,
    ready: VecDeque<Said>,
    /// When the wait for more ends, once the answer is whole.
    whole_until: Option<Instant>,
    over: bool,
}

impl<D: Dialect> Reply<D> {
    async fn next(&mut self) -> Option<Result<Said, Failure>> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Some(Ok(said));
            }
            if self.over {
                return None;
            }
            if let Err(failure) = self.read().await {
                return Some(Err(failure));
            }
        }
    }

    /// Reads one event.
    async fn read(&mut self) -> Result<(), Failure> {
        let event = match self.whole_until {
            Some(until) => timeout_at(until, self.events.next()).await.unwrap_or(None),
            None => self.events.next().await,
        };
        let Some(event) = event else {
            return self.end();
        };
        let taken = event.and_then(|it| self.dialect.take(it, &mut self.ready));
        match taken {
            Ok(Next::More) => Ok(()),
            Ok(Next::Tail) => {
                self.whole_until.get_or_insert_with(|| Instant::now() + TAIL);
                Ok(())
            }
            Ok(Next::Over) => self.end(),
            Err(_) if self.whole_until.is_some() => self.end(),
            Err(failure) => {
                // Of an event that fails the answer, nothing is said.
                self.ready.clear();
                Err(failure)
            }
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.over = true;
        self.dialect.end(&mut self.ready)
    }
}
