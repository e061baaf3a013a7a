//! The pieces that a PDF's objects and pages are written in.
//!
//! Knows no grammar. Where a piece may be read as several, it weighs as many.

use std::borrow::Cow;

/// A piece of what is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Numbers, a string or a known word, and how many values it may be.
    Value(&'a [u8], usize),
    /// A name, without its slash.
    Name(Cow<'a, [u8]>),
    /// A list or dictionary begins.
    Open,
    /// And ends.
    Close,
    /// A word of the language, or what should not be here.
    Word(&'a [u8]),
}

/// What is still to be read.
#[derive(Debug)]
pub(super) struct Pieces<'a>(pub(super) &'a [u8]);

impl<'a> Pieces<'a> {
    /// The next so many bytes.
    fn cut(&mut self, bytes: usize) -> &'a [u8] {
        let (cut, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        cut
    }

    /// Leaves out space and comments.
    fn skip(&mut self) {
        loop {
            self.cut(self.0.iter().take_while(|it| is_space(**it)).count());
            if self.0.first() != Some(&b'%') {
                return;
            }
            self.cut(self.0.iter().take_while(|it| !b"\r\n".contains(it)).count());
        }
    }

    /// A string, with the strings inside it.
    fn string(&mut self) -> Piece<'a> {
        let (mut depth, mut escaped, mut length) = (0_usize, false, 0);
        for byte in self.0 {
            length += 1;
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        Piece::Value(self.cut(length), 1)
    }

    fn run(&mut self) -> Piece<'a> {
        let run = self.cut(self.0.iter().take_while(|it| is_regular(**it)).count());
        let letters = run.iter().filter(|it| it.is_ascii_alphabetic()).count();
        // Two numbers need nothing between them but a sign or a point.
        let signs = run.iter().filter(|it| b"+-.".contains(it)).count();
        let weight = signs.saturating_sub(1).max(1) + letters / 4;
        match run {
            [b'0'..=b'9' | b'+' | b'-' | b'.', ..] | [b't' | b'f' | b'n', _, _, _, ..] => {
                Piece::Value(run, weight)
            }
            [b'R'] | [b'R', b'0'..=b'9' | b'+' | b'-' | b'.', ..] => Piece::Value(run, weight),
            _ => Piece::Word(run),
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        self.skip();
        let piece = match self.0 {
            [] => return None,
            [b'(', ..] => self.string(),
            [b'<', b'<', ..] | [b'>', b'>', ..] => match self.cut(2) {
                b"<<" => Piece::Open,
                _ => Piece::Close,
            },
            [b'<', ..] => {
                let end = self.0.iter().position(|it| *it == b'>').unwrap_or(self.0.len());
                Piece::Value(self.cut(end + 1), 1)
            }
            [b'[' | b']', ..] => match self.cut(1) {
                b"[" => Piece::Open,
                _ => Piece::Close,
            },
            [b'/', ..] => {
                let (name, length) = name(self.0);
                self.cut(length);
                Piece::Name(name)
            }
            [it, ..] if is_regular(*it) => self.run(),
            _ => Piece::Word(self.cut(1)),
        };
        Some(piece)
    }
}

/// The name that begins here with its slash, and how long it is as written.
pub(super) fn name(bytes: &[u8]) -> (Cow<'_, [u8]>, usize) {
    let written = bytes.iter().skip(1).take_while(|it| is_regular(**it)).count();
    let name = bytes.get(1..=written).unwrap_or_default();
    if !name.contains(&b'#') {
        return (Cow::Borrowed(name), written + 1);
    }
    let mut plain = Vec::new();
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| *byte == b'#')
            .and_then(|it| u8::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok());
        plain.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    (Cow::Owned(plain), written + 1)
}

fn is_space(byte: u8) -> bool {
    b" \t\n\r\0\x0C".contains(&byte)
}

fn is_regular(byte: u8) -> bool {
    !is_space(byte) && !b"()<>[]{}/%".contains(&byte)
}

/// The most bytes that one operation of a page takes up, as far as can be told:
/// after a picture in the page itself, all that follows.
pub(super) fn longest_operation(content: &[u8]) -> usize {
    let mut pieces = Pieces(content);
    let (mut longest, mut from) = (0, content.len());
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Word(b"ID") => break,
            Piece::Word(word) if is_operator(word) => {
                longest = longest.max(from - pieces.0.len());
                from = pieces.0.len();
            }
            Piece::Word(_) | Piece::Value(..) | Piece::Name(_) | Piece::Open | Piece::Close => {}
        }
    }
    longest.max(from)
}

/// Longer words may be values.
fn is_operator(word: &[u8]) -> bool {
    word.len() <= 3 && word.iter().all(|it| it.is_ascii_alphanumeric() || b"*'\"".contains(it))
}
