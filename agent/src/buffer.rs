//! What a turn has said so far, kept so that a reader may come late, lag or
//! come back, and what of it earlier runs of the turn had said.
//!
//! Neighbouring pieces of text are one string with the end of each index, so a reader that
//! lags gets what it missed as one event. Merging never crosses an event of
//! another kind. Refuses to grow past [`MAX_BYTES`].

mod piece;
#[cfg(test)]
mod tests;

use proto::ask_event::Kind;
use proto::{AskEvent, Ledger, LedgerPiece, LedgerRun};
use tokio::sync::watch;

use crate::buffer::piece::{MERGED_BYTES, Piece, Voice};
use crate::registry::Place;

/// The most that a turn may say, in bytes, bookkeeping included.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What each event costs beside its text, in bytes.
const EVENT_BYTES: usize = 8;

/// The turn has said more than [`MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// The event after which everything is told.
    pub(crate) after: u32,
    /// What the reader has after that is to be taken back first.
    pub(crate) takes_back: bool,
}

/// What a run has of those before it.
#[derive(Debug, Clone, Default)]
struct Inherited {
    /// The last event that it did not say itself.
    last: u32,
    /// What each of them has in common with it.
    runs: Vec<LedgerRun>,
}

/// Everything a turn has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffer {
    run: u32,
    /// What this run has of earlier ones; `None` until that is known.
    inherited: Option<Inherited>,
    pieces: Vec<Piece>,
    last: u32,
    bytes: usize,
    ended: bool,
}

impl Buffer {
    /// Which run of the turn this is.
    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// Whether the turn has ended; nothing follows then.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The next event for a reader that has everything up to `index`.
    pub(crate) fn after(&self, index: u32) -> Option<AskEvent> {
        let at = self.pieces.partition_point(|it| it.last <= index);
        let (index, kind) = self.pieces.get(at)?.after(index);
        Some(AskEvent { index, run: self.run, kind: Some(kind) })
    }

    /// Where somebody begins who comes now and has the turn up to a place;
    /// `None` until it is known what this run inherits.
    pub(crate) fn start(&self, has: Place) -> Option<Start> {
        self.begins(has, self.last)
    }

    /// The same for somebody who came before that was known: no event of this
    /// run can be his.
    pub(crate) fn start_of_all(&self, has: Place) -> Option<Start> {
        self.begins(has, self.inherited.as_ref()?.last)
    }

    /// `last` is the last event that he may have of this run.
    fn begins(&self, has: Place, last: u32) -> Option<Start> {
        let runs = &self.inherited.as_ref()?.runs;
        let anew = Start { after: 0, takes_back: has.index > 0 };
        if has.run == 0 || has.run == self.run {
            let known = Start { after: has.index, takes_back: false };
            return Some(if has.index <= last { known } else { anew });
        }
        let common = runs.iter().find(|it| it.run == has.run).map_or(0, |it| it.last);
        Some(Start { after: has.index.min(common), ..anew })
    }

    fn open(&mut self, ledger: Option<&Ledger>) {
        if self.inherited.is_some() {
            return;
        }
        // What no writer left is not inherited, and then no run is known.
        let inherited = ledger.and_then(|it| Some((piece::pieces(it)?, it.runs.clone())));
        let (pieces, runs) = inherited.unwrap_or_default();
        self.last = pieces.last().map_or(0, |it| it.last);
        self.inherited = Some(Inherited { last: self.last, runs });
        self.bytes = pieces.iter().map(|it| it.bytes() + it.events() * EVENT_BYTES).sum();
        self.pieces = pieces;
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
            let (delta, more) = rest.split_at(rest.floor_char_boundary(MERGED_BYTES));
            self.grow(delta.len())?;
            self.last += 1;
            if !self.pieces.last_mut().is_some_and(|it| it.continues(voice, delta)) {
                self.pieces.push(Piece::said(self.last, voice, delta));
            }
            rest = more;
        }
        Ok(())
    }

    fn one(&mut self, kind: Kind) -> Result<(), TooLong> {
        let piece = Piece::one(self.last + 1, kind);
        self.grow(piece.bytes())?;
        self.last = piece.last;
        self.pieces.push(piece);
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
        self.pieces.push(Piece::one(self.last, kind));
        self.ended = true;
    }

    /// What stands of all that was said, neighbouring text as one.
    fn said(&self) -> Vec<Kind> {
        let mut standing: Vec<Piece> = Vec::new();
        for piece in &self.pieces {
            if let Kind::Rewind(back) = piece.whole() {
                standing = standing.into_iter().filter_map(|it| it.upto(back.to)).collect();
            } else {
                standing.push(piece.clone());
            }
        }
        let mut said: Vec<Kind> = Vec::with_capacity(standing.len());
        for piece in standing {
            match (said.last_mut(), piece.whole()) {
                (Some(Kind::Text(text)), Kind::Text(more))
                | (Some(Kind::Reasoning(text)), Kind::Reasoning(more)) => text.push_str(&more),
                (_, kind) => said.push(kind),
            }
        }
        said
    }
}

/// Whether a ledger's text is as a writer leaves it.
pub(crate) fn is_whole(ledger: &Ledger) -> bool {
    piece::pieces(ledger).is_some()
}

/// The one who fills a buffer; every change wakes its readers.
#[derive(Debug)]
pub(crate) struct Writer(watch::Sender<Buffer>);

impl Writer {
    /// The buffer of a new run. Its readers wait until it is opened.
    pub(crate) fn new(run: u32) -> (Self, watch::Receiver<Buffer>) {
        let (sender, receiver) = watch::channel(Buffer { run, ..Buffer::default() });
        (Self(sender), receiver)
    }

    /// Begins with what the ledger says that earlier runs have said, or with
    /// nothing. Only the first call counts; who says something before it has
    /// inherited nothing.
    pub(crate) fn open(&self, ledger: Option<&Ledger>) {
        self.0.send_modify(|buffer| buffer.open(ledger));
    }

    /// Adds an event; returns its index, the last one when it was told as
    /// several. A rewind must not reach below what a ledger keeps: who has more
    /// of this run would be told by the next one that he still has it.
    pub(crate) fn say(&self, kind: Kind) -> Result<u32, TooLong> {
        let mut said = Ok(0);
        self.0.send_modify(|buffer| {
            buffer.open(None);
            said = buffer.push(kind).map(|()| buffer.last);
        });
        said
    }

    /// Adds the terminal event; nothing may follow.
    pub(crate) fn end(&self, kind: Kind) {
        self.0.send_modify(|buffer| {
            buffer.open(None);
            buffer.end(kind);
        });
    }

    /// Which run of the turn this is.
    pub(crate) fn run(&self) -> u32 {
        self.0.borrow().run
    }

    /// The index of the last event; 0 for none.
    pub(crate) fn last(&self) -> u32 {
        self.0.borrow().last
    }

    /// Everything said so far and `more` behind it, with the indexes they get
    /// when they are said next.
    pub(crate) fn pieces(&self, more: &[Kind]) -> Result<Vec<LedgerPiece>, TooLong> {
        let mut buffer = self.0.borrow().clone();
        for kind in more {
            buffer.push(kind.clone())?;
        }
        Ok(buffer.pieces.iter().map(Piece::kept).collect())
    }

    /// What stands of all that was said, neighbouring text as one.
    pub(crate) fn said(&self) -> Vec<Kind> {
        self.0.borrow().said()
    }

    /// Whether the terminal event is there.
    pub(crate) fn ended(&self) -> bool {
        self.0.borrow().ended
    }

    /// What the buffer holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.borrow().bytes
    }
}
