//! The frames of `GET /stream`: all text so far each time it changes, then
//! `end`. Browsers ask again by themselves whenever a stream has ended; ids tell
//! them apart from somebody who asks anew.

use std::fmt::Write as _;

use broker::{Position, Stored};
use proto::{Ending, SessionId, TurnId, event};
use serde::Serialize;

use super::said::Said;
use super::{Dialect, ERASED, compatible_name, frame, json};

/// The encoder of one turn.
#[derive(Debug)]
pub(crate) struct Stream {
    session: SessionId,
    turn: TurnId,
    said: Said,
    /// Whether frames have ids.
    ids: bool,
}

/// What the last frame's id adds to the turn's.
pub(crate) const ENDED: &str = ".end";

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct End<'a> {
    session_id: &'a str,
    turn_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl Stream {
    pub(crate) fn new(session: SessionId, turn: TurnId, ids: bool) -> Self {
        Self { session, turn, said: Said::default(), ids }
    }

    fn id(&self, suffix: &str, out: &mut String) {
        if self.ids {
            let _infallible = writeln!(out, "id: {}{suffix}", self.turn);
        }
    }

    fn text(&self, out: &mut String) {
        self.id("", out);
        out.push_str("data: ");
        let message = self.said.text();
        json(&Message { message }, out);
        out.push_str("\n\n");
    }

    fn end(&self, ending: Ending, kind: &event::Kind, out: &mut String) {
        let message = if let event::Kind::Failed(it) = kind {
            Some(it.message.as_str())
        } else {
            matches!(kind, event::Kind::Deleted(_)).then_some(ERASED)
        };
        let end = End {
            session_id: self.session.as_str(),
            turn_id: self.turn.to_string(),
            status: compatible_name(ending),
            message,
        };
        self.id(ENDED, out);
        frame("end", &end, out);
    }
}

impl Dialect for Stream {
    fn open(&mut self, _: &mut String) {}

    fn entry(&mut self, _: Position, stored: &Stored, _: usize, out: &mut String) {
        let mut changed = false;
        for event in &stored.entry.events {
            let Some(kind) = &event.kind else { continue };
            if let event::Kind::Text(text) = kind {
                self.said.push(event.index, text);
                changed = true;
            } else if let event::Kind::Rewind(rewind) = kind {
                self.said.rewind(rewind.to);
                changed = true;
            } else if let Some(ending) = ending(kind) {
                if std::mem::take(&mut changed) {
                    self.text(out);
                }
                self.end(ending, kind, out);
            }
        }
        if changed {
            self.text(out);
        }
    }

    /// The turn is told anew.
    fn gap(&mut self, _: &event::Kind, _: &mut String) {
        self.said.rewind(0);
    }
}

/// A turn ends with its session.
fn ending(kind: &event::Kind) -> Option<Ending> {
    let erased = matches!(kind, event::Kind::Deleted(_)).then_some(Ending::Cancelled);
    kind.ending().or(erased)
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Epoch, Sequence};
    use event::Kind as K;

    #[test]
    fn each_frame_has_all_text_so_far_and_the_last_event_is_end() {
        let turn = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let mut stream = Stream::new("s".parse().unwrap(), turn, false);
        let sequence = Sequence(1);
        let at = Position { epoch: Epoch(1), sequence };
        let mut out = String::new();
        for kinds in [
            vec![(0, K::Started(proto::Started::default()))],
            vec![(1, K::Text("a".into())), (2, K::Text("b".into()))],
            vec![(3, K::Rewind(proto::Rewind { to: 1 }))],
            vec![(4, K::Text("c".into())), (5, K::Completed(proto::Completed::default()))],
        ] {
            let events =
                kinds.into_iter().map(|(index, kind)| proto::Event { index, kind: Some(kind) });
            let entry = proto::Entry { events: events.collect(), ..proto::Entry::default() };
            stream.entry(at, &Stored { sequence, entry }, 0, &mut out);
        }
        assert_eq!(
            out,
            "data: {\"message\":\"ab\"}\n\ndata: {\"message\":\"a\"}\n\ndata: {\"message\":\"ac\"}\n\n\
             event: end\ndata: {\"sessionId\":\"s\",\"turnId\":\"00000000-0000-7000-8000-000000000001\",\"status\":\"completed\"}\n\n"
        );
    }
}
