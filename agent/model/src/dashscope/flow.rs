//! What is new in each event, whichever way the server counts. Pure.
//!
//! Increments are always asked for, yet some models ignore that: each of their
//! events repeats everything said so far. Read as increments, such an answer
//! would say its beginning again and again; and an answer that happens to repeat
//! itself, read the other way, would lose text. So the first events decide:
//!
//! - one that does not begin with everything so far shows increments, for good;
//! - [`GROWTHS`] in a row that begin with all of it and go on show the other,
//!   once there is [`ENOUGH`] of it to be no accident, and so does one that
//!   repeats all of it while the count of tokens stands still;
//! - the last event, when that is still open, is believed if it begins with all
//!   of it and there is enough, and else what was asked for holds.
//!
//! Until then only what both readings agree on is said, the rest is held: with
//! increments that is nothing, but for answers like `ha`, `haha`. An answer in
//! increments would be misread only if each of its first two increments after
//! the opening, or its single one, began with everything before it. Refuses a
//! server that repeats everything and then takes something back.

use proto::code;
use serde_json::Value;

use super::event::Piece;
use crate::Failure;
use crate::calls::Fragment;

/// Events that begin with everything so far, for that to be how the server
/// counts.
const GROWTHS: usize = 2;

/// How much must have been repeated for that, in bytes.
const ENOUGH: usize = 8;

/// The way of one answer.
#[derive(Debug, Default)]
pub(super) struct Flow {
    way: Way,
    /// Everything so far, read as if each event repeated it.
    so_far: Everything,
    /// How much of that has been said.
    said: Lengths,
    growths: usize,
    /// Events that are not said yet.
    held: Vec<Piece>,
    tokens: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Increments,
    Repeats,
}

#[derive(Debug, Default)]
struct Everything {
    reasoning: String,
    text: String,
    calls: Vec<Known>,
}

/// A tool call so far.
#[derive(Debug)]
struct Known {
    index: u32,
    id: String,
    arguments: String,
}

#[derive(Debug, Default)]
struct Lengths {
    reasoning: usize,
    text: usize,
    /// By place in [`Everything::calls`].
    arguments: Vec<usize>,
}

/// An event beside everything so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    /// It says nothing of what was said before.
    Apart,
    /// It repeats all of something.
    Same,
    /// It repeats all of something, and goes on, there or with something new.
    Longer,
    /// It goes on elsewhere.
    Other,
}

impl Flow {
    /// Takes an event in: what is new, in order. `tokens` is the count of output
    /// tokens that came with it, `last` says that the answer ends with it.
    pub(super) fn take(
        &mut self,
        piece: Piece,
        tokens: Option<u32>,
        last: bool,
    ) -> Result<Vec<Piece>, Failure> {
        let stands = tokens.is_some_and(|it| it > 0 && it == self.tokens);
        self.tokens = tokens.unwrap_or(self.tokens);
        match self.way {
            Way::Increments => return Ok(vec![piece]),
            Way::Repeats => {
                self.so_far.replace(&piece)?;
                return Ok(vec![self.news(&piece)]);
            }
            Way::Open => {}
        }
        let beside = self.so_far.beside(&piece);
        self.growths += usize::from(beside == Beside::Longer);
        let enough = piece.len() >= ENOUGH;
        self.way = match beside {
            Beside::Same if stands => Way::Repeats,
            Beside::Same if last && self.growths > 0 && enough => Way::Repeats,
            Beside::Same | Beside::Other => Way::Increments,
            Beside::Longer if enough && (last || self.growths >= GROWTHS) => Way::Repeats,
            Beside::Longer | Beside::Apart if last => Way::Increments,
            Beside::Longer | Beside::Apart => Way::Open,
        };
        match self.way {
            Way::Increments => {
                self.so_far = Everything::default();
                let held = std::mem::take(&mut self.held);
                Ok(held.into_iter().chain([piece]).collect())
            }
            Way::Repeats => {
                self.held.clear();
                self.so_far.replace(&piece)?;
                Ok(vec![self.news(&piece)])
            }
            Way::Open => self.open(piece, beside),
        }
    }

    /// What is left at an end that no event announced.
    pub(super) fn rest(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.held)
    }

    /// Says what both readings agree on.
    fn open(&mut self, piece: Piece, beside: Beside) -> Result<Vec<Piece>, Failure> {
        if piece.is_empty() {
            return Ok(Vec::new());
        }
        self.so_far.replace(&piece)?;
        if beside == Beside::Apart && self.held.is_empty() {
            self.news(&piece);
            return Ok(vec![piece]);
        }
        self.held.push(piece);
        Ok(Vec::new())
    }

    /// What of everything so far has not been said; from now on it has.
    fn news(&mut self, piece: &Piece) -> Piece {
        let (so_far, said) = (&self.so_far, &mut self.said);
        said.arguments.resize(so_far.calls.len(), 0);
        let mut calls = Vec::new();
        for (place, fragment) in (0..).zip(&piece.calls) {
            let index = fragment.index.unwrap_or(place);
            let Some(at) = so_far.calls.iter().position(|it| it.index == index) else {
                continue;
            };
            let new = since(&so_far.calls[at].arguments, &mut said.arguments[at]);
            let mut function = fragment.function.clone().unwrap_or_default();
            function.arguments = Some(Value::String(new));
            calls.push(Fragment {
                index: Some(index),
                id: fragment.id.clone(),
                function: Some(function),
            });
        }
        Piece {
            reasoning: since(&so_far.reasoning, &mut said.reasoning),
            text: since(&so_far.text, &mut said.text),
            calls,
        }
    }
}

fn since(all: &str, said: &mut usize) -> String {
    let new = all[*said..].to_owned();
    *said = all.len();
    new
}

impl Everything {
    fn beside(&self, piece: &Piece) -> Beside {
        let mut pairs = vec![
            (self.reasoning.as_str(), piece.reasoning.clone()),
            (self.text.as_str(), piece.text.clone()),
        ];
        let mut begun = false;
        for (place, fragment) in (0..).zip(&piece.calls) {
            let index = fragment.index.unwrap_or(place);
            let known = self.calls.iter().find(|it| it.index == index);
            begun |= known.is_none();
            let id = fragment.id.as_deref().unwrap_or("");
            if known.is_some_and(|it| !id.is_empty() && !it.id.is_empty() && id != it.id) {
                return Beside::Other;
            }
            pairs.push((known.map_or("", |it| it.arguments.as_str()), arguments(fragment)));
        }
        pairs.retain(|(_, new)| !new.is_empty());
        let (old, fresh): (Vec<_>, Vec<_>) = pairs.iter().partition(|(known, _)| !known.is_empty());
        if old.iter().any(|(known, new)| !new.starts_with(known)) {
            return Beside::Other;
        }
        let longer = old.iter().any(|(known, new)| new.len() > known.len());
        match (old.is_empty(), longer || begun || !fresh.is_empty()) {
            (true, _) => Beside::Apart,
            (false, true) => Beside::Longer,
            (false, false) => Beside::Same,
        }
    }

    /// Takes in what an event repeats. What it leaves out stays.
    fn replace(&mut self, piece: &Piece) -> Result<(), Failure> {
        replace(&mut self.reasoning, &piece.reasoning)?;
        replace(&mut self.text, &piece.text)?;
        for (place, fragment) in (0..).zip(&piece.calls) {
            let index = fragment.index.unwrap_or(place);
            let id = fragment.id.clone().unwrap_or_default();
            let text = arguments(fragment);
            match self.calls.iter_mut().find(|it| it.index == index) {
                Some(known) => replace(&mut known.arguments, &text)?,
                None => self.calls.push(Known { index, id, arguments: text }),
            }
        }
        Ok(())
    }
}

fn replace(so_far: &mut String, new: &str) -> Result<(), Failure> {
    if new.starts_with(so_far.as_str()) {
        new.clone_into(so_far);
        return Ok(());
    }
    // The beginning again, or nothing: no news.
    if so_far.starts_with(new) {
        return Ok(());
    }
    Err(Failure::passing(code::MODEL_ERROR, "the model took back what it had said"))
}

fn arguments(fragment: &Fragment) -> String {
    match fragment.function.as_ref().and_then(|it| it.arguments.as_ref()) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

impl Piece {
    fn is_empty(&self) -> bool {
        self.reasoning.is_empty() && self.text.is_empty() && self.calls.is_empty()
    }

    fn len(&self) -> usize {
        let arguments = self.calls.iter().map(|it| arguments(it).len());
        self.reasoning.len() + self.text.len() + arguments.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text said of these events; the tokens are those of a server that
    /// counts none.
    fn read(events: &[&str]) -> String {
        read_counted(&events.iter().map(|it| (*it, 0)).collect::<Vec<_>>())
    }

    fn read_counted(events: &[(&str, u32)]) -> String {
        let mut flow = Flow::default();
        let mut said = String::new();
        for (at, (text, tokens)) in events.iter().enumerate() {
            let piece = Piece { text: (*text).to_owned(), ..Piece::default() };
            let news = flow.take(piece, Some(*tokens), at + 1 == events.len()).unwrap();
            said.extend(news.into_iter().map(|it| it.text));
        }
        said
    }

    #[test]
    fn increments_are_said_as_they_are_even_when_they_repeat_themselves() {
        for events in [
            &["Hel", "lo", "", " world", ""][..],
            &["ha", "haha", "ha", "!", ""],
            &["ha", "ha", "ha", ""],
            &["1", "10", "100", ""],
            &["你好世界，再见。", "你好世界，再见。", ""],
            &["====", "========", "\n", ""],
            &["a", "ab", ""],
            &["", "", "x", ""],
        ] {
            assert_eq!(read(events), events.concat(), "{events:?}");
        }
        // The same, with counts that say so.
        assert_eq!(read_counted(&[("ha", 1), ("ha", 2)]), "haha");
    }

    #[test]
    fn what_is_repeated_is_said_once() {
        for events in [
            &["Hel", "Hello", "Hello wor", "Hello world", "Hello world"][..],
            &["H", "He", "Hel", "Hell", "Hello", "Hello w", "Hello world"],
            &["Hel", "Hello world"],
            &["Hel", "Hello world", "Hello world"],
            &["", "Hel", "", "Hello wor", "Hello world", ""],
            &["杭", "杭州", "杭州天", "杭州天气"],
        ] {
            let want = events.iter().max_by_key(|it| it.len()).unwrap();
            assert_eq!(read(events), **want, "{events:?}");
        }
        assert_eq!(read_counted(&[("Hi", 1), ("Hi", 1)]), "Hi");
        assert_eq!(read_counted(&[("Hi", 1), ("Hi!", 2), ("Hi!", 2)]), "Hi!");
    }

    #[test]
    fn only_what_may_be_repeated_is_held() {
        let mut flow = Flow::default();
        let mut take = |text: &str| {
            let piece = Piece { text: text.to_owned(), ..Piece::default() };
            let news = flow.take(piece, None, false).unwrap();
            news.into_iter().map(|it| it.text).collect::<Vec<_>>()
        };
        assert_eq!(take("ha"), ["ha"]);
        assert!(take("haha").is_empty(), "it may be the whole answer so far");
        assert_eq!(take("ho"), ["haha", "ho"]);
        assert_eq!(take("hahahaho and on"), ["hahahaho and on"], "decided for good");
    }

    #[test]
    fn what_was_said_is_not_taken_back() {
        let mut flow = Flow::default();
        let mut take = |text: &str| {
            let piece = Piece { text: text.to_owned(), ..Piece::default() };
            flow.take(piece, None, false).map(|it| it.into_iter().map(|it| it.text).collect())
        };
        let all: Result<Vec<Vec<String>>, _> =
            ["Hello", "Hello wor", "Hello world"].into_iter().map(&mut take).collect();
        assert_eq!(all.unwrap().concat().concat(), "Hello world");
        assert_eq!(take("Hello").unwrap(), [""], "old news");
        let failure = take("Goodbye").unwrap_err();
        assert_eq!((failure.code, failure.retryable), ("model_error", true));
    }
}
