//! The places that an answer points at: passages get numbers when a tool finds
//! them, and a citation is told when the model's text names one, as `[3]`.
//! Pure.

use std::collections::HashSet;

use proto::Citation;

/// The longest number in a mark.
const MAX_DIGITS: usize = 4;

/// The most of a quote that is kept beside the result that has it, in bytes.
const KEPT_QUOTE: usize = 200;

/// The passages of a conversation, and which of them this turn has cited.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    known: Vec<Citation>,
    /// The numbers of what this turn has found.
    found: HashSet<u32>,
    cited: HashSet<u32>,
    mark: Mark,
}

impl Sources {
    /// Those of earlier turns, which keep their numbers.
    pub(crate) fn new(known: Vec<Citation>) -> Self {
        Self { known, ..Self::default() }
    }

    /// Numbers what a tool has found; a place that is known keeps its number.
    pub(crate) fn number(&self, found: Vec<Citation>) -> Vec<Citation> {
        let mut next = self.known.iter().map(|it| it.number).max().unwrap_or(0);
        let mut numbered: Vec<Citation> = Vec::new();
        for source in found {
            let known = self.known.iter().chain(&numbered).find(|it| same(it, &source));
            let number = known.map_or_else(
                || {
                    next += 1;
                    next
                },
                |it| it.number,
            );
            numbered.push(Citation { number, ..source });
        }
        numbered
    }

    /// Takes numbered passages; of a place that is known, what is quoted now.
    pub(crate) fn add(&mut self, numbered: &[Citation]) {
        for source in numbered {
            self.found.insert(source.number);
            self.known.retain(|it| it.number != source.number);
            self.known.push(source.clone());
        }
    }

    /// What more text of the answer cites for the first time in this turn.
    pub(crate) fn cited(&mut self, text: &str) -> Vec<Citation> {
        let mut cited = Vec::new();
        for c in text.chars() {
            let Some(number) = self.mark.next(c) else { continue };
            let Some(source) = self.known.iter().find(|it| it.number == number) else { continue };
            if self.cited.insert(number) {
                cited.push(source.clone());
            }
        }
        cited
    }

    /// What the turn has cited already, when it is gone on with.
    pub(crate) fn was_cited(&mut self, number: u32) {
        self.cited.insert(number);
    }

    /// What this turn has found, as later turns are to know it.
    pub(crate) fn kept(&self) -> Vec<Citation> {
        let found = self.known.iter().filter(|it| self.found.contains(&it.number));
        found.map(short).collect()
    }
}

/// A passage with only the beginning of its quote.
pub(crate) fn short(source: &Citation) -> Citation {
    let quote = source.quote[..source.quote.floor_char_boundary(KEPT_QUOTE)].to_owned();
    Citation { quote, ..source.clone() }
}

fn same(one: &Citation, other: &Citation) -> bool {
    let place = |it: &Citation| (it.first_line, it.last_line);
    one.source == other.source && one.heading == other.heading && place(one) == place(other)
}

/// A mark as far as it was said: text comes in pieces of any size.
#[derive(Debug, Default)]
enum Mark {
    #[default]
    Outside,
    /// Behind a bracket, with the digits since. Several numbers may share one
    /// pair of brackets.
    Inside(String),
}

impl Mark {
    /// The number that ends with this character.
    fn next(&mut self, c: char) -> Option<u32> {
        let Self::Inside(digits) = self else {
            if matches!(c, '[' | '【') {
                *self = Self::Inside(String::new());
            }
            return None;
        };
        match c {
            '0'..='9' if digits.len() < MAX_DIGITS => {
                digits.push(c);
                None
            }
            ',' | '，' | '、' | ' ' => std::mem::take(digits).parse().ok(),
            ']' | '】' => {
                let number = digits.parse().ok();
                *self = Self::Outside;
                number
            }
            '[' | '【' => {
                digits.clear();
                None
            }
            _ => {
                *self = Self::Outside;
                None
            }
        }
    }
}

/// A tool's result as the model reads it: its text, then the numbered passages.
pub(crate) fn rendered(text: &str, sources: &[Citation]) -> String {
    let passage = |it: &Citation| {
        let Citation { number, source, heading, first_line, last_line, quote } = it;
        let gap = if heading.is_empty() { "" } else { " > " };
        format!("\n\n[{number}] {source}{gap}{heading} (lines {first_line}-{last_line})\n{quote}")
    };
    std::iter::once(text.to_owned()).chain(sources.iter().map(passage)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, line: u32) -> Citation {
        Citation {
            source: name.into(),
            first_line: line,
            last_line: line,
            quote: "words".into(),
            ..Citation::default()
        }
    }

    fn three() -> Sources {
        let mut sources = Sources::default();
        let found = sources.number(vec![source("a", 1), source("b", 1), source("a", 9)]);
        sources.add(&found);
        sources
    }

    fn numbers(cited: &[Citation]) -> Vec<u32> {
        cited.iter().map(|it| it.number).collect()
    }

    #[test]
    fn a_place_keeps_its_number_over_several_searches() {
        let mut sources = three();
        let again = sources.number(vec![source("b", 1), source("c", 1), source("c", 1)]);
        assert_eq!(numbers(&again), [2, 4, 4]);
        sources.add(&again);
        assert_eq!(numbers(&Sources::new(sources.kept()).number(vec![source("d", 1)])), [5]);
    }

    #[test]
    fn a_citation_is_told_when_the_text_names_a_known_place_for_the_first_time() {
        for (text, want) in [
            ("As said [1].", vec![1]),
            ("Both [2][1], again [2].", vec![2, 1]),
            ("Both [1, 3].", vec![1, 3]),
            ("如下【2】，见[3]。", vec![2, 3]),
            ("Array[0], [x], [99], [12345], 3], [a 1]", vec![]),
            ("[[1]]", vec![1]),
        ] {
            assert_eq!(numbers(&three().cited(text)), want, "{text}");
            let mut sources = three();
            let pieces = text.chars().map(String::from);
            let cited: Vec<_> = pieces.flat_map(|it| sources.cited(&it)).collect();
            assert_eq!(numbers(&cited), want, "{text}, character by character");
        }
    }

    #[test]
    fn a_model_reads_the_numbers_that_it_is_to_name() {
        let sources = three().kept();
        let read = rendered("Found 3 passages.", &sources[..1]);
        assert_eq!(read, "Found 3 passages.\n\n[1] a (lines 1-1)\nwords");
    }
}
