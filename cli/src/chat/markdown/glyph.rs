//! Characters with their ink, laid out in lines. Pure.
//!
//! Whatever comes in, only plain characters come out: this is where the text of
//! a model becomes something to see, after everything that could still turn it
//! into another text.

use unicode_width::UnicodeWidthChar as _;

use crate::plain;
use crate::terminal::Paint;

/// No line is narrower behind its margins.
const NARROWEST: usize = 10;
/// What a tab becomes.
const TAB: &str = "    ";

/// How a character is set off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ink(u16);

impl Ink {
    /// The ink with one more paint.
    pub(super) fn with(self, paint: Paint) -> Self {
        Self(self.0 | 1 << paint as u16)
    }

    fn paints(self) -> impl Iterator<Item = Paint> {
        use Paint::{Bold, Cyan, Dim, Green, Italic, Red, Struck, Underline, Yellow};
        let all = [Bold, Dim, Italic, Underline, Struck, Red, Green, Yellow, Cyan];
        all.into_iter().filter(move |it| self.with(*it) == self)
    }
}

/// A character, or the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) it: char,
    pub(super) ink: Ink,
}

/// A text's plain characters, all in one ink; tabs are spaces.
pub(super) fn glyphs(text: &str, ink: Ink) -> Vec<Glyph> {
    plain::line(&text.replace('\t', TAB)).chars().map(|it| Glyph { it, ink }).collect()
}

/// How many columns a character takes.
pub(super) fn columns(it: char) -> usize {
    it.width().unwrap_or(0)
}

/// How many columns these take on one line.
pub(super) fn width(glyphs: &[Glyph]) -> usize {
    glyphs.iter().map(|it| columns(it.it)).sum()
}

/// Whether a line may end between two characters.
pub(super) fn is_break(before: char, after: char) -> bool {
    if before.is_whitespace() {
        return true;
    }
    let wide = columns(before) == 2 || columns(after) == 2;
    wide && !"，。、；：？！）】》」』”’…,.;:?!)]}".contains(after)
        && !"（【《「『“‘([{".contains(before)
}

/// As a terminal is told; it ends without ink.
pub(super) fn written(glyphs: &[Glyph]) -> String {
    let (mut text, mut ink) = (String::new(), Ink::default());
    for glyph in glyphs {
        if glyph.ink != ink && glyph.it != '\n' {
            text += &change(glyph.ink);
            ink = glyph.ink;
        } else if glyph.it == '\n' && ink != Ink::default() {
            text += &change(Ink::default());
            ink = Ink::default();
        }
        text.push(glyph.it);
    }
    if ink != Ink::default() {
        text += &change(Ink::default());
    }
    text
}

fn change(to: Ink) -> String {
    let codes = to.paints().map(|it| format!(";{}", it.codes().0));
    format!("\u{1b}[0{}m", codes.collect::<String>())
}

/// What stands before the lines of a list item or a quotation.
#[derive(Debug)]
struct Margin {
    first: Option<Vec<Glyph>>,
    rest: Vec<Glyph>,
}

/// Text that is laid out in lines of a width.
#[derive(Debug)]
pub(super) struct Canvas {
    width: usize,
    lines: Vec<Glyph>,
    margins: Vec<Margin>,
    /// What cannot be broken and is not placed yet.
    word: Vec<Glyph>,
    /// The space before it: `soft` ones are nothing between wide characters.
    space: Option<Space>,
    column: usize,
    /// Whether the line has begun.
    begun: bool,
}

#[derive(Debug, Clone, Copy)]
enum Space {
    Soft,
    Hard,
}

impl Canvas {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            lines: Vec::new(),
            margins: Vec::new(),
            word: Vec::new(),
            space: None,
            column: 0,
            begun: false,
        }
    }

    /// How wide a line is behind the margins.
    pub(super) fn room(&self) -> usize {
        let margins: usize = self.margins.iter().map(|it| width(&it.rest)).sum();
        self.width.saturating_sub(margins).max(NARROWEST.min(self.width))
    }

    /// From here on lines stand behind a margin: `first` before the next one,
    /// `rest` before the others.
    pub(super) fn enter(&mut self, first: &str, rest: &str, ink: Ink) {
        let (first, rest) = (Some(glyphs(first, ink)), glyphs(rest, ink));
        self.margins.push(Margin { first, rest });
    }

    /// The end of what stands behind the last margin.
    pub(super) fn leave(&mut self) {
        self.end_line();
        self.margins.pop();
    }

    /// Adds text; it is broken where it may be.
    pub(super) fn text(&mut self, text: &str, ink: Ink) {
        for glyph in glyphs(text, ink) {
            self.glyph(glyph);
        }
    }

    /// Adds a character of a text.
    pub(super) fn glyph(&mut self, glyph: Glyph) {
        if glyph.it == ' ' {
            self.place();
            self.space = Some(Space::Hard);
            return;
        }
        if self.word.last().is_some_and(|it| is_break(it.it, glyph.it)) {
            self.place();
        }
        self.word.push(glyph);
    }

    /// The end of a line of the source, inside of a paragraph.
    pub(super) fn soft_break(&mut self) {
        self.place();
        self.space = self.space.or(Some(Space::Soft));
    }

    /// Adds a line that is never broken.
    pub(super) fn whole_line(&mut self, glyphs: &[Glyph]) {
        self.end_line();
        if !glyphs.is_empty() {
            self.begin();
            self.lines.extend_from_slice(glyphs);
        }
        self.begun = true;
        self.end_line();
    }

    /// Ends the line that has begun, if one has.
    pub(super) fn end_line(&mut self) {
        self.place();
        self.space = None;
        if std::mem::take(&mut self.begun) {
            self.lines.push(Glyph { it: '\n', ink: Ink::default() });
        }
        self.column = 0;
    }

    /// Leaves a line empty, unless nothing stands above it.
    pub(super) fn blank(&mut self) {
        self.end_line();
        if !self.lines.is_empty() {
            self.lines.push(Glyph { it: '\n', ink: Ink::default() });
        }
    }

    /// Everything, laid out.
    pub(super) fn finish(mut self) -> Vec<Glyph> {
        self.end_line();
        self.lines
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        for margin in &mut self.margins {
            let glyphs = margin.first.take().unwrap_or_else(|| margin.rest.clone());
            self.lines.extend_from_slice(&glyphs);
        }
    }

    /// Places the word that is complete.
    fn place(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        let (room, needed) = (self.room(), width(&word));
        let gap = usize::from(self.gap(word[0]));
        if self.column > 0 && self.column + gap + needed > room {
            self.lines.push(Glyph { it: '\n', ink: Ink::default() });
            (self.begun, self.column) = (false, 0);
        } else if self.column > 0 && gap == 1 {
            let ink = self.lines.last().map_or(Ink::default(), |it| it.ink);
            let ink = if ink == word[0].ink { ink } else { Ink::default() };
            self.lines.push(Glyph { it: ' ', ink });
            self.column += 1;
        }
        self.space = None;
        self.begin();
        for glyph in word {
            if self.column + columns(glyph.it) > room {
                self.lines.push(Glyph { it: '\n', ink: Ink::default() });
                (self.begun, self.column) = (false, 0);
                self.begin();
            }
            self.column += columns(glyph.it);
            self.lines.push(glyph);
        }
    }

    fn gap(&self, next: Glyph) -> bool {
        let before = self.lines.last().map_or(' ', |it| it.it);
        match self.space {
            Some(Space::Hard) => true,
            Some(Space::Soft) => columns(before) < 2 || columns(next.it) < 2,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(width: usize, text: &str) -> String {
        let mut canvas = Canvas::new(width);
        canvas.text(text, Ink::default());
        canvas.finish().iter().map(|it| it.it).collect()
    }

    #[test]
    fn lines_end_between_words_and_between_wide_characters_but_not_before_their_marks() {
        for (width, text, expected) in [
            (12, "one two three four", "one two\nthree four\n"),
            (10, "中文句子，再来一句。", "中文句子，\n再来一句。\n"),
            (10, "中文句子很，再来", "中文句子\n很，再来\n"),
            (11, "a very-long-word-here", "a\nvery-long-w\nord-here\n"),
            (10, "Weir是什么", "Weir是什么\n"),
            (10, "", ""),
        ] {
            assert_eq!(laid(width, text), expected, "{text}");
        }
    }

    #[test]
    fn a_margin_stands_before_every_line_and_its_mark_before_the_first() {
        let mut canvas = Canvas::new(14);
        canvas.enter("1. ", "   ", Ink::default());
        canvas.text("one two three", Ink::default());
        canvas.leave();
        canvas.text("out", Ink::default());
        let text: String = canvas.finish().iter().map(|it| it.it).collect();
        assert_eq!(text, "1. one two\n   three\nout\n");
    }

    #[test]
    fn ink_ends_with_its_line_and_controls_are_written_out() {
        let bold = Ink::default().with(Paint::Bold);
        let mut text = glyphs("a\u{1b}", bold);
        text.push(Glyph { it: '\n', ink: Ink::default() });
        text.extend(glyphs("b", bold.with(Paint::Cyan)));
        assert_eq!(written(&text), "\u{1b}[0;1ma\\u{1b}\u{1b}[0m\n\u{1b}[0;1;36mb\u{1b}[0m");
    }
}
