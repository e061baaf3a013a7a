//! Where a conversation is shown: the answer on standard output, all else on
//! standard error. Both are often one terminal, so it knows whether a line has
//! begun, and takes away what says that one waits before anything else comes.

use std::io::IsTerminal as _;

use tokio::time::Instant;

use super::markdown::Flow;
use crate::output::{self, Error};
use crate::terminal::{Paint, Style};
use crate::{plain, terminal};

/// What turns while one waits.
const TURNS: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// What is written to.
#[derive(Debug)]
pub(super) struct Screen {
    answer: Style,
    notes: Style,
    flow: Option<Flow>,
    /// Whether the answer goes to a terminal, as the rest does.
    shared: bool,
    /// Whether the answer's last line has begun.
    within: bool,
    /// How many columns that line has.
    column: usize,
    /// Whether it says that one waits.
    waits: bool,
    turned: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self {
            answer: Style::of(&std::io::stdout()),
            notes: Style::of(&std::io::stderr()),
            flow: None,
            shared: std::io::stdout().is_terminal(),
            within: false,
            column: 0,
            waits: false,
            turned: 0,
        }
    }

    /// A piece of an answer.
    pub(super) fn text(&mut self, piece: &str) -> Result<(), Error> {
        if !self.answer.is_drawn() {
            return self.write(&if self.shared { plain::lines(piece) } else { piece.to_owned() });
        }
        let flow = self.flow.get_or_insert_with(|| Flow::new(terminal::width()));
        let drawn = flow.push(piece);
        self.write(&drawn)
    }

    /// Ends what was said of an answer so far.
    pub(super) fn end_text(&mut self) -> Result<(), Error> {
        if let Some(mut flow) = self.flow.take() {
            let rest = flow.finish();
            self.write(&rest)?;
        }
        if self.within {
            self.write("\n")?;
        }
        Ok(())
    }

    /// Says something beside the answer, on lines of its own; `text` is plain.
    pub(super) fn note(&mut self, paint: Paint, text: &str) -> Result<(), Error> {
        self.end_text()?;
        self.beside(paint, text)
    }

    /// The same where the answer goes on behind it.
    pub(super) fn beside(&mut self, paint: Paint, text: &str) -> Result<(), Error> {
        self.clear();
        // Elsewhere the answer's line is not theirs.
        if self.within && self.shared {
            self.write("\n")?;
        }
        for line in text.lines() {
            output::note(&self.notes.paint(paint, line));
        }
        Ok(())
    }

    /// An empty line before something new, on a terminal.
    pub(super) fn space(&mut self) {
        self.clear();
        if self.notes.is_drawn() {
            output::note("");
        }
    }

    /// Whether it can say for a moment that one waits.
    pub(super) fn is_live(&self) -> bool {
        self.notes.is_drawn() && self.answer.is_drawn()
    }

    /// Whether the answer's last line has begun.
    pub(super) fn is_within_line(&self) -> bool {
        self.within
    }

    /// Says that one waits, and for what, until something else comes.
    pub(super) fn wait(&mut self, what: &str, since: Instant) {
        if !self.is_live() {
            return;
        }
        self.clear();
        self.turned = (self.turned + 1) % TURNS.len();
        let seconds = since.elapsed().as_secs();
        let passed = if seconds > 0 { format!(" {seconds} s") } else { String::new() };
        let text = format!("{} {}{passed}", TURNS[self.turned], plain::line(what));
        let text = plain::shortened(&text, terminal::width().saturating_sub(2));
        let below = if self.within { "\n" } else { "" };
        output::say(&format!("{below}{}", self.notes.paint(Paint::Dim, &text)));
        self.waits = true;
    }

    /// Takes that away again.
    pub(super) fn clear(&mut self) {
        if !std::mem::take(&mut self.waits) {
            return;
        }
        output::say("\r\u{1b}[K");
        if self.within {
            let right = self.column;
            let right = if right > 0 { format!("\u{1b}[{right}C") } else { String::new() };
            output::say(&format!("\u{1b}[1A{right}"));
        }
    }

    fn write(&mut self, drawn: &str) -> Result<(), Error> {
        if drawn.is_empty() {
            return Ok(());
        }
        self.clear();
        output::print(drawn)?;
        self.within = !drawn.ends_with('\n');
        let line = drawn.rsplit('\n').next().unwrap_or_default();
        let before = if drawn.contains('\n') { 0 } else { self.column };
        self.column = if self.within { before + columns(line) } else { 0 };
        Ok(())
    }
}

/// How many columns a drawn line takes.
fn columns(line: &str) -> usize {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().map_or(0, unicode_width::UnicodeWidthStr::width);
    let rest = parts.filter_map(|it| it.split_once('m'));
    first + rest.map(|it| unicode_width::UnicodeWidthStr::width(it.1)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_line_are_those_that_are_seen() {
        assert_eq!(columns("a\u{1b}[0;1m中文\u{1b}[0m!"), 6);
        assert_eq!(columns(""), 0);
    }
}
