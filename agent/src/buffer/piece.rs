//! Neighbouring events that may be told as one, and how a ledger keeps them.
//!
//! Refuses what no writer can have written: a gap in the numbers, an end that is
//! none in its text.

use proto::ask_event::Kind;
use proto::{AskEvent, Ledger, LedgerPiece};

/// The most text in one event, in bytes; below it, merging stops.
pub(super) const MERGED_BYTES: usize = 64 * 1024;

/// Neighbouring events that may be told as one.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    first: u32,
    pub(super) last: u32,
    body: Body,
}

#[derive(Debug, Clone)]
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
pub(super) enum Voice {
    Text,
    Reasoning,
}

impl Voice {
    fn kind(self, text: String) -> Kind {
        match self {
            Self::Text => Kind::Text(text),
            Self::Reasoning => Kind::Reasoning(text),
        }
    }
}

impl Piece {
    /// A single event.
    pub(super) fn one(index: u32, kind: Kind) -> Self {
        Self { first: index, last: index, body: Body::One(kind) }
    }

    /// A delta that others of its voice may follow.
    pub(super) fn said(index: u32, voice: Voice, delta: &str) -> Self {
        let (text, ends) = (delta.to_owned(), vec![offset(delta)]);
        Self { first: index, last: index, body: Body::Said { voice, text, ends } }
    }

    /// Takes the delta in that follows, if it is of the same voice.
    pub(super) fn continues(&mut self, voice: Voice, delta: &str) -> bool {
        let Body::Said { voice: own, text, ends } = &mut self.body else {
            return false;
        };
        if *own != voice {
            return false;
        }
        text.push_str(delta);
        ends.push(offset(text));
        self.last += 1;
        true
    }

    /// What follows `index` here, with its own index.
    pub(super) fn after(&self, index: u32) -> (u32, Kind) {
        let (voice, text, ends) = match &self.body {
            Body::One(kind) => return (self.last, kind.clone()),
            Body::Said { voice, text, ends } => (*voice, text, ends),
        };
        let seen = (index + 1).saturating_sub(self.first) as usize;
        let start = if seen == 0 { 0 } else { ends[seen - 1] as usize };
        let room = ends[seen..].partition_point(|end| *end as usize - start <= MERGED_BYTES);
        let upto = seen + room.max(1) - 1;
        let kind = voice.kind(text[start..ends[upto] as usize].to_owned());
        (self.first + index_of(upto), kind)
    }

    /// All of it as one.
    pub(super) fn whole(&self) -> Kind {
        match &self.body {
            Body::One(kind) => kind.clone(),
            Body::Said { voice, text, .. } => voice.kind(text.clone()),
        }
    }

    /// The piece without the events after `index`; `None` when nothing is left.
    pub(super) fn upto(mut self, index: u32) -> Option<Self> {
        if self.first > index {
            return None;
        }
        if let Body::Said { text, ends, .. } = &mut self.body {
            ends.truncate((index - self.first) as usize + 1);
            text.truncate(ends.last().map_or(0, |end| *end as usize));
            self.last = self.last.min(index);
        }
        Some(self)
    }

    /// How many events it stands for.
    pub(super) fn events(&self) -> usize {
        (self.last - self.first) as usize + 1
    }

    /// What its events cost, in bytes, without what each costs by itself.
    pub(super) fn bytes(&self) -> usize {
        match &self.body {
            Body::Said { text, .. } => text.len(),
            Body::One(kind) => {
                let event = AskEvent { index: self.last, run: 0, kind: Some(kind.clone()) };
                prost::Message::encoded_len(&event)
            }
        }
    }

    /// The piece as a ledger keeps it.
    pub(super) fn kept(&self) -> LedgerPiece {
        let ends = match &self.body {
            Body::Said { ends, .. } => ends.clone(),
            Body::One(_) => Vec::new(),
        };
        let event = AskEvent { index: self.last, run: 0, kind: Some(self.whole()) };
        LedgerPiece { first: self.first, ends, event: Some(event) }
    }

    /// The piece that a ledger keeps; `None` when it cannot be one.
    fn read(kept: &LedgerPiece) -> Option<Self> {
        let event = kept.event.as_ref()?;
        let (first, last) = (kept.first, event.index);
        let body = match event.kind.as_ref()? {
            Kind::Text(text) => Body::read(Voice::Text, text, &kept.ends)?,
            Kind::Reasoning(text) => Body::read(Voice::Reasoning, text, &kept.ends)?,
            one @ (Kind::ToolCall(_)
            | Kind::ToolResult(_)
            | Kind::Citation(_)
            | Kind::Usage(_)
            | Kind::Rewind(_)
            | Kind::Completed(_)
            | Kind::Interrupted(_)
            | Kind::Failed(_)
            | Kind::Cancelled(_)) => Body::One(one.clone()),
        };
        let events = match &body {
            Body::Said { ends, .. } => ends.len(),
            Body::One(_) => 1,
        };
        let whole = last.checked_sub(first)? as usize + 1 == events;
        whole.then_some(Self { first, last, body })
    }
}

impl Body {
    fn read(voice: Voice, text: &str, ends: &[u32]) -> Option<Self> {
        let grow = ends.is_sorted() && ends.last().is_some_and(|end| *end as usize == text.len());
        let fit = ends.iter().all(|end| text.is_char_boundary(*end as usize));
        (grow && fit).then(|| Self::Said { voice, text: text.to_owned(), ends: ends.to_owned() })
    }
}

/// What a ledger's turn has said, from index 1 on without a gap; `None` when no
/// writer can have left it so.
pub(super) fn pieces(ledger: &Ledger) -> Option<Vec<Piece>> {
    let mut last = 0;
    let follows = |piece: &Piece| {
        let right = piece.first == last + 1;
        last = piece.last;
        right
    };
    let pieces = ledger.said.iter().map(Piece::read).collect::<Option<Vec<_>>>()?;
    pieces.iter().all(follows).then_some(pieces)
}

fn offset(text: &str) -> u32 {
    u32::try_from(text.len()).expect("a buffer is far below 4 GiB")
}

fn index_of(at: usize) -> u32 {
    u32::try_from(at).expect("a buffer has far fewer events")
}
