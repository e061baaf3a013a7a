//! Gathers words into sentences, blocks, passages and headings, whatever format
//! they come from. Refuses nothing: any text is a document.

use std::ops::Range;
use std::sync::Arc;

use words::is_wide;

use crate::passage::{Form, Passage, Sentence};
use crate::sentence;

/// A section is cut into passages of about this many bytes.
const PASSAGE_BYTES: usize = 1_200;

/// What is longer without an end is cut all the same, in bytes; so is a heading.
const MAX_SENTENCE: usize = 1_500;
const MAX_HEADING: usize = 200;

/// What the origins of words are.
#[derive(Debug)]
pub(crate) enum Origins {
    /// Bytes of a text whose lines begin at these.
    Bytes(Vec<usize>),
    /// Lines, from 1.
    Lines,
}

impl Origins {
    /// Those of words that are taken from this text.
    pub(crate) fn of(text: &str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self::Bytes(std::iter::once(0).chain(breaks).collect())
    }
}

/// Takes words, breaks and headings in order; gives passages.
#[derive(Debug)]
pub(crate) struct Cutter {
    source: Arc<str>,
    origins: Origins,
    /// Level and words; the outermost first.
    headings: Vec<(u8, String)>,
    block: Block,
    blocks: u32,
    open: Vec<Sentence>,
    open_bytes: usize,
    passages: Vec<Passage>,
}

/// The words of one block, and where in the source each stretch of them begins.
#[derive(Debug, Default)]
struct Block {
    words: String,
    origins: Vec<(usize, usize)>,
    broken: bool,
}

impl Block {
    fn push(&mut self, words: &str, origin: usize) {
        if std::mem::take(&mut self.broken) && !self.words.is_empty() {
            let parted = self.words.ends_with(|it| it == ' ' || is_wide(it));
            let joined = parted || words.starts_with(is_wide);
            self.words.push_str(if joined { "" } else { " " });
        }
        self.origins.push((self.words.len(), origin));
        self.words.push_str(words);
    }

    /// The stretch that the words at `at` are in: how far in, and its origin.
    fn origin(&self, at: usize) -> (usize, usize) {
        let index = self.origins.partition_point(|(words, _)| *words <= at);
        let (words, origin) = self.origins[index.saturating_sub(1)];
        (at - words, origin)
    }
}

impl Cutter {
    pub(crate) fn new(source: Arc<str>, origins: Origins) -> Self {
        Self {
            source,
            origins,
            headings: Vec::new(),
            block: Block::default(),
            blocks: 0,
            open: Vec::new(),
            open_bytes: 0,
            passages: Vec::new(),
        }
    }

    /// Goes on in another text, which is a passage of its own.
    pub(crate) fn turn_to(&mut self, origins: Origins) {
        self.close();
        self.origins = origins;
    }

    /// Adds words to the open block.
    pub(crate) fn push(&mut self, words: &str, origin: usize) {
        self.block.push(words, origin);
    }

    /// What follows stands on another line.
    pub(crate) fn break_line(&mut self) {
        self.block.broken = true;
    }

    /// Adds what parts two cells of a row, unless nothing stands before it.
    pub(crate) fn part_cells(&mut self) {
        if !self.block.words.is_empty() {
            let (_, origin) = self.block.origin(self.block.words.len());
            self.block.push(" | ", origin);
        }
    }

    /// Whether the open block has no words yet.
    pub(crate) fn is_blank(&self) -> bool {
        self.block.words.is_empty()
    }

    /// Forgets the open block; its words.
    pub(crate) fn drop_block(&mut self) -> String {
        std::mem::take(&mut self.block).words
    }

    /// Makes the open block a heading, which ends those of its level and below.
    pub(crate) fn heading(&mut self, level: u8) {
        let words = self.drop_block();
        self.head(level, &words);
    }

    /// Begins what stands under a heading.
    pub(crate) fn head(&mut self, level: u8, words: &str) {
        self.close();
        self.headings.retain(|(above, _)| *above < level);
        let words = words.trim();
        let words = words[..words.floor_char_boundary(MAX_HEADING)].to_owned();
        if !words.is_empty() {
            self.headings.push((level, words));
        }
    }

    /// Ends the open paragraph, item, row or code.
    pub(crate) fn finish(&mut self, form: Form) {
        let block = std::mem::take(&mut self.block);
        let sentences = match form {
            Form::Paragraph | Form::Item => sentence::split(&block.words),
            Form::Columns | Form::Row | Form::Code => {
                let start = block.words.len() - block.words.trim_start_matches('\n').len();
                let end = block.words.trim_end().len();
                (start < end).then_some(start..end).into_iter().collect()
            }
        };
        self.blocks += 1;
        let bounded = sentences.into_iter().flat_map(|range| bounded(&block.words, range));
        for range in bounded {
            let last = block.words[range.clone()].chars().next_back();
            let last = range.end - last.map_or(0, char::len_utf8);
            self.open_bytes += range.len();
            self.open.push(Sentence {
                lines: (self.line(block.origin(range.start)), self.line(block.origin(last))),
                text: block.words[range].to_owned(),
                form,
                block: self.blocks,
            });
            if self.open_bytes >= 2 * PASSAGE_BYTES {
                self.close();
            }
        }
        if self.open_bytes >= PASSAGE_BYTES {
            self.close();
        }
    }

    fn line(&self, (into, origin): (usize, usize)) -> u32 {
        let line = match &self.origins {
            Origins::Bytes(lines) => lines.partition_point(|begin| *begin <= origin + into),
            Origins::Lines => origin,
        };
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// Everything, in order. An open block is lost.
    pub(crate) fn finished(mut self) -> Vec<Passage> {
        self.close();
        self.passages
    }

    fn close(&mut self) {
        self.open_bytes = 0;
        if self.open.is_empty() {
            return;
        }
        let headings: Vec<_> = self.headings.iter().map(|(_, it)| it.as_str()).collect();
        self.passages.push(Passage {
            source: Arc::clone(&self.source),
            heading: headings.join(" > ").into(),
            sentences: std::mem::take(&mut self.open),
            opens: self.passages.is_empty(),
        });
    }
}

/// A sentence in pieces of at most [`MAX_SENTENCE`], cut at space where there is
/// any.
fn bounded(words: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let (mut start, end) = (range.start, range.end);
    while end - start > MAX_SENTENCE {
        let piece = &words[start..end];
        let piece = &piece[..piece.floor_char_boundary(MAX_SENTENCE)];
        let cut = piece.rfind(char::is_whitespace).filter(|at| *at > 0);
        let cut = start + cut.unwrap_or(piece.len());
        pieces.push(start..cut);
        let more = &words[cut..end];
        start = cut + (more.len() - more.trim_start().len());
    }
    pieces.push(start..end);
    pieces.retain(|it| !words[it.clone()].trim().is_empty());
    pieces
}
