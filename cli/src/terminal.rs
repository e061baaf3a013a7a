//! What a stream can show: whether colours and drawn Markdown may go to it, and
//! how wide a line is. It writes no escape code to what is no terminal, nor
//! where `NO_COLOR` is set or `TERM` is `dumb`.
//!
//! What is painted must be plain already: see [`crate::plain`].

use std::io::IsTerminal;

use process::environment;

/// The width of what is no terminal, or does not say.
const WIDTH: usize = 80;
/// No line is drawn narrower, whatever the terminal says.
const NARROWEST: usize = 20;

/// How a stream is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Colours, and Markdown as it is meant.
    Drawn,
    /// Text as it is.
    Plain,
}

/// How a piece of text is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Italic,
    Underline,
    Struck,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    /// How this stream, such as `std::io::stderr()`, is written to.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let colourless = environment::get("NO_COLOR").is_some();
        Self::decide(stream.is_terminal(), colourless, environment::get("TERM").as_deref())
    }

    fn decide(terminal: bool, colourless: bool, kind: Option<&str>) -> Self {
        if terminal && !colourless && kind != Some("dumb") { Self::Drawn } else { Self::Plain }
    }

    /// Whether anything is drawn at all.
    pub(crate) fn is_drawn(self) -> bool {
        self == Self::Drawn
    }

    /// Plain text, set off where that is possible.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        match self {
            Self::Drawn if !text.is_empty() => {
                let (on, off) = paint.codes();
                format!("\u{1b}[{on}m{text}\u{1b}[{off}m")
            }
            Self::Drawn | Self::Plain => text.to_owned(),
        }
    }
}

impl Paint {
    /// The codes that switch it on and off, and nothing else.
    pub(crate) fn codes(self) -> (u8, u8) {
        match self {
            Self::Bold => (1, 22),
            Self::Dim => (2, 22),
            Self::Italic => (3, 23),
            Self::Underline => (4, 24),
            Self::Struck => (9, 29),
            Self::Red => (31, 39),
            Self::Green => (32, 39),
            Self::Yellow => (33, 39),
            Self::Cyan => (36, 39),
        }
    }
}

/// How many columns the terminal has at this moment.
pub(crate) fn width() -> usize {
    let told = terminal_size::terminal_size().map_or(WIDTH, |it| usize::from(it.0.0));
    if told == 0 { WIDTH } else { told.max(NARROWEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_that_nobody_asked_to_stay_plain_is_drawn_on() {
        for (terminal, colourless, kind, expected) in [
            (true, false, Some("xterm-256color"), Style::Drawn),
            (true, false, None, Style::Drawn),
            (true, false, Some("dumb"), Style::Plain),
            (true, true, Some("xterm"), Style::Plain),
            (false, false, Some("xterm"), Style::Plain),
        ] {
            let found = Style::decide(terminal, colourless, kind);
            assert_eq!(found, expected, "{terminal} {colourless} {kind:?}");
        }
    }

    #[test]
    fn paint_is_switched_off_again_and_is_nothing_on_plain() {
        assert_eq!(Style::Drawn.paint(Paint::Bold, "a"), "\u{1b}[1ma\u{1b}[22m");
        assert_eq!(Style::Drawn.paint(Paint::Red, ""), "");
        assert_eq!(Style::Plain.paint(Paint::Red, "a"), "a");
    }
}
