//! The beginning of what a turn says, without what was taken back. Pure; holds a
//! bounded amount, however much is said.

use std::borrow::Cow;

/// What is kept of it, in bytes: lists read the records of all sessions of a user.
pub(crate) const MOST_BYTES: usize = 1024;
/// What stands between what the model says before it calls a tool and after.
const BETWEEN_STEPS: &str = "\n\n";

/// Text in pieces, so that any number of them can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    text: String,
    pieces: Vec<Piece>,
    /// The agent's number of the first piece that did not fit as a whole; nothing
    /// behind it is kept.
    cut: Option<u32>,
}

#[derive(Debug)]
struct Piece {
    /// The agent's number of its event.
    index: u32,
    /// Where it ends in the text.
    end: usize,
    /// No text, but something about a tool.
    step: bool,
}

impl Answer {
    /// Adds a piece of text.
    pub(crate) fn push(&mut self, index: u32, text: &str) {
        if self.cut.is_some() || text.is_empty() {
            return;
        }
        let text = if self.is_apart(text) {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(format!("{BETWEEN_STEPS}{text}"))
        };
        let kept = beginning(&text, MOST_BYTES - self.text.len());
        self.text.push_str(kept);
        self.pieces.push(Piece { index, end: self.text.len(), step: false });
        if kept.len() < text.len() {
            self.cut = Some(index);
        }
    }

    /// Something about a tool was said.
    pub(crate) fn step(&mut self, index: u32) {
        let spoke = self.pieces.last().is_some_and(|it| !it.step);
        if spoke && self.cut.is_none() {
            self.pieces.push(Piece { index, end: self.text.len(), step: true });
        }
    }

    /// Takes back everything after the event with this number.
    pub(crate) fn rewind(&mut self, to: u32) {
        while self.pieces.last().is_some_and(|it| it.index > to) {
            self.pieces.pop();
        }
        self.text.truncate(self.pieces.last().map_or(0, |it| it.end));
        self.cut = self.cut.filter(|it| *it <= to);
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a text needs nothing between itself and what was said before.
    fn is_apart(&self, text: &str) -> bool {
        let stepped = self.pieces.last().is_some_and(|it| it.step);
        !stepped
            || self.text.ends_with(char::is_whitespace)
            || text.starts_with(char::is_whitespace)
    }
}

/// As much of a text as fits into so many bytes, cut between two characters.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of it: a text, a step (`+`), or `<n` for a rewind to n. The
    /// numbers count up, and go on from where a rewind goes back to.
    fn told(pieces: &[&str]) -> Answer {
        let (mut answer, mut index) = (Answer::default(), 0);
        for piece in pieces {
            if let Some(to) = piece.strip_prefix('<') {
                index = to.parse().unwrap();
                answer.rewind(index);
                continue;
            }
            index += 1;
            match *piece {
                "+" => answer.step(index),
                text => answer.push(index, text),
            }
        }
        answer
    }

    #[test]
    fn what_was_taken_back_is_left_out() {
        for (pieces, left) in [
            (&["a", "b"][..], "ab"),
            (&["a", "b", "<1", "c"], "ac"),
            (&["a", "b", "<0"], ""),
            (&["a", "b", "<0", "c", "<1"], "c"),
            (&["a", "<1", "<9"], "a"),
            (&["<0", "a"], "a"),
        ] {
            assert_eq!(told(pieces).text(), left, "{pieces:?}");
        }
    }

    #[test]
    fn text_after_a_tool_does_not_run_into_the_text_before() {
        for (pieces, left) in [
            (&["a", "+", "+", "b"][..], "a\n\nb"),
            (&["a ", "+", "b"], "a b"),
            (&["a", "+", " b"], "a b"),
            (&["+", "a"], "a"),
            (&["a", "+", "<1", "b"], "ab"),
            (&["a", "+", "b", "<2", "c"], "a\n\nc"),
            (&["a", "+", "+", "<2", "c"], "a\n\nc"),
        ] {
            assert_eq!(told(pieces).text(), left, "{pieces:?}");
        }
    }

    #[test]
    fn only_the_beginning_is_kept_and_cut_between_characters() {
        let almost = "x".repeat(MOST_BYTES - 1);
        let answer = told(&[&almost, "é", "y"]);
        assert_eq!(answer.text(), almost, "nothing goes behind what did not fit");
        let full = told(&[&almost, "y", "z", "+", "z"]);
        assert_eq!(full.text().len(), MOST_BYTES);
        assert!(full.pieces.len() <= 3);
        let back = told(&[&almost, "é", "y", "<1", "z"]);
        assert_eq!(back.text(), format!("{almost}z"), "there is room again");
        let still = told(&[&almost, "é", "y", "<2", "z"]);
        assert_eq!(still.text(), almost);
    }
}
