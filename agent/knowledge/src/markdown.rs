//! Markdown: headings, paragraphs, list items, table rows and code.
//!
//! Inline marks are left out of the words, line breaks become spaces; nothing
//! else is changed.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::cutter::Cutter;
use crate::passage::Form;

/// Cuts a text; the cutter's origins are its bytes.
pub(crate) fn cut(text: &str, cutter: &mut Cutter) {
    Markdown { text, cutter, form: Form::Paragraph }.cut();
}

struct Markdown<'a> {
    text: &'a str,
    cutter: &'a mut Cutter,
    /// What the open block is.
    form: Form,
}

impl Markdown<'_> {
    fn cut(mut self) {
        let options = Options::ENABLE_TABLES
            | Options::ENABLE_STRIKETHROUGH
            | Options::ENABLE_TASKLISTS
            | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS;
        let mut hidden = false;
        for (event, range) in Parser::new_ext(self.text, options).into_offset_iter() {
            hidden |= matches!(event, Event::Start(Tag::MetadataBlock(_)));
            if !hidden {
                self.event(&event, &range);
            }
            hidden &= !matches!(event, Event::End(TagEnd::MetadataBlock(_)));
        }
        self.cutter.finish(self.form);
    }

    fn event(&mut self, event: &Event<'_>, range: &Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(*tag),
            Event::Text(words) => self.cutter.push(words, range.start),
            Event::Code(_) => {
                let words = self.text[range.clone()].replace('\n', " ");
                self.cutter.push(&words, range.start);
            }
            Event::SoftBreak | Event::HardBreak => self.cutter.break_line(),
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
    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Item => {
                self.cutter.finish(self.form);
                self.form = Form::Item;
            }
            Tag::TableHead | Tag::TableRow => {
                self.cutter.finish(self.form);
                self.form = Form::Row;
            }
            Tag::TableCell => self.cutter.part_cells(),
            Tag::CodeBlock(_) => {
                self.cutter.finish(self.form);
                self.form = Form::Code;
            }
            Tag::Heading { .. } | Tag::List(_) | Tag::Table(_) | Tag::BlockQuote(_) => {
                self.cutter.finish(self.form);
            }
            _ => {}
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the parser's tags are many, and all others are inline"
    )]
    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.cutter.heading(level as u8),
            TagEnd::Paragraph | TagEnd::BlockQuote(_) => self.cutter.finish(self.form),
            TagEnd::Item | TagEnd::List(_) | TagEnd::Table | TagEnd::CodeBlock => {
                self.cutter.finish(self.form);
                self.form = Form::Paragraph;
            }
            TagEnd::TableRow => self.cutter.finish(Form::Row),
            TagEnd::TableHead => self.cutter.finish(Form::Columns),
            _ => {}
        }
    }
}
