//! Notices an HTTP/1 request that states its body's length in two ways, which
//! proxies may read differently. The HTTP library drops one of the two before
//! a handler could see both.
//!
//! Reads along from head to head: a head may have one `content-length` or one
//! `transfer-encoding`. Bodies and trailers are counted through, never judged:
//! whatever they say, the next request may be somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";
/// What ends the data of a chunk.
const CHUNK_END: u64 = 2;

/// Reads along with a connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    part: Part,
    line: Line,
    head: Head,
    /// Heads that were read.
    heads: u64,
    verdict: Verdict,
}

/// What the next byte is of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// So many bytes, and what comes after them.
    Data(u64, After),
    ChunkSize,
    Trailers,
    /// The connection will be closed: nothing more is a request.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Head,
    ChunkSize,
}

/// What a head has said so far.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    is_begun: bool,
    length: u64,
    is_chunked: bool,
    statements: u32,
}

/// The line so far.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    /// Its bytes.
    column: usize,
    /// Whether they are those of this name, as far as it goes.
    is_length: bool,
    is_encoding: bool,
    /// What a length or the size of a chunk came to.
    number: u64,
    /// Of a chunk's size, only an extension may follow.
    is_measured: bool,
}

/// What was found; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict(Arc<State>);

#[derive(Debug)]
struct State {
    /// Heads before the first ambiguous one.
    good: AtomicU64,
    /// Requests that were asked about.
    judged: AtomicU64,
    over: AtomicBool,
}

impl Default for State {
    fn default() -> Self {
        let [good, judged] = [u64::MAX, 0].map(AtomicU64::new);
        Self { good, judged, over: AtomicBool::new(false) }
    }
}

impl Verdict {
    /// Whether the next request, in their order, is ambiguous.
    pub(crate) fn next_is_ambiguous(&self) -> bool {
        self.0.judged.fetch_add(1, Ordering::Relaxed) >= self.0.good.load(Ordering::Relaxed)
    }

    /// From here on the connection is another protocol's.
    pub(crate) fn over(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }
}

impl Framing {
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    /// Whether the connection is another protocol's.
    pub(crate) fn is_over(&self) -> bool {
        self.verdict.is_over()
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        if self.is_over() {
            self.part = Part::Nothing;
        }
        while let Some((byte, rest)) = bytes.split_first() {
            bytes = match self.part {
                Part::Nothing => return,
                Part::Data(left, after) => self.data(bytes, left, after),
                Part::Head | Part::ChunkSize | Part::Trailers => {
                    self.byte(*byte);
                    rest
                }
            };
        }
    }

    /// Counts through data; returns what comes after it.
    fn data<'a>(&mut self, bytes: &'a [u8], left: u64, after: After) -> &'a [u8] {
        let here = usize::try_from(left).map_or(bytes.len(), |it| it.min(bytes.len()));
        let left = left - here as u64;
        self.part = match (left, after) {
            (0, After::Head) => Part::Head,
            (0, After::ChunkSize) => Part::ChunkSize,
            (left, after) => Part::Data(left, after),
        };
        &bytes[here..]
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                let line = std::mem::take(&mut self.line);
                self.end_line(line);
            }
            b'\r' => {}
            _other if self.part == Part::ChunkSize => self.line.size(byte),
            _other => self.line.header(byte.to_ascii_lowercase()),
        }
    }

    fn end_line(&mut self, line: Line) {
        self.part = match self.part {
            Part::Head if line.column > 0 => {
                self.head.take(line);
                Part::Head
            }
            // Empty lines before a request are nothing.
            Part::Head if !self.head.is_begun => Part::Head,
            Part::Head => self.end_head(),
            Part::ChunkSize if line.number == 0 => Part::Trailers,
            Part::ChunkSize => Part::Data(line.number.saturating_add(CHUNK_END), After::ChunkSize),
            Part::Trailers if line.column == 0 => Part::Head,
            other @ (Part::Trailers | Part::Data(..) | Part::Nothing) => other,
        };
    }

    fn end_head(&mut self) -> Part {
        let head = std::mem::take(&mut self.head);
        if head.statements > 1 {
            self.verdict.0.good.store(self.heads, Ordering::Relaxed);
            return Part::Nothing;
        }
        self.heads += 1;
        match (head.is_chunked, head.length) {
            (true, _) => Part::ChunkSize,
            (false, 0) => Part::Head,
            (false, length) => Part::Data(length, After::Head),
        }
    }
}

impl Head {
    fn take(&mut self, line: Line) {
        self.is_begun = true;
        let is_length = line.is_length && line.column >= LENGTH.len();
        let is_encoding = line.is_encoding && line.column >= ENCODING.len();
        self.statements += u32::from(is_length || is_encoding);
        self.is_chunked |= is_encoding;
        if is_length {
            self.length = line.number;
        }
    }
}

impl Line {
    /// One more byte of a header's line, or of a request's first.
    fn header(&mut self, byte: u8) {
        let at = self.column;
        let fits = |name: &[u8], so_far: bool| {
            (so_far || at == 0) && name.get(at).is_none_or(|it| *it == byte)
        };
        self.is_length = fits(LENGTH, self.is_length);
        self.is_encoding = fits(ENCODING, self.is_encoding);
        if at >= LENGTH.len() && self.is_length {
            self.digit(byte, 10);
        }
        self.column = at.saturating_add(1);
    }

    /// One more byte of the line that says how long a chunk is.
    fn size(&mut self, byte: u8) {
        self.is_measured |= !byte.is_ascii_hexdigit();
        if !self.is_measured {
            self.digit(byte, 16);
        }
    }

    fn digit(&mut self, byte: u8, radix: u32) {
        if let Some(digit) = char::from(byte).to_digit(radix) {
            self.number = self.number.saturating_mul(radix.into()).saturating_add(digit.into());
        }
    }
}

#[cfg(test)]
mod tests;
