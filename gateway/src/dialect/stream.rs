//! The frames of `GET /stream`: all text so far each time it changes, then
//! `end`. Browsers ask again by themselves whenever a stream has ended; ids tell
//! them apart from somebody who asks anew, and how much they have: who comes back
//! does not see the text begin again.

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
    /// The last piece that the client has, until something is taken back.
    has: Option<u32>,
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
        Self { session, turn, said: Said::default(), ids, has: None }
    }

    /// For a client that has everything up to a piece.
    pub(crate) fn after(self, has: u32) -> Self {
        Self { has: Some(has), ..self }
    }

    fn text(&self, out: &mut String) {
        if self.has.is_some_and(|it| self.said.index() <= it) {
            return;
        }
        if self.ids {
            let _infallible = writeln!(out, "id: {}.{}", self.turn, self.said.index());
        }
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
        if self.ids {
            let _infallible = writeln!(out, "id: {}{ENDED}", self.turn);
        }
        frame("end", &end, out);
    }
}

impl Dialect for Stream {
    /// A browser that is cut off before anything was said comes back for the turn
    /// all the same: an id alone is no event for it.
    fn open(&mut self, out: &mut String) {
        if self.ids && self.has.is_none() {
            let _infallible = write!(out, "id: {}\n\n", self.turn);
        }
    }

    fn entry(&mut self, _: Position, stored: &Stored, _: usize, out: &mut String) {
        let mut changed = false;
        for event in &stored.entry.events {
            let Some(kind) = &event.kind else { continue };
            if let event::Kind::Text(text) = kind {
                self.said.push(event.index, text);
                changed = true;
            } else if let event::Kind::Rewind(rewind) = kind {
                self.said.rewind(rewind.to);
                // The pieces of another run have numbers of their own.
                self.has = None;
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
        let turn: TurnId = "00000000-0000-7000-8000-000000000001".parse().unwrap();
        let stream = |ids| Stream::new("s".parse().unwrap(), turn, ids);
        let end = "{\"sessionId\":\"s\",\"turnId\":\"00000000-0000-7000-8000-000000000001\",\"status\":\"completed\"}";
        assert_eq!(
            told(stream(false)),
            format!(
                "data: {{\"message\":\"ab\"}}\n\ndata: {{\"message\":\"a\"}}\n\n\
                 data: {{\"message\":\"ac\"}}\n\nevent: end\ndata: {end}\n\n"
            )
        );
        let mut opening = String::new();
        stream(true).open(&mut opening);
        assert_eq!(opening, format!("id: {turn}\n\n"), "known before anything is said");
        opening.clear();
        stream(false).open(&mut opening);
        stream(true).after(2).open(&mut opening);
        assert_eq!(opening, "", "who has more is not taken back");
        for (has, texts) in
            [(1, &[(2, "ab"), (1, "a"), (4, "ac")][..]), (2, &[(1, "a"), (4, "ac")])]
        {
            let texts = texts
                .iter()
                .map(|(at, text)| format!("id: {turn}.{at}\ndata: {{\"message\":\"{text}\"}}\n\n"));
            let texts: String = texts.collect();
            let ended = format!("{texts}id: {turn}.end\nevent: end\ndata: {end}\n\n");
            assert_eq!(told(stream(true).after(has)), ended, "after {has}");
        }
    }

    /// What a turn is told as.
    fn told(mut stream: Stream) -> String {
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
        out
    }
}
