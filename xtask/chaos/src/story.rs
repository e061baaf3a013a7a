//! What a reader was told of each turn, and whether it makes sense. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::sse::Frame;

/// A turn as its frames tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// The question, as `started` says it.
    pub question: String,
    /// How often it was started.
    pub starts: usize,
    /// The attempts that spoke, in order, without repeats.
    pub attempts: Vec<u64>,
    /// Pieces of text with the index of their last token.
    pieces: Vec<(u64, String)>,
    /// The kinds of its terminal frames.
    pub ends: Vec<String>,
    /// Frames after the first terminal one.
    pub after_the_end: usize,
    /// How often text was taken back.
    pub rewinds: usize,
    /// Failure code, if it failed.
    pub code: Option<String>,
}

/// The kinds that end a turn.
pub const ENDS: [&str; 4] = ["completed", "interrupted", "failed", "cancelled"];

/// Whether a turn ends with this frame.
pub fn is_end(frame: &Frame) -> bool {
    ENDS.into_iter().any(|kind| frame.is(kind))
}

/// The turns in these frames, by id, and the ids in order of appearance.
pub fn stories(frames: &[Frame]) -> (Vec<String>, BTreeMap<String, Story>) {
    let (mut order, mut turns) = (Vec::new(), BTreeMap::<String, Story>::new());
    for frame in frames {
        let said = frame.json();
        let Some(turn) = said["turnId"].as_str() else { continue };
        if !turns.contains_key(turn) {
            order.push(turn.to_owned());
        }
        turns.entry(turn.to_owned()).or_default().hear(frame, &said);
    }
    (order, turns)
}

impl Story {
    fn hear(&mut self, frame: &Frame, said: &Value) {
        self.after_the_end += usize::from(!self.ends.is_empty());
        let attempt = said["attempt"].as_u64().unwrap_or_default();
        if self.attempts.last() != Some(&attempt) {
            self.attempts.push(attempt);
        }
        match frame.event.as_deref().unwrap_or_default() {
            "started" => {
                self.starts += 1;
                let input = &said["started"]["input"];
                input.as_str().unwrap_or_default().clone_into(&mut self.question);
            }
            "text" => {
                let text = said["text"].as_str().unwrap_or_default();
                self.pieces.push((said["index"].as_u64().unwrap_or_default(), text.to_owned()));
            }
            "rewind" => {
                self.rewinds += 1;
                let to = said["rewind"]["to"].as_u64().unwrap_or_default();
                self.pieces.retain(|(index, _)| *index <= to);
            }
            end if ENDS.contains(&end) => {
                self.code = said["failed"]["code"].as_str().map(str::to_owned);
                self.ends.push(end.to_owned());
            }
            _ => {}
        }
    }

    /// The text that stands at the end.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|it| it.1.as_str()).collect()
    }

    /// How many tokens of `name` the text is: all from the first on, in order,
    /// of one call to the model. An error says what is wrong with it.
    pub fn tokens(&self, name: &str) -> Result<usize, String> {
        let text = self.text();
        let mut from = None;
        let mut count = 0;
        for token in text.split_terminator(' ') {
            let mut parts = token.split('/');
            let (Some(whose), Some(call), Some(index), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err(format!("token {token:?} is no token"));
            };
            if whose != name {
                return Err(format!("token {token:?} is of another turn than {name}"));
            }
            if *from.get_or_insert(call) != call {
                return Err(format!("token {token:?} of another call follows {count} of {from:?}"));
            }
            if index != count.to_string() {
                return Err(format!("token {token:?} stands in place {count}"));
            }
            count += 1;
        }
        Ok(count)
    }

    /// Whether its attempts only grew.
    pub fn attempts_grow(&self) -> bool {
        self.attempts.is_sorted_by(|one, next| one < next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(event: &str, data: &str) -> Frame {
        let raw = format!("id: 1-1\nevent: {event}\ndata: {data}\n\n");
        Frame::parse(raw.into()).unwrap()
    }

    fn told(frames: &[(&str, &str)]) -> Story {
        let frames: Vec<_> = frames
            .iter()
            .map(|(event, rest)| frame(event, &format!(r#"{{"turnId":"t","attempt":1,{rest}}}"#)))
            .collect();
        stories(&frames).1.remove("t").unwrap()
    }

    #[test]
    fn text_that_was_taken_back_does_not_count() {
        let story = told(&[
            ("started", r#""started":{"input":"q"}"#),
            ("text", r#""index":2,"text":"q/1/0 q/1/1 ""#),
            ("text", r#""index":3,"text":"q/1/2 ""#),
            ("rewind", r#""rewind":{"to":0}"#),
            ("text", r#""index":4,"text":"q/2/0 ""#),
            ("completed", r#""completed":{}"#),
        ]);
        assert_eq!((story.tokens("q"), story.rewinds, story.starts), (Ok(1), 1, 1));
        assert_eq!((story.ends, story.after_the_end), (vec!["completed".to_owned()], 0));
    }

    #[test]
    fn lost_doubled_mixed_and_foreign_tokens_are_seen() {
        for wrong in ["q/1/0 q/1/2 ", "q/1/0 q/1/0 ", "q/1/0 q/2/1 ", "p/1/0 ", "q/1/0 q/1"] {
            let story = told(&[("text", &format!(r#""index":1,"text":"{wrong}""#))]);
            assert!(story.tokens("q").is_err(), "{wrong}");
        }
        let story = told(&[("text", r#""index":1,"text":"q/1/0 q/1/1 ""#)]);
        assert_eq!(story.tokens("q"), Ok(2));
    }

    #[test]
    fn what_is_said_after_an_end_is_counted() {
        let story =
            told(&[("completed", r#""completed":{}"#), ("text", r#""index":1,"text":"x""#)]);
        assert_eq!(story.after_the_end, 1);
    }
}
