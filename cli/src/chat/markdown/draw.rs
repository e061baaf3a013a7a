//! Markdown as lines of characters. Pure.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};

use super::OPTIONS;
use super::glyph::{Canvas, Glyph, Ink, glyphs};
use super::table::Table;
use crate::terminal::Paint;

/// What a rule is at most, in columns.
const RULE: usize = 60;

/// The text, drawn for lines of this width.
pub(super) fn draw(text: &str, width: usize) -> Vec<Glyph> {
    let mut drawing = Drawing {
        canvas: Canvas::new(width),
        inks: vec![Ink::default()],
        lists: Vec::new(),
        link: None,
        code: None,
        table: None,
        fresh: true,
    };
    for event in Parser::new_ext(text, OPTIONS) {
        drawing.event(event);
    }
    drawing.canvas.finish()
}

#[derive(Debug)]
struct Drawing {
    canvas: Canvas,
    /// The last one is used.
    inks: Vec<Ink>,
    /// The next number of each list that is open; none without numbers.
    lists: Vec<Option<u64>>,
    /// The address of the link that is open, and its text so far.
    link: Option<(String, String)>,
    code: Option<String>,
    table: Option<Table>,
    /// Whether nothing stands above in the same item, quotation or text.
    fresh: bool,
}

impl Drawing {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.text(&text);
            }
            Event::Code(text) => self.inked(Paint::Cyan, &text),
            Event::Html(text) => self.lines(&text),
            Event::InlineHtml(text) if text.starts_with("<br") => self.hard_break(),
            Event::InlineHtml(text) => self.inked(Paint::Dim, &text),
            Event::FootnoteReference(text) => self.text(&format!("[^{text}]")),
            Event::SoftBreak => self.soft_break(),
            Event::HardBreak => self.hard_break(),
            Event::Rule => {
                self.gap(true);
                let rule = "─".repeat(self.canvas.room().min(RULE));
                self.canvas.text(&rule, Ink::default().with(Paint::Dim));
                self.canvas.end_line();
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.gap(true),
            Tag::Heading { level, .. } => {
                self.gap(true);
                let ink = self.ink().with(Paint::Bold);
                let top = level == HeadingLevel::H1;
                self.inks.push(if top { ink.with(Paint::Underline) } else { ink });
            }
            Tag::BlockQuote(_) => {
                self.gap(true);
                self.canvas.enter("│ ", "│ ", Ink::default().with(Paint::Dim));
                self.fresh = true;
            }
            Tag::CodeBlock(kind) => self.start_code(&kind),
            Tag::List(first) => {
                self.gap(self.lists.is_empty());
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::Emphasis => self.inks.push(self.ink().with(Paint::Italic)),
            Tag::Strong | Tag::TableHead => self.inks.push(self.ink().with(Paint::Bold)),
            Tag::Strikethrough => self.inks.push(self.ink().with(Paint::Struck)),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.inks.push(self.ink().with(Paint::Underline));
                self.link = Some((dest_url.into_string(), String::new()));
            }
            Tag::Table(alignments) => {
                self.gap(true);
                self.table = Some(Table::new(alignments));
            }
            Tag::TableRow
            | Tag::TableCell
            | Tag::FootnoteDefinition(_)
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Superscript
            | Tag::Subscript
            | Tag::MetadataBlock(_) => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.canvas.end_line(),
            TagEnd::Heading(_) => {
                self.inks.pop();
                self.canvas.end_line();
            }
            TagEnd::BlockQuote(_) | TagEnd::Item => {
                self.canvas.leave();
                self.fresh = false;
            }
            TagEnd::CodeBlock => self.end_code(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.inks.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    table.draw(&mut self.canvas);
                }
            }
            TagEnd::TableHead => {
                self.inks.pop();
                self.end_row();
            }
            TagEnd::TableRow => self.end_row(),
            TagEnd::TableCell => {
                if let Some(table) = &mut self.table {
                    table.end_cell();
                }
            }
            TagEnd::FootnoteDefinition
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::MetadataBlock(_) => {}
        }
    }

    /// Before a block: an empty line if there is to be one, and none at all where
    /// nothing stands above it.
    fn gap(&mut self, wide: bool) {
        if std::mem::take(&mut self.fresh) {
            return;
        }
        if wide {
            self.canvas.blank();
        } else {
            self.canvas.end_line();
        }
    }

    fn ink(&self) -> Ink {
        self.inks.last().copied().unwrap_or_default()
    }

    fn start_item(&mut self) {
        self.canvas.end_line();
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            Some(None) | None => "• ".to_owned(),
        };
        let rest = " ".repeat(mark.chars().count());
        self.canvas.enter(&mark, &rest, Ink::default().with(Paint::Cyan));
        self.fresh = true;
    }

    fn start_code(&mut self, kind: &CodeBlockKind<'_>) {
        self.gap(self.lists.is_empty());
        self.canvas.end_line();
        self.canvas.enter("  ", "  ", Ink::default());
        if let CodeBlockKind::Fenced(language) = kind
            && !language.is_empty()
        {
            self.canvas.whole_line(&glyphs(language, Ink::default().with(Paint::Dim)));
        }
        self.code = Some(String::new());
    }

    fn end_code(&mut self) {
        let code = self.code.take().unwrap_or_default();
        for line in code.lines() {
            self.canvas.whole_line(&glyphs(line, Ink::default().with(Paint::Yellow)));
        }
        self.canvas.leave();
    }

    fn end_link(&mut self) {
        self.inks.pop();
        let Some((address, text)) = self.link.take() else { return };
        if address != text && !address.is_empty() {
            self.inked(Paint::Dim, &format!(" ({address})"));
        }
    }

    fn end_row(&mut self) {
        if let Some(table) = &mut self.table {
            table.end_row();
        }
    }

    fn inked(&mut self, paint: Paint, text: &str) {
        self.inks.push(self.ink().with(paint));
        self.text(text);
        self.inks.pop();
    }

    fn text(&mut self, text: &str) {
        if let Some((_, told)) = &mut self.link {
            told.push_str(text);
        }
        let ink = self.ink();
        match (&mut self.code, &mut self.table) {
            (Some(code), _) => code.push_str(text),
            (None, Some(table)) => table.text(text, ink),
            (None, None) => {
                self.fresh = false;
                self.canvas.text(text, ink);
            }
        }
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.canvas.whole_line(&glyphs(line, self.ink().with(Paint::Dim)));
        }
    }

    fn soft_break(&mut self) {
        match &mut self.table {
            Some(table) => table.text(" ", Ink::default()),
            None => self.canvas.soft_break(),
        }
    }

    fn hard_break(&mut self) {
        match &mut self.table {
            Some(table) => table.text(" ", Ink::default()),
            None => self.canvas.end_line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, text: &str) -> String {
        draw(text, width).iter().map(|it| it.it).collect()
    }

    #[test]
    fn blocks_are_drawn_without_their_marks() {
        for (text, expected) in [
            ("# One\ntext **bold** `code`", "One\n\ntext bold code\n"),
            ("a\n\n- b\n- c\n  1. d\n  2. e\n- f", "a\n\n• b\n• c\n  1. d\n  2. e\n• f\n"),
            ("3. c\n3. d", "3. c\n4. d\n"),
            ("> a\n>\n> b", "│ a\n\n│ b\n"),
            ("```sh\nls\n\n  x\n```", "  sh\n  ls\n\n    x\n"),
            ("[a](h://b) <http://c>", "a (h://b) http://c\n"),
            ("![a](b)", "a (b)\n"),
            ("- [ ] a\n- [x] b", "• ☐ a\n• ☑ b\n"),
            ("a\n\n---\nb", "a\n\n────────────────────\n\nb\n"),
            ("- a\n\n  b\n\n- c", "• a\n\n  b\n• c\n"),
            ("<p>\nx", "<p>\nx\n"),
            ("", ""),
        ] {
            assert_eq!(drawn(20, text), expected, "{text}");
        }
    }
}
