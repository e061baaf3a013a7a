//! HTML: headings, paragraphs, lists, tables and code, with their lines in the
//! file.
//!
//! Reads tags as they come and builds no tree, so that no nesting costs more
//! than its bytes. Leaves out scripts, styles, forms, what is hidden and what
//! only leads elsewhere: navigation and footers. Refuses a page with a tag of
//! too many attributes.

mod tags;

use std::cell::RefCell;
use std::sync::Arc;

use encoding_rs::{Encoding, UTF_8};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use crate::cutter::{Cutter, Origins};
use crate::passage::{Form, Passage};

/// How far into a file its encoding is looked for, in bytes.
const PRELUDE: usize = 1_024;

/// The level of a page's title: a first heading takes its place.
const TITLE: u8 = 1;

/// What is never part of the text.
const JUNK: [&str; 14] = [
    "nav", "footer", "form", "select", "button", "menu", "dialog", "template", "svg", "math",
    "object", "canvas", "audio", "video",
];

/// What is junk when its attributes say so; only elements that are always closed.
const MAY_HIDE: [&str; 9] =
    ["div", "section", "span", "ul", "ol", "header", "aside", "a", "article"];

/// What begins and ends a paragraph.
const BLOCKS: [&str; 25] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "header",
    "aside",
    "blockquote",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "table",
    "caption",
    "figure",
    "figcaption",
    "hr",
    "address",
    "details",
    "summary",
    "body",
    "fieldset",
    "center",
    "hgroup",
];

/// The text of a page: UTF-8, or in the encoding that it names.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if let Some((encoding, _)) = Encoding::for_bom(&bytes) {
        return decoded(encoding, &bytes);
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let named = named(&bytes).filter(|it| *it != UTF_8);
    decoded(named.ok_or("neither UTF-8 nor in an encoding that it names")?, &bytes)
}

fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, String> {
    let (text, broken) = encoding.decode_with_bom_removal(bytes);
    if broken {
        return Err(format!("not the {} that it says", encoding.name()));
    }
    Ok(text.into_owned())
}

/// The encoding that a `meta` element names.
fn named(bytes: &[u8]) -> Option<&'static Encoding> {
    let prelude = String::from_utf8_lossy(&bytes[..bytes.len().min(PRELUDE)]).to_ascii_lowercase();
    let (_, after) = prelude.split_once("charset=")?;
    let label = after.trim_start_matches(['"', '\'', ' ']);
    let end = label.find(|it: char| !it.is_ascii_alphanumeric() && !"-_:".contains(it));
    Encoding::for_label(&label.as_bytes()[..end.unwrap_or(label.len())])
}

/// Cuts a page; the error says why it cannot be read.
pub(crate) fn cut(source: Arc<str>, text: &str) -> Result<Vec<Passage>, String> {
    tags::check(text)?;
    let page = Page {
        cutter: Cutter::new(source, Origins::Lines),
        form: Form::Paragraph,
        gap: Gap::None,
        skipped: None,
        raw: false,
        row: None,
    };
    let tokenizer = Tokenizer::new(Sink(RefCell::new(page)), TokenizerOpts::default());
    let input = BufferQueue::default();
    // A lone carriage return would count as a line.
    let text = text.replace("\r\n", "\n").replace('\r', " ");
    input.push_back(StrTendril::from(text));
    drop(tokenizer.feed(&input));
    tokenizer.end();
    let mut page = tokenizer.sink.0.into_inner();
    page.end_block();
    Ok(page.cutter.finished())
}

struct Sink(RefCell<Page>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<()> {
        let mut page = self.0.borrow_mut();
        match token {
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => return page.start(&tag),
            Token::TagToken(tag) => page.end(&tag.name),
            Token::CharacterTokens(words) => page.words(&words, line),
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

/// What stands between the words so far and the next ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Space,
    Line,
}

struct Page {
    cutter: Cutter,
    /// What the open block is.
    form: Form,
    gap: Gap,
    /// The element that is left out, and how many of its kind are open.
    skipped: Option<(String, usize)>,
    /// Within `pre`, where space counts.
    raw: bool,
    /// Within a row: whether it has a cell that is no column's name.
    row: Option<bool>,
}

impl Page {
    fn start(&mut self, tag: &Tag) -> TokenSinkResult<()> {
        let name = &*tag.name;
        let raw = match name {
            "script" => RawKind::ScriptData,
            "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp" => RawKind::Rawtext,
            "title" | "textarea" => RawKind::Rcdata,
            _ => {
                self.begin(tag, name);
                return TokenSinkResult::Continue;
            }
        };
        if name == "title" && self.skipped.is_none() {
            self.end_block();
        } else {
            self.skip(name);
        }
        TokenSinkResult::RawData(raw)
    }

    fn begin(&mut self, tag: &Tag, name: &str) {
        if let Some((skipped, open)) = &mut self.skipped {
            *open += usize::from(skipped == name);
            if !matches!(name, "main" | "article") || skipped == name {
                return;
            }
            // Nothing of this kind is inside what is left out: its end is missing.
            self.skipped = None;
        }
        if JUNK.contains(&name) || (MAY_HIDE.contains(&name) && is_hidden(tag)) {
            self.skip(name);
            return;
        }
        match name {
            "br" => self.gap = Gap::Line,
            "tr" => {
                self.end_block();
                self.row = Some(false);
            }
            "td" | "th" if self.row.is_some() => {
                self.row = self.row.map(|own| own || name == "td");
                self.cutter.part_cells();
                self.gap = Gap::None;
            }
            _ if self.row.is_some() => self.gap = if is_block(name) { Gap::Line } else { self.gap },
            "li" => self.begin_block(Form::Item),
            "pre" => {
                self.begin_block(Form::Code);
                self.raw = true;
            }
            _ if level(name).is_some() => self.begin_block(Form::Paragraph),
            _ if is_block(name) => self.end_block(),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, open)) = &mut self.skipped {
            *open -= usize::from(skipped == name);
            if *open == 0 {
                self.skipped = None;
            }
            return;
        }
        match name {
            "title" => self.cutter.heading(TITLE),
            "tr" | "table" | "thead" | "tbody" => self.end_block(),
            _ if self.row.is_some() => self.gap = if is_block(name) { Gap::Line } else { self.gap },
            "li" | "pre" | "ul" | "ol" => {
                self.end_block();
                self.form = Form::Paragraph;
                self.raw = false;
            }
            _ => match level(name) {
                Some(level) => {
                    self.gap = Gap::None;
                    self.cutter.heading(level);
                }
                None if is_block(name) => self.end_block(),
                None => {}
            },
        }
    }

    fn skip(&mut self, name: &str) {
        if self.skipped.is_none() {
            self.skipped = Some((name.to_owned(), 1));
        }
    }

    fn begin_block(&mut self, form: Form) {
        self.end_block();
        self.form = form;
    }

    /// Ends the open paragraph, item, row or code.
    fn end_block(&mut self) {
        self.gap = Gap::None;
        let form = match self.row.take() {
            Some(true) => Form::Row,
            Some(false) => Form::Columns,
            None => self.form,
        };
        if !self.cutter.is_blank() {
            self.cutter.finish(form);
        }
    }

    /// Takes a run of characters that ends in a line.
    fn words(&mut self, run: &str, line: u64) {
        if self.skipped.is_some() {
            return;
        }
        let last = usize::try_from(line).unwrap_or(usize::MAX);
        let first = last.saturating_sub(run.matches('\n').count());
        for (number, words) in run.split('\n').enumerate() {
            if number > 0 {
                self.break_line(first + number - 1);
            }
            self.line(words, first + number);
        }
    }

    fn break_line(&mut self, line: usize) {
        if self.raw && self.row.is_none() {
            self.cutter.push("\n", line);
        } else {
            self.gap = Gap::Line;
        }
    }

    fn line(&mut self, words: &str, line: usize) {
        if self.raw && self.row.is_none() {
            if !words.is_empty() {
                self.cutter.push(words, line);
            }
            return;
        }
        let space = |it: char| it.is_whitespace();
        for (at, word) in words.split(space).enumerate() {
            if at > 0 && self.gap == Gap::None {
                self.gap = Gap::Space;
            }
            if !word.is_empty() {
                self.word(word, line);
            }
        }
    }

    fn word(&mut self, word: &str, line: usize) {
        match std::mem::replace(&mut self.gap, Gap::None) {
            Gap::Line => self.cutter.break_line(),
            Gap::Space if !self.cutter.is_blank() => self.cutter.push(" ", line),
            Gap::Space | Gap::None => {}
        }
        self.cutter.push(word, line);
    }
}

fn is_block(name: &str) -> bool {
    BLOCKS.contains(&name)
}

/// The level of a heading.
fn level(name: &str) -> Option<u8> {
    let level = name.strip_prefix('h')?.parse().ok()?;
    (1..=6).contains(&level).then_some(level)
}

/// Whether an element says that it is not part of what is read.
fn is_hidden(tag: &Tag) -> bool {
    tag.attrs.iter().any(|it| match &*it.name.local {
        "hidden" => true,
        "aria-hidden" => &*it.value == "true",
        "role" => matches!(&*it.value, "navigation" | "search" | "contentinfo" | "banner" | "menu"),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
