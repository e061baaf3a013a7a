//! The events of a response's body, bounded. Pure: it reads any stream of bytes.
//!
//! Refuses events past [`MAX_EVENT`], before they are kept. Comments are no
//! event and take no room: for whoever waits they are silence.

use std::fmt;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use proto::code;
use reqwest::Response;
use sse_stream::SseByteStream;

use crate::Failure;

pub(crate) use sse_stream::Sse;

/// The most that one event may have, in bytes.
pub(crate) const MAX_EVENT: usize = 1024 * 1024;

/// What comes, event by event; the end of the body is the end of the stream, and
/// an event that it cuts is not said.
pub(crate) type Events = BoxStream<'static, Result<Sse, Failure>>;

/// Reads a body as events.
pub(crate) fn events<S, E>(bytes: S) -> Events
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut room = Room::default();
    let bounded = bytes.map_err(Unreadable::new).and_then(move |more| {
        let fits = room.take(&more);
        std::future::ready(fits.then_some(more).ok_or(Unreadable::TooLong))
    });
    SseByteStream::new(bounded).map_err(|error| failed(&error)).boxed()
}

/// Reads a body that is no stream of events; a failure past `most` bytes.
pub(crate) async fn whole(response: Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(more) = bytes.next().await {
        let more = more.map_err(|error| broken(&Unreadable::new(error)))?;
        if body.len() + more.len() > most {
            return Err(Failure::lasting(code::MODEL_ERROR, "the model sent too much at once"));
        }
        body.extend_from_slice(&more);
    }
    Ok(body)
}

/// The failure of an answer that has no end.
pub(crate) fn cut() -> Failure {
    Failure::passing(code::MODEL_CUT, "the model's answer broke off before its end")
}

/// Counts what the event that is being read has so far.
#[derive(Debug, Default)]
struct Room {
    /// Bytes of the event's finished lines.
    lines: usize,
    /// Bytes of the line that is being read.
    line: usize,
    comment: bool,
    /// The last byte was a carriage return, which a newline would belong to.
    returned: bool,
}

impl Room {
    /// Whether the event still fits with these bytes.
    fn take(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            let half = std::mem::replace(&mut self.returned, byte == b'\r') && byte == b'\n';
            match byte {
                _ if half => {}
                b'\r' | b'\n' => self.end_line(),
                _ => {
                    self.comment = if self.line == 0 { byte == b':' } else { self.comment };
                    self.line += 1;
                }
            }
            if self.lines + self.line > MAX_EVENT {
                return false;
            }
        }
        true
    }

    fn end_line(&mut self) {
        self.lines = match self.line {
            0 => 0,
            _ if self.comment => self.lines,
            line => self.lines + line,
        };
        self.line = 0;
    }
}

#[derive(Debug)]
enum Unreadable {
    TooLong,
    Broken(String),
}

impl Unreadable {
    fn new(error: impl std::error::Error) -> Self {
        // Its own words name the URL; those of its cause do not.
        Self::Broken(error.source().map_or_else(|| error.to_string(), ToString::to_string))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("an event is too long"),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Unreadable {}

fn failed(error: &sse_stream::Error) -> Failure {
    if matches!(error, sse_stream::Error::Utf8Parse(_)) {
        return Failure::passing(code::MODEL_ERROR, "the model sent text that is not UTF-8");
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(it) = cause {
        if let Some(Unreadable::TooLong) = it.downcast_ref() {
            return Failure::lasting(code::MODEL_ERROR, "the model sent an event that is too long");
        }
        cause = it.source();
    }
    broken(error)
}

fn broken(error: &dyn std::error::Error) -> Failure {
    tracing::warn!(%error, "the model's answer broke off");
    cut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data of the events of these pieces, and the failure at their end.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<Failure>) {
        let pieces: Vec<_> = pieces.iter().map(|it| Ok(Bytes::copy_from_slice(it))).collect();
        let events = events::<_, std::io::Error>(futures::stream::iter(pieces));
        let all = futures::executor::block_on(events.collect::<Vec<_>>());
        let failure = all.iter().find_map(|it| it.clone().err());
        (all.into_iter().flatten().filter_map(|it| it.data).collect(), failure)
    }

    fn event(bytes: usize) -> Vec<u8> {
        [b"data: ", "x".repeat(bytes).as_bytes(), b"\n\n"].concat()
    }

    #[test]
    fn an_event_has_room_for_its_bound_and_no_byte_more() {
        let most = MAX_EVENT - "data: ".len();
        let fits = [event(most), event(most)].concat();
        assert_eq!(read(&[&fits]).0.len(), 2, "each has the whole room, also in one piece");
        let (said, failure) = read(&[&event(3), &event(most + 1)]);
        let failure = failure.unwrap();
        assert_eq!((said.len(), failure.code, failure.retryable), (1, "model_error", false));
        let lines = b"data: 0123456789\r\n".repeat(MAX_EVENT / 16 + 1);
        assert_eq!(read(&[&lines]).1.unwrap().code, "model_error", "many lines are one event");
    }

    #[test]
    fn comments_take_no_room_but_one_without_end_is_refused() {
        for comment in [&b": still here\n\n"[..], b": still here\r\n", b":\r"] {
            let comments = comment.repeat(3 * MAX_EVENT / comment.len());
            let (said, failure) = read(&[&comments, b"\n\n", &event(3)]);
            assert_eq!((said.len(), failure), (1, None));
        }
        let endless = [b":", "x".repeat(MAX_EVENT).as_bytes()].concat();
        assert_eq!(read(&[&endless]).1.unwrap().code, "model_error");
    }

    #[test]
    fn text_that_is_not_utf_8_is_refused_and_never_repaired() {
        let (said, failure) = read(&[&event(3), b"data: \xe4\xb8\n\n"]);
        assert_eq!((said.len(), failure.unwrap().code), (1, "model_error"));
        let (said, failure) = read(&[&event(3), b"data: \xe4\xb8"]);
        assert_eq!((said.len(), failure), (1, None), "what is cut off is no event");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_read_the_same(
            lines in prop::collection::vec("(data|event|id|:|x)?:? ?[a三\\\\]{0,3}(\n|\r|\r\n|\n\n)", 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let body = lines.concat().into_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|it| it.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|it| &body[it[0]..it[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&body]));
        }
    }
}
