//! One caller's way through what a turn says.
//!
//! Keeps nothing but its place: what it has not read yet is in the buffer, and a
//! reader that lags finds it there merged.

use proto::ask_event::Kind;
use proto::{AskEvent, Rewind};
use tokio::sync::watch;

use crate::buffer::Buffer;

/// The turn stopped without an end: ask again to run it anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// One caller's place in a turn.
#[derive(Debug)]
pub(crate) struct Reader {
    events: watch::Receiver<Buffer>,
    index: u32,
    /// What the caller has of another run is to be taken back first.
    takes_back: bool,
    readers: watch::Sender<usize>,
}

impl Reader {
    /// A place after `index`, counted among the turn's readers until dropped.
    pub(crate) fn new(
        events: watch::Receiver<Buffer>,
        readers: watch::Sender<usize>,
        index: u32,
    ) -> Self {
        readers.send_modify(|count| *count += 1);
        Self { events, index, takes_back: false, readers }
    }

    /// Takes back first what the caller has of another run.
    pub(crate) fn taking_back(mut self) -> Self {
        self.takes_back = true;
        self
    }

    /// The next event; `None` after the terminal one.
    pub(crate) async fn next(&mut self) -> Option<Result<AskEvent, Lost>> {
        if std::mem::take(&mut self.takes_back) {
            let run = self.events.borrow().run();
            return Some(Ok(AskEvent {
                index: 0,
                run,
                kind: Some(Kind::Rewind(Rewind { to: 0 })),
            }));
        }
        loop {
            let (event, ended) = self.look();
            if let Some(event) = event {
                self.index = event.index;
                return Some(Ok(event));
            }
            if ended {
                return None;
            }
            if self.events.changed().await.is_err() {
                return Some(Err(Lost));
            }
        }
    }

    fn look(&mut self) -> (Option<AskEvent>, bool) {
        let buffer = self.events.borrow_and_update();
        (buffer.after(self.index), buffer.ended())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.send_modify(|count| *count -= 1);
    }
}
