//! Places in a session's log, as clients name them.

use broker::{Epoch, Position};
use http::HeaderMap;

use crate::metrics;
use crate::problem::Refusal;

/// A position as clients name it: after an entry, or after the n-th of its
/// frames. Written `<position>` or `<position>.<n>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    /// Frames of the entry that the client has; `None` for all.
    pub(crate) frames: Option<usize>,
}

impl Mark {
    /// Reads a mark that was given in `field`.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Refusal> {
        let (position, frames) = match text.split_once('.') {
            None => (text, Some(None)),
            Some((position, frames)) => (position, frames.parse().ok().map(Some)),
        };
        let plain = !text.contains('+');
        match (position.parse(), frames) {
            (Ok(position), Some(frames)) if plain && frames != Some(0) => {
                Ok(Self { position, frames })
            }
            (Ok(_) | Err(_), _) => Err(Refusal::field(field, broker::InvalidPosition)),
        }
    }

    /// The mark in `Last-Event-ID`, if there is one.
    pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get("last-event-id").filter(|it| !it.is_empty()) else {
            return Ok(None);
        };
        let mark = Self::parse("Last-Event-ID", value.to_str().unwrap_or_default())?;
        metrics::RESUMES.add(1, []);
        Ok(Some(mark))
    }

    /// Where a reader begins that has what the mark says.
    pub(crate) fn from(self) -> broker::From {
        match self.frames {
            None => broker::From::After(self.position),
            Some(_) => broker::From::At(self.position),
        }
    }
}

/// A place in the log of this epoch.
pub(crate) fn position(epoch: Epoch, sequence: broker::Sequence) -> Position {
    Position { epoch, sequence }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_names_an_entry_or_a_frame_of_one() {
        let position = "1k4b-18".parse().unwrap();
        for (text, frames) in [("1k4b-18", None), ("1k4b-18.3", Some(3))] {
            let mark = Mark::parse("after", text).unwrap();
            assert_eq!(mark, Mark { position, frames });
        }
        for bad in ["", "1k4b-18.", "1k4b-18.0", "1k4b-18.x", "1k4b-18.+1", "x", "1k4b-18.1.1"] {
            assert!(Mark::parse("after", bad).is_err(), "{bad}");
        }
    }
}
