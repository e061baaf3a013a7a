//! What a turn has said so far, kept so that a reader may come late, lag or
//! come back.
//!
//! Neighbouring pieces of text are one string with the end of each index, so a reader that
//! lags gets what it missed as one event. Merging never crosses an event of
//! another kind. Refuses to grow past [`MAX_BYTES`].

use proto::ask_event::Kind;
use proto::{AskEvent, Rewind};
use tokio::sync::watch;

/// The most that a turn may say, in bytes, bookkeeping included.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The most text in one event, in bytes; below it, merging stops.
const MERGED_BYTES: usize = 64 * 1024;

/// What each event costs beside its text, in bytes.
const EVENT_BYTES: usize = 8;

/// The turn has said more than [`MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Everything a turn has said.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    run: u32,
    pieces: Vec<Piece>,
    last: u32,
    bytes: usize,
    ended: bool,
}

/// Neighbouring events that may be told as one.
#[derive(Debug)]
struct Piece {
    first: u32,
    last: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Deltas, and where each of them ends.
    Said {
        voice: Voice,
        text: String,
        ends: Vec<u32>,
    },
    One(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Text,
    Reasoning,
}

impl Buffer {
    /// Which run of the turn this is.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// The index of the last event.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// Whether the turn has ended; nothing follows then.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// What it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next event for a reader that has everything up to `index`.
    pub(crate) fn after(&self, index: u32) -> Option<AskEvent> {
        let at = self.pieces.partition_point(|it| it.last <= index);
        let (index, kind) = self.pieces.get(at)?.after(index);
        Some(AskEvent { index, run: self.run, kind: Some(kind) })
    }

    fn push(&mut self, kind: Kind) -> Result<(), TooLong> {
        match kind {
            Kind::Text(text) => self.say(Voice::Text, &text),
            Kind::Reasoning(text) => self.say(Voice::Reasoning, &text),
            Kind::ToolCall(_)
            | Kind::ToolResult(_)
            | Kind::Citation(_)
            | Kind::Usage(_)
            | Kind::Rewind(_)
            | Kind::Completed(_)
            | Kind::Interrupted(_)
            | Kind::Failed(_)
            | Kind::Cancelled(_) => self.one(kind),
        }
    }

    fn say(&mut self, voice: Voice, text: &str) -> Result<(), TooLong> {
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.floor_char_boundary(MERGED_BYTES));
            self.grow(piece.len())?;
            self.last += 1;
            self.append(voice, piece);
            rest = more;
        }
        Ok(())
    }

    fn append(&mut self, voice: Voice, piece: &str) {
        if let Some(Piece { last, body: Body::Said { voice: v, text, ends }, .. }) =
            self.pieces.last_mut()
            && *v == voice
        {
            text.push_str(piece);
            ends.push(offset(text));
            *last = self.last;
            return;
        }
        let text = piece.to_owned();
        let ends = vec![offset(&text)];
        self.pieces.push(Piece {
            first: self.last,
            last: self.last,
            body: Body::Said { voice, text, ends },
        });
    }

    fn one(&mut self, kind: Kind) -> Result<(), TooLong> {
        let mut event = AskEvent { index: self.last + 1, run: self.run, kind: Some(kind) };
        self.grow(prost::Message::encoded_len(&event))?;
        self.last = event.index;
        let kind = event.kind.take();
        let one = |kind| Piece { first: self.last, last: self.last, body: Body::One(kind) };
        self.pieces.extend(kind.map(one));
        Ok(())
    }

    fn grow(&mut self, bytes: usize) -> Result<(), TooLong> {
        let bytes = self.bytes + bytes + EVENT_BYTES;
        if bytes > MAX_BYTES {
            return Err(TooLong);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The end is always told, whatever was said before it.
    fn end(&mut self, kind: Kind) {
        self.last += 1;
        self.pieces.push(Piece { first: self.last, last: self.last, body: Body::One(kind) });
        self.ended = true;
    }

    /// The answer as far as it goes: all text, without the reasoning.
    fn answer(&self) -> String {
        self.pieces
            .iter()
            .filter_map(|it| match &it.body {
                Body::Said { voice: Voice::Text, text, .. } => Some(text.as_str()),
                Body::Said { voice: Voice::Reasoning, .. } | Body::One(_) => None,
            })
            .collect()
    }
}

impl Piece {
    /// What follows `index` here, with its own index.
    fn after(&self, index: u32) -> (u32, Kind) {
        let (voice, text, ends) = match &self.body {
            Body::One(kind) => return (self.last, kind.clone()),
            Body::Said { voice, text, ends } => (*voice, text, ends),
        };
        let seen = (index + 1).saturating_sub(self.first) as usize;
        let start = if seen == 0 { 0 } else { ends[seen - 1] as usize };
        let room = ends[seen..].partition_point(|end| *end as usize - start <= MERGED_BYTES);
        let upto = seen + room.max(1) - 1;
        let piece = text[start..ends[upto] as usize].to_owned();
        let kind = match voice {
            Voice::Text => Kind::Text(piece),
            Voice::Reasoning => Kind::Reasoning(piece),
        };
        (self.first + offset_index(upto), kind)
    }
}

fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).expect("a buffer is far below 4 GiB")
}

fn offset_index(at: usize) -> u32 {
    u32::try_from(at).expect("a buffer has far fewer events")
}

/// The one who fills a buffer; every change wakes its readers.
#[derive(Debug)]
pub(crate) struct Writer(watch::Sender<Buffer>);

impl Writer {
    /// The buffer of a new run. When somebody already has `shown` events of this
    /// turn from elsewhere, the first event takes them back.
    pub(crate) fn new(run: u32, shown: u32) -> (Self, watch::Receiver<Buffer>) {
        let mut buffer = Buffer { run, last: shown, ..Buffer::default() };
        if shown > 0 {
            buffer
                .push(Kind::Rewind(Rewind { to: 0 }))
                .expect("an empty buffer has room for one small event");
        }
        let (sender, receiver) = watch::channel(buffer);
        (Self(sender), receiver)
    }

    /// Adds an event.
    pub(crate) fn say(&self, kind: Kind) -> Result<(), TooLong> {
        let mut said = Ok(());
        self.0.send_modify(|buffer| said = buffer.push(kind));
        said
    }

    /// Adds the terminal event; nothing may follow.
    pub(crate) fn end(&self, kind: Kind) {
        self.0.send_modify(|buffer| buffer.end(kind));
    }

    /// Whether the terminal event is there.
    pub(crate) fn ended(&self) -> bool {
        self.0.borrow().ended()
    }

    /// What the buffer holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.borrow().bytes()
    }

    /// All text said so far.
    pub(crate) fn answer(&self) -> String {
        self.0.borrow().answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(it: &str) -> Kind {
        Kind::Text(it.to_owned())
    }

    fn rest(buffer: &Buffer, mut index: u32) -> Vec<AskEvent> {
        let mut events = Vec::new();
        while let Some(event) = buffer.after(index) {
            assert!(event.index > index);
            index = event.index;
            events.push(event);
        }
        events
    }

    #[test]
    fn a_reader_that_lags_gets_neighbouring_text_as_one_event() {
        let mut buffer = Buffer::default();
        for kind in [
            text("a"),
            text("b"),
            Kind::Reasoning("r".into()),
            text("c"),
            Kind::Rewind(Rewind { to: 0 }),
            text("d"),
            text("e"),
        ] {
            buffer.push(kind).unwrap();
        }
        buffer.end(Kind::Cancelled(proto::Cancelled {}));
        let got: Vec<(u32, Kind)> =
            rest(&buffer, 1).into_iter().map(|it| (it.index, it.kind.unwrap())).collect();
        assert_eq!(
            got,
            [
                (2, text("b")),
                (3, Kind::Reasoning("r".into())),
                (4, text("c")),
                (5, Kind::Rewind(Rewind { to: 0 })),
                (7, text("de")),
                (8, Kind::Cancelled(proto::Cancelled {})),
            ]
        );
        assert_eq!(buffer.answer(), "abcde");
    }

    #[test]
    fn a_turn_that_was_shown_elsewhere_begins_by_taking_it_back() {
        let (writer, events) = Writer::new(7, 41);
        writer.say(text("a")).unwrap();
        let buffer = events.borrow();
        assert_eq!(
            rest(&buffer, 41),
            [
                AskEvent { index: 42, run: 7, kind: Some(Kind::Rewind(Rewind { to: 0 })) },
                AskEvent { index: 43, run: 7, kind: Some(text("a")) },
            ]
        );
    }

    #[test]
    fn a_buffer_is_bounded_and_its_end_is_told_all_the_same() {
        let (writer, events) = Writer::new(7, 0);
        let delta = "x".repeat(1024);
        let mut said = 0;
        while writer.say(text(&delta)).is_ok() {
            said += 1;
        }
        assert!(said > 3_900 && said < 4_096, "{said}");
        writer.end(Kind::Cancelled(proto::Cancelled {}));
        assert!(events.borrow().ended());
        assert_eq!(events.borrow().last(), said + 1);
    }

    #[test]
    fn a_huge_delta_is_told_in_pieces_that_keep_its_characters() {
        let mut buffer = Buffer::default();
        let huge = "三".repeat(50_000);
        buffer.push(text(&huge)).unwrap();
        let pieces = rest(&buffer, 0);
        assert_eq!(pieces.len(), 3);
        let joined: String = pieces
            .iter()
            .filter_map(|it| match &it.kind {
                Some(Kind::Text(text)) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(joined, huge);
    }

    proptest! {
        #[test]
        fn from_every_index_a_reader_gets_exactly_the_rest(
            deltas in proptest::collection::vec(("[a-z三四]{1,4}", 0u8..3), 1..40),
        ) {
            let mut buffer = Buffer::default();
            let mut told = Vec::new();
            for (delta, voice) in deltas {
                let kind = match voice {
                    0 => Kind::Reasoning(delta.clone()),
                    1 => Kind::Completed(proto::Completed { finish_reason: delta.clone() }),
                    _ => Kind::Text(delta.clone()),
                };
                buffer.push(kind).unwrap();
                told.push(delta);
            }
            for index in 0..=told.len() {
                let got: String = rest(&buffer, u32::try_from(index).unwrap())
                    .into_iter()
                    .filter_map(|it| match it.kind {
                        Some(Kind::Text(it) | Kind::Reasoning(it)) => Some(it),
                        Some(Kind::Completed(it)) => Some(it.finish_reason),
                        _ => None,
                    })
                    .collect();
                prop_assert_eq!(got, told[index..].concat());
            }
        }
    }
}
