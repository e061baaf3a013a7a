//! What documents are cut into: sentences that know their lines, and passages,
//! which are neighbouring sentences under one heading.

use std::sync::Arc;

use words::is_wide;

/// What a sentence is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Running text.
    Paragraph,
    /// An item of a list.
    Item,
    /// The names of a table's columns: one sentence, which answers nothing.
    Columns,
    /// A row of a table: one sentence.
    Row,
    /// The whole block is one sentence.
    Code,
}

/// A sentence with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// As it is written, without marks of format.
    pub text: String,
    /// Lines in the source, from 1, both included; in a PDF those of the page's
    /// text.
    pub lines: (u32, u32),
    /// What it is part of.
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

impl Passage {
    /// Its sentences as a reader would see them, in at most `limit` bytes; what
    /// is left out is shown by an ellipsis.
    pub(crate) fn text(&self, limit: usize) -> String {
        let mut text = String::new();
        let mut before: Option<&Sentence> = None;
        for it in &self.sentences {
            text.push_str(joint(before, it));
            text.push_str(&it.text);
            before = Some(it);
        }
        if text.len() > limit {
            let end = text.floor_char_boundary(limit.saturating_sub('…'.len_utf8()));
            text.truncate(end);
            text.push('…');
        }
        text
    }

    /// Its first and last line.
    pub(crate) fn lines(&self) -> (u32, u32) {
        let first = self.sentences.iter().map(|it| it.lines.0).min();
        let last = self.sentences.iter().map(|it| it.lines.1).max();
        (first.unwrap_or(1), last.unwrap_or(1))
    }
}

/// What stands between two sentences.
fn joint(before: Option<&Sentence>, it: &Sentence) -> &'static str {
    let item = it.form == Form::Item;
    match before {
        None if item => "- ",
        None => "",
        Some(before) if before.block == it.block => {
            if before.text.ends_with(is_wide) {
                ""
            } else {
                " "
            }
        }
        Some(_) if item => "\n- ",
        Some(_) => "\n",
    }
}
