//! The text of a turn so far, with what was taken back left out.

/// Text in pieces, each with the agent's number of its event.
#[derive(Debug, Default)]
pub(crate) struct Said {
    text: String,
    /// The number of each piece and where it ends.
    pieces: Vec<(u32, usize)>,
}

impl Said {
    /// One piece.
    pub(crate) fn of(index: u32, text: &str) -> Self {
        let mut said = Self::default();
        said.push(index, text);
        said
    }

    pub(crate) fn push(&mut self, index: u32, text: &str) {
        self.text.push_str(text);
        self.pieces.push((index, self.text.len()));
    }

    /// Takes back every piece after the one with this number.
    pub(crate) fn rewind(&mut self, to: u32) {
        while self.pieces.last().is_some_and(|it| it.0 > to) {
            self.pieces.pop();
        }
        self.text.truncate(self.pieces.last().map_or(0, |it| it.1));
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The number of the last piece; 0 without any.
    pub(crate) fn index(&self) -> u32 {
        self.pieces.last().map_or(0, |it| it.0)
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewind_takes_back_exactly_what_came_after() {
        let mut said = Said::default();
        for (index, text) in [(1, "a"), (4, "bc"), (5, "d")] {
            said.push(index, text);
        }
        said.rewind(5);
        assert_eq!((said.text(), said.index()), ("abcd", 5));
        said.rewind(4);
        assert_eq!((said.text(), said.index()), ("abc", 4));
        said.push(5, "é");
        said.rewind(0);
        assert_eq!((said.text(), said.index()), ("", 0));
    }
}
