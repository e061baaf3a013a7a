//! One caller's way through what a turn says.
//!
//! Keeps nothing but its place: what it has not read yet is in the buffer, and a
//! reader that lags finds it there merged.

use proto::ask_event::Kind;
use proto::{AskEvent, Rewind};
use tokio::sync::watch;

use crate::buffer::{Buffer, Start};
use crate::registry::Place;

/// The turn stopped without an end: ask again to go on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// One caller's place in a turn.
#[derive(Debug)]
pub(crate) struct Reader {
    events: watch::Receiver<Buffer>,
    at: At,
    readers: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// What the caller has; where that is in this run is not known yet.
    Has(Place),
    /// What the caller has is known, but nothing was told yet.
    Begins(Start),
    /// The index after which it goes on.
    After(u32),
}

/// What a look at the buffer found.
enum Found {
    Event(AskEvent),
    Nothing,
    End,
}

impl Reader {
    /// A place for somebody who has something of the turn, counted among the
    /// turn's readers until dropped.
    pub(crate) fn new(
        events: watch::Receiver<Buffer>,
        readers: watch::Sender<usize>,
        has: Place,
    ) -> Self {
        readers.send_modify(|count| *count += 1);
        let start = events.borrow().start(has);
        Self { events, at: start.map_or(At::Has(has), At::Begins), readers }
    }

    /// The next event; `None` after the terminal one. What the caller has and
    /// this run did not say is taken back first.
    pub(crate) async fn next(&mut self) -> Option<Result<AskEvent, Lost>> {
        loop {
            match self.look() {
                Found::Event(event) => return Some(Ok(event)),
                Found::End => return None,
                Found::Nothing => {}
            }
            if self.events.changed().await.is_err() {
                return Some(Err(Lost));
            }
        }
    }

    fn look(&mut self) -> Found {
        let buffer = self.events.borrow_and_update();
        let start = match self.at {
            At::Has(place) => buffer.start_of_all(place),
            At::Begins(start) => Some(start),
            At::After(after) => Some(Start { after, takes_back: false }),
        };
        let Some(Start { after, takes_back }) = start else {
            return Found::Nothing;
        };
        self.at = At::After(after);
        if takes_back {
            let kind = Some(Kind::Rewind(Rewind { to: after }));
            return Found::Event(AskEvent { index: after, run: buffer.run(), kind });
        }
        if let Some(event) = buffer.after(after) {
            self.at = At::After(event.index);
            return Found::Event(event);
        }
        if buffer.ended() { Found::End } else { Found::Nothing }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.send_modify(|count| *count -= 1);
    }
}
