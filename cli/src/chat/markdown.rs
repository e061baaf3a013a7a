//! Markdown of a model on a terminal, drawn while it comes. What is drawn stays:
//! nothing is drawn over, so that scrolling back shows what was there.
//!
//! Nothing of the text reaches the terminal's interpreter, no link is more than
//! its text and its address, and no picture is fetched.

mod cut;
mod draw;
mod glyph;
mod table;

use pulldown_cmark::{Event, Options, Parser};

use glyph::{Glyph, written};

/// The dialect.
const OPTIONS: Options =
    Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_TASKLISTS);
/// A block longer than this is looked at again only when it has grown by a part,
/// so that no text costs more than a small multiple of its length.
const LONG: usize = 16 * 1024;
const PART: usize = 16;

/// A text that comes in pieces.
#[derive(Debug)]
pub(crate) struct Flow {
    width: usize,
    /// What is not wholly drawn: the last block.
    source: String,
    /// How much of it was looked at.
    looked: usize,
    stood: usize,
    /// What is drawn of it.
    drawn: Vec<char>,
    /// Whether anything stands above it.
    below: bool,
}

impl Flow {
    /// A text for lines of this width.
    pub(crate) fn new(width: usize) -> Self {
        Self { width, source: String::new(), looked: 0, stood: 0, drawn: Vec::new(), below: false }
    }

    /// Takes a piece; what is to be written for it now.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.source += piece;
        let grown = self.source.len() - self.looked;
        if self.source.len() > LONG && grown < self.source.len() / PART {
            return String::new();
        }
        self.looked = self.source.len();
        let stands = cut::cut(&self.source);
        if stands == self.stood {
            return String::new();
        }
        self.stood = stands;
        let complete = last_block(&self.source[..stands]);
        let mut text = String::new();
        if complete > 0 {
            text = self.rest(complete);
            self.source.drain(..complete);
            self.looked = self.source.len();
            self.stood = stands - complete;
        }
        text + &self.more(self.stood)
    }

    /// The end of the text; what is left to be written, up to the end of its last
    /// line.
    pub(crate) fn finish(&mut self) -> String {
        let text = self.rest(self.source.len());
        *self = Self::new(self.width);
        text
    }

    /// Whether the last line that was written has not ended.
    pub(super) fn is_within_line(&self) -> bool {
        self.drawn.last().is_some_and(|it| *it != '\n')
    }

    /// What so many bytes look like, as far as more of them cannot change it.
    fn more(&mut self, stands: usize) -> String {
        let mut glyphs = draw::draw(&self.source[..stands], self.width);
        while glyphs.last().is_some_and(|it| it.it.is_whitespace()) {
            glyphs.pop();
        }
        self.write(&glyphs)
    }

    /// The same with a block that is complete.
    fn rest(&mut self, complete: usize) -> String {
        let glyphs = draw::draw(&self.source[..complete], self.width);
        let text = self.write(&glyphs);
        self.below |= !self.drawn.is_empty();
        self.drawn.clear();
        text
    }

    fn write(&mut self, glyphs: &[Glyph]) -> String {
        if glyphs.is_empty() {
            return String::new();
        }
        let above = if self.below && self.drawn.is_empty() { "\n" } else { "" };
        let same = |it: (&char, &Glyph)| *it.0 == it.1.it;
        let common = self.drawn.iter().zip(glyphs).take_while(|it| same(*it)).count();
        let new = if common == self.drawn.len() {
            written(&glyphs[common..])
        } else {
            // It looks otherwise than it did: the line that does is written anew.
            let line = glyphs[..common].iter().rposition(|it| it.it == '\n').map_or(0, |it| it + 1);
            let end = if self.is_within_line() { "\n" } else { "" };
            format!("{end}{}", written(&glyphs[line..]))
        };
        self.drawn = glyphs.iter().map(|it| it.it).collect();
        format!("{above}{new}")
    }
}

/// Where the last block of a text begins.
fn last_block(text: &str) -> usize {
    let (mut depth, mut last) = (0_usize, 0);
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        if depth == 0 {
            last = range.start;
        }
        if matches!(event, Event::Start(_)) {
            depth += 1;
        } else if matches!(event, Event::End(_)) {
            depth = depth.saturating_sub(1);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole text, drawn at once.
    fn whole(text: &str, width: usize) -> String {
        let mut flow = Flow::new(width);
        flow.source.push_str(text);
        flow.finish()
    }

    /// Without colours, as it is seen.
    fn seen(text: &str) -> String {
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            plain += before;
            rest = after.split_once('m').unwrap().1;
        }
        plain + rest
    }

    const TEXTS: [&str; 8] = [
        "# Title\n\nA **bold** word, `code` and *more*.\nSecond line.\n\n- one\n- two\n  - deep\n\n\
         1. first\n2. second\n\nEnd.",
        "Look:\n```rust\nfn main() {\n\n    println!(\"hi\");\n}\n```\nand [3] then [4].",
        "| a | b |\n|---|--:|\n| one | 2 |\n| three | 44 |\n\nafter",
        "中文**粗体**，再来一句很长的话，看看它在哪里换行。\n\n> 引用 one\n> two\n",
        "2 * 3 < 4 and snake_case ~5 min | not a table\nnext",
        "Heading\n===\n\ntext\n---\n\n* * *\n<b>html</b>\n\n<div>\nx\n</div>\n",
        "see [it](http://a.b/c) and <http://d.e> ![pic](x.png)\n\n- [ ] open\n- [x] done\n",
        "1. a\n\n   second paragraph\n\n   ```\n   code\n   ```\n2. b\n\n\n\nc",
    ];

    #[test]
    fn in_whatever_pieces_a_text_comes_it_looks_as_it_does_at_once() {
        for text in TEXTS {
            for width in [24, 60] {
                let expected = seen(&whole(text, width));
                for size in [1, 2, 3, 7, 1000] {
                    let mut flow = Flow::new(width);
                    let chars: Vec<_> = text.chars().collect();
                    let mut written: String = chars
                        .chunks(size)
                        .map(|it| flow.push(&it.iter().collect::<String>()))
                        .collect();
                    written += &flow.finish();
                    assert_eq!(seen(&written), expected, "{size} {width} {text}");
                }
            }
        }
    }

    #[test]
    fn a_paragraph_comes_word_by_word() {
        let mut flow = Flow::new(40);
        assert_eq!(flow.push("Hel"), "");
        assert_eq!(flow.push("lo wor"), "Hello");
        assert!(flow.is_within_line());
        assert_eq!(flow.push("ld\n"), " world");
        assert_eq!(flow.push("\nNext one"), "\n\nNext");
        assert_eq!(flow.finish(), " one\n");
        assert!(!flow.is_within_line());
    }

    #[test]
    fn nothing_of_a_text_reaches_the_terminals_interpreter() {
        let text = "a\u{1b}]52;c;eA==\u{7} **b\u{9b}31m** `\u{1b}[2J`\n\n```\u{1b}[2J\n\u{1b}[H\r\n```\n\
                    | \u{1b}c | &#27;[2J |\n|--|--|\n| x | y |\n\n[l\u{1b}](http://x/\u{1b}) &#x9b;2J";
        for size in [1, 3, 1000] {
            let mut flow = Flow::new(40);
            let chars: Vec<_> = text.chars().collect();
            let mut written: String =
                chars.chunks(size).map(|it| flow.push(&it.iter().collect::<String>())).collect();
            written += &flow.finish();
            let seen = seen(&written);
            assert!(!seen.contains(|it: char| it.is_control() && it != '\n'), "{seen:?}");
            assert!(seen.contains("\\u{1b}[2J") && seen.contains("\\u{1b}]52"), "{seen}");
        }
    }

    #[test]
    fn a_long_text_without_end_is_drawn_in_bounded_time() {
        let mut flow = Flow::new(80);
        let mut length = 0;
        for _ in 0..20_000 {
            length += flow.push("word **x").len();
        }
        assert!(length + flow.finish().len() > 100_000);
    }
}
