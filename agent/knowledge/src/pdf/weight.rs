//! How much a PDF would take once it is read, found out before: the values in
//! its objects, and in the streams of objects that it unfolds.
//!
//! Counts what the reader could find, wherever it looks, and so rather too much.
//! Refuses what is too much, and what cannot be counted.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use flate2::read::{DeflateDecoder, ZlibDecoder};
use lopdf::{Object, ObjectId};
use tokio::time::Instant;

use super::token::{Piece, Pieces, name};

/// The most values (numbers, names, strings, lists) in the objects of a file.
const MAX_VALUES: usize = 2_000_000;

/// The most bytes that its streams of objects may unfold to, all together.
const MAX_UNFOLDED: usize = 32 * 1024 * 1024;

/// An entry of a table of objects may be three bytes, and is kept all through.
const TABLES: usize = 4;

/// So many bytes are looked at at the price of a value.
const BYTES: usize = 64;

/// Filters other than the one that writers use for streams of objects.
const ODD: [&[u8]; 9] = [
    b"BrotliDecode",
    b"LZWDecode",
    b"LZW",
    b"ASCII85Decode",
    b"A85",
    b"ASCIIHexDecode",
    b"AHx",
    b"RunLengthDecode",
    b"RL",
];

/// What else is looked for in front of a stream.
const TOLD: [&[u8]; 4] = [b"N", b"W", b"Size", b"Predictor"];

thread_local! {
    /// What a load on this thread may still find.
    static LEFT: Cell<usize> = const { Cell::new(MAX_VALUES) };
    /// Until when it may.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Loads with [`take`] as its filter; gives up when there is too much, or it
/// takes too long. Nothing else ends a load.
pub(super) fn bounded<T>(until: Instant, load: impl FnOnce() -> T) -> Result<T, String> {
    LEFT.set(MAX_VALUES);
    UNTIL.set(Some(until));
    catch_unwind(AssertUnwindSafe(load)).map_err(|thrown| {
        let known = thrown.is::<TooMuch>();
        if known { too_much() } else { "not a PDF that can be read".to_owned() }
    })
}

/// Thrown by [`take`].
struct TooMuch;

fn too_much() -> String {
    format!("holds more than {MAX_VALUES} values, or takes too long to read")
}

/// Counts an object that was loaded: a table may name the same one again and
/// again.
#[expect(clippy::unnecessary_wraps, reason = "as the loader wants it")]
pub(super) fn take(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    let late = UNTIL.get().is_some_and(|it| Instant::now() >= it);
    let left = LEFT.get().checked_sub(values(object)).filter(|_| !late);
    let Some(left) = left else {
        resume_unwind(Box::new(TooMuch));
    };
    LEFT.set(left);
    // A stream is kept where it is; what is given back counts only for others.
    let stream = matches!(object, Object::Stream(_));
    Some((id, if stream { Object::Null } else { object.clone() }))
}

fn values(object: &Object) -> usize {
    let inside: usize = match object {
        Object::Array(all) => all.iter().map(values).sum(),
        Object::Dictionary(all) => all.iter().map(|(_, it)| 1 + values(it)).sum(),
        Object::Stream(stream) => stream.dict.iter().map(|(_, it)| 1 + values(it)).sum(),
        Object::Null
        | Object::Boolean(_)
        | Object::Integer(_)
        | Object::Real(_)
        | Object::Name(_)
        | Object::String(..)
        | Object::Reference(_) => 0,
    };
    1 + inside
}

/// Refuses a file that would take too much.
pub(super) fn check(file: &[u8], most: usize, until: Instant) -> Result<(), String> {
    let mut scale = Scale { file, most, values: MAX_VALUES, bytes: MAX_UNFOLDED, streams: false };
    let mut at = 0;
    while let Some(found) = file[at..].windows(3).position(|it| it == b"obj") {
        at += found + 3;
        scale.object(at)?;
        if Instant::now() >= until {
            return Err("takes too long to read".to_owned());
        }
    }
    if scale.streams && is_encrypted(file) {
        return Err("is encrypted, and keeps objects in streams".to_owned());
    }
    Ok(())
}

fn is_encrypted(file: &[u8]) -> bool {
    let mut names = file.iter().enumerate().filter(|(_, it)| **it == b'/');
    names.any(|(at, _)| *name(&file[at..file.len().min(at + 64)]).0 == *b"Encrypt")
}

/// What a dictionary in front of a stream says, wherever in it.
#[derive(Debug, Default)]
struct Head {
    first: Vec<usize>,
    length: usize,
    /// How often it is deflated.
    flate: usize,
    said: BTreeSet<&'static [u8]>,
}

impl Head {
    fn add(&mut self, name: &[u8], number: Option<usize>) {
        match name {
            b"First" => self.first.extend(number),
            b"Length" => self.length = self.length.max(number.unwrap_or(0)),
            b"FlateDecode" | b"Fl" => self.flate += 1,
            name => self.said.extend(TOLD.iter().chain(&ODD).filter(|it| **it == name)),
        }
    }

    fn says(&self, name: &[u8]) -> bool {
        self.said.contains(name)
    }

    /// Whether its stream may hold objects, or a table of them.
    fn holds(&self) -> (bool, bool) {
        let objects = self.says(b"N") && !self.first.is_empty();
        (objects, self.says(b"W") && self.says(b"Size"))
    }

    fn is_odd(&self) -> bool {
        self.flate > 1 || ODD.iter().any(|it| self.says(it))
    }
}

/// What may still be found.
struct Scale<'a> {
    file: &'a [u8],
    most: usize,
    values: usize,
    bytes: usize,
    /// Whether there are streams of objects.
    streams: bool,
}

impl<'a> Scale<'a> {
    /// Weighs the object here, and what its stream unfolds to.
    fn object(&mut self, at: usize) -> Result<(), String> {
        let mut head = Head::default();
        let mut pieces = Pieces(&self.file[at..]);
        let weight = weight(&mut pieces, &mut head, self.values);
        self.spend(weight)?;
        let (objects, table) = head.holds();
        if !(objects || table) {
            return Ok(());
        }
        let Some(Piece::Word(word)) = pieces.next() else {
            return Ok(());
        };
        if !word.starts_with(b"stream") {
            return Ok(());
        }
        let data = self.file.len() - pieces.0.len() - (word.len() - b"stream".len());
        let content = self.unfolded(data, &head, objects)?;
        self.streams |= objects;
        let first = if objects { head.first.as_slice() } else { &[] };
        first.iter().try_for_each(|it| self.members(&content, *it))
    }

    fn spend(&mut self, weight: usize) -> Result<(), String> {
        let left = self.values.checked_sub(weight).filter(|it| *it > 0);
        self.values = left.ok_or_else(too_much)?;
        Ok(())
    }

    /// What the stream here unfolds to; one that is not folded, with all behind it.
    fn unfolded(&mut self, at: usize, head: &Head, objects: bool) -> Result<Cow<'a, [u8]>, String> {
        let data = &self.file[at..];
        let blanks = data.iter().take_while(|it| **it == b' ').count();
        let data = data[blanks..].strip_prefix(b"\r").unwrap_or(&data[blanks..]);
        let data = data.strip_prefix(b"\n").unwrap_or(data);
        if head.is_odd() || (objects && head.says(b"Predictor")) {
            return Err("folds its objects in a way that is not read".to_owned());
        }
        let (content, bytes) = if head.flate == 1 {
            let content = inflated(data, self.most);
            let bytes = content.len();
            (Cow::Owned(content), bytes)
        } else {
            let end = data.windows(9).position(|it| it == b"endstream").unwrap_or(data.len());
            (Cow::Borrowed(data), end.max(head.length).min(data.len()))
        };
        let price = bytes.saturating_mul(if objects { 1 } else { TABLES });
        let left = self.bytes.checked_sub(price).filter(|_| bytes <= self.most);
        self.bytes = left.ok_or("unfolds to more than is read")?;
        Ok(content)
    }

    /// Weighs every object that a stream's index names: it may name one twice.
    fn members(&mut self, content: &[u8], first: usize) -> Result<(), String> {
        let index = content.get(..first).and_then(|it| std::str::from_utf8(it).ok());
        let lines = index.unwrap_or_default().split(['\r', '\n']);
        let numbers =
            lines.flat_map(|it| it.split('%').next().unwrap_or_default().split_whitespace());
        for offset in numbers.skip(1).step_by(2) {
            let offset = offset.parse::<usize>().ok();
            let member = offset.and_then(|it| content.get(first.checked_add(it)?..));
            let mut head = Head::default();
            let weight = weight(&mut Pieces(member.unwrap_or_default()), &mut head, self.values);
            self.spend(1 + weight)?;
        }
        Ok(())
    }
}

/// What comes out of folded data, whole or not, up to one byte too much.
fn inflated(data: &[u8], most: usize) -> Vec<u8> {
    let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    // An error ends what comes out; the reader takes what came before it, too.
    drop(ZlibDecoder::new(data).take(most).read_to_end(&mut content));
    if content.is_empty() && data.len() > 2 {
        drop(DeflateDecoder::new(&data[2..]).take(most).read_to_end(&mut content));
    }
    content
}

/// The weight of the object that comes, up to one that is too much.
fn weight(pieces: &mut Pieces<'_>, head: &mut Head, most: usize) -> usize {
    let from = pieces.0.len();
    let (mut weight, mut depth) = (0, 0_usize);
    let mut named: Option<Vec<u8>> = None;
    while weight + (from - pieces.0.len()) / BYTES <= most {
        let before = pieces.0;
        let Some(piece) = pieces.next() else { break };
        let number = match &piece {
            Piece::Value(text, _) => std::str::from_utf8(text).ok().and_then(|it| it.parse().ok()),
            Piece::Name(_) | Piece::Open | Piece::Close | Piece::Word(_) => None,
        };
        if let Some(name) = named.take() {
            head.add(&name, number);
        }
        match piece {
            Piece::Name(name) => {
                weight += 1;
                named = Some(name.into_owned());
            }
            Piece::Value(_, some) => weight += some,
            Piece::Open => (weight, depth) = (weight + 1, depth + 1),
            Piece::Close => depth = depth.saturating_sub(1),
            Piece::Word(_) => {
                *pieces = Pieces(before);
                break;
            }
        }
        if depth == 0 {
            break;
        }
    }
    weight + (from - pieces.0.len()) / BYTES
}

#[cfg(test)]
mod tests;
