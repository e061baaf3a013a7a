//! A document cut by its structure: headings, paragraphs, list items, table
//! rows and code, in sentences that know their lines.
//!
//! Inline marks are left out of the words, line breaks become spaces; nothing
//! else is changed. Refuses nothing: any text is a document.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Document, sentence};
use words::is_wide;

/// A section is cut into passages of about this many bytes.
const PASSAGE_BYTES: usize = 1_200;

/// What is longer without an end is cut all the same, in bytes; so is a heading.
const MAX_SENTENCE: usize = 1_500;
const MAX_HEADING: usize = 200;

/// What a sentence is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Paragraph,
    Item,
    Row,
    /// The whole block is one sentence.
    Code,
}

/// A sentence with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub text: String,
    /// Lines in the source, from 1, both included.
    pub lines: (u32, u32),
    pub form: Form,
    /// Running number of its paragraph, item, row or code in the document.
    pub block: u32,
}

/// Neighbouring sentences under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) source: Arc<str>,
    /// Headings above, outermost first, joined by " > ".
    pub(crate) heading: Arc<str>,
    pub(crate) sentences: Vec<Sentence>,
    /// Whether the document begins with it.
    pub(crate) opens: bool,
}

/// The passages of a document, in order.
pub(crate) fn cut(document: &Document) -> Vec<Passage> {
    let mut cutter = Cutter::new(document);
    let extension = Path::new(&document.source).extension();
    if extension.is_some_and(|it| it.eq_ignore_ascii_case("txt")) {
        cutter.plain();
    } else {
        cutter.markdown();
    }
    cutter.close();
    cutter.passages
}

struct Cutter<'a> {
    text: &'a str,
    source: Arc<str>,
    /// Where each line begins.
    lines: Vec<usize>,
    headings: Vec<(HeadingLevel, String)>,
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
            let joined = self.words.ends_with(is_wide) || words.starts_with(is_wide);
            self.words.push_str(if joined { "" } else { " " });
        }
        self.origins.push((self.words.len(), origin));
        self.words.push_str(words);
    }

    /// Where in the source the words at `at` begin.
    fn origin(&self, at: usize) -> usize {
        let index = self.origins.partition_point(|(words, _)| *words <= at);
        let (words, origin) = self.origins[index.saturating_sub(1)];
        origin + (at - words)
    }
}

impl<'a> Cutter<'a> {
    fn new(document: &'a Document) -> Self {
        let text = document.text.as_str();
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            source: document.source.as_str().into(),
            lines: std::iter::once(0).chain(breaks).collect(),
            headings: Vec::new(),
            block: Block::default(),
            blocks: 0,
            open: Vec::new(),
            open_bytes: 0,
            passages: Vec::new(),
        }
    }

    fn plain(&mut self) {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            let words = line.trim();
            if words.is_empty() {
                self.finish(Form::Paragraph);
            } else {
                let indent = line.len() - line.trim_start().len();
                self.block.broken = true;
                self.block.push(words, at + indent);
            }
            at += line.len();
        }
        self.finish(Form::Paragraph);
    }

    fn markdown(&mut self) {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        let mut form = Form::Paragraph;
        let mut hidden = false;
        for (event, range) in Parser::new_ext(self.text, options).into_offset_iter() {
            hidden |= matches!(event, Event::Start(Tag::MetadataBlock(_)));
            if !hidden {
                self.event(&event, &range, &mut form);
            }
            hidden &= !matches!(event, Event::End(TagEnd::MetadataBlock(_)));
        }
        self.finish(form);
    }

    fn event(&mut self, event: &Event<'_>, range: &Range<usize>, form: &mut Form) {
        match event {
            Event::Start(tag) => self.start(tag, form),
            Event::End(tag) => self.end(*tag, form),
            Event::Text(words) => self.block.push(words, range.start),
            Event::Code(_) => {
                let words = self.text[range.clone()].replace('\n', " ");
                self.block.push(&words, range.start);
            }
            Event::SoftBreak | Event::HardBreak => self.block.broken = true,
            Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser's tags are many, and all others are inline"
    )]
    fn start(&mut self, tag: &Tag<'_>, form: &mut Form) {
        match tag {
            Tag::Item => {
                self.finish(*form);
                *form = Form::Item;
            }
            Tag::TableHead | Tag::TableRow => {
                self.finish(*form);
                *form = Form::Row;
            }
            Tag::TableCell if !self.block.words.is_empty() => {
                let at = self.block.origin(self.block.words.len());
                self.block.push(" | ", at.min(self.text.len()));
            }
            Tag::CodeBlock(_) => {
                self.finish(*form);
                *form = Form::Code;
            }
            Tag::Heading { .. } | Tag::List(_) | Tag::Table(_) | Tag::BlockQuote(_) => {
                self.finish(*form);
            }
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser's tags are many, and all others are inline"
    )]
    fn end(&mut self, tag: TagEnd, form: &mut Form) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph | TagEnd::BlockQuote(_) => self.finish(*form),
            TagEnd::Item | TagEnd::List(_) | TagEnd::Table | TagEnd::CodeBlock => {
                self.finish(*form);
                *form = Form::Paragraph;
            }
            TagEnd::TableRow => self.finish(Form::Row),
            // Column names answer nothing.
            TagEnd::TableHead => self.block = Block::default(),
            _ => {}
        }
    }

    fn heading(&mut self, level: HeadingLevel) {
        self.close();
        let words = std::mem::take(&mut self.block).words;
        self.headings.retain(|(above, _)| *above < level);
        let words = words.trim();
        let words = words[..words.floor_char_boundary(MAX_HEADING)].to_owned();
        self.headings.push((level, words));
    }

    /// Ends a paragraph, item, row or code.
    fn finish(&mut self, form: Form) {
        let block = std::mem::take(&mut self.block);
        let sentences = match form {
            Form::Paragraph | Form::Item => sentence::split(&block.words),
            Form::Row | Form::Code => {
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

    fn line(&self, at: usize) -> u32 {
        let line = self.lines.partition_point(|begin| *begin <= at);
        u32::try_from(line).unwrap_or(u32::MAX)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn passages(source: &str, text: &str) -> Vec<Passage> {
        cut(&Document { source: source.to_owned(), text: text.to_owned() })
    }

    fn lines(passages: &[Passage]) -> Vec<(&str, &str, (u32, u32))> {
        let each = passages.iter().flat_map(|passage| {
            let heading: &str = &passage.heading;
            let sentences = passage.sentences.iter();
            sentences.map(move |it| (heading, it.text.as_str(), it.lines))
        });
        each.collect()
    }

    #[test]
    fn every_sentence_knows_its_headings_and_lines() {
        let text = "---\ntitle: x\n---\n# Guide\n\nIt **starts**\nhere. It `ends\nthere`.\n\n## 安装\n\n先下载，\n再安装。然后运行。\n\n- one\n- two\n  lines\n\n| a | b |\n|---|---|\n| c | d |\n\n```sh\nweir up\n```\n\n# Next\n\nLast &amp; least.\n";
        let passages = passages("a.md", text);
        assert_eq!(
            lines(&passages),
            [
                ("Guide", "It starts here.", (6, 7)),
                ("Guide", "It `ends there`.", (7, 8)),
                ("Guide > 安装", "先下载，再安装。", (12, 13)),
                ("Guide > 安装", "然后运行。", (13, 13)),
                ("Guide > 安装", "one", (15, 15)),
                ("Guide > 安装", "two lines", (16, 17)),
                ("Guide > 安装", "c | d", (21, 21)),
                ("Guide > 安装", "weir up", (24, 24)),
                ("Next", "Last & least.", (29, 29)),
            ]
        );
        let forms: Vec<_> = passages[1].sentences.iter().map(|it| it.form).collect();
        assert_eq!(forms[2..], [Form::Item, Form::Item, Form::Row, Form::Code]);
    }

    #[test]
    fn plain_text_is_paragraphs_between_blank_lines() {
        let passages = passages("a.txt", "First line\n  goes on. Second.\r\n\n# no heading\n");
        assert_eq!(
            lines(&passages),
            [
                ("", "First line goes on.", (1, 2)),
                ("", "Second.", (2, 2)),
                ("", "# no heading", (4, 4)),
            ]
        );
    }

    #[test]
    fn a_long_section_is_cut_into_passages_under_one_heading() {
        let text = format!("# Long\n\n{}", "One more sentence here.\n\n".repeat(200));
        let passages = passages("a.md", &text);
        assert!(passages.len() >= 3, "{}", passages.len());
        assert!(passages.iter().all(|it| &*it.heading == "Long"));
        let last = passages.last().unwrap().sentences.last().unwrap();
        assert_eq!(last.lines, (401, 401));
    }

    #[test]
    fn what_has_no_end_is_cut_at_a_bound() {
        let endless = format!("{} {}\n", "word ".repeat(2_000), "三".repeat(2_000));
        let passages = passages("a.txt", &endless);
        let sentences: Vec<_> = passages.iter().flat_map(|it| &it.sentences).collect();
        assert!(sentences.len() > 10);
        assert!(sentences.iter().all(|it| it.text.len() <= MAX_SENTENCE));
        let letters: usize = sentences.iter().map(|it| it.text.matches("word").count()).sum();
        assert_eq!(letters, 2_000);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_document_with_lines_inside_it(text in "[a-z#*`|\\-\\[\\]()<>&;.。三 \\n\\r\\t]{0,300}") {
            let all = u32::try_from(text.split('\n').count()).unwrap();
            for source in ["a.md", "a.txt"] {
                for passage in passages(source, &text) {
                    for sentence in passage.sentences {
                        let (first, last) = sentence.lines;
                        proptest::prop_assert!(1 <= first && first <= last && last <= all);
                        proptest::prop_assert!(!sentence.text.trim().is_empty());
                    }
                }
            }
        }
    }
}
