//! Server-sent events as they are on the wire: every frame keeps its bytes, so
//! that two readers can be compared byte for byte.
//!
//! Refuses frames above 16 MB and waits above 30 s.

use std::fmt;
use std::pin::Pin;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use reqwest::{Response, header};
use serde_json::Value;

use crate::PATIENCE;

/// Bytes of one frame.
const FRAME: usize = 16 << 20;

/// A frame: the bytes up to and with its empty line, and what they say.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its bytes.
    pub raw: Bytes,
    /// The value of its `id` line.
    pub id: Option<String>,
    /// The value of its `event` line.
    pub event: Option<String>,
    /// The values of its `data` lines, joined by line feeds.
    pub data: Option<String>,
}

/// An open stream of frames. Dropping it closes the connection.
pub struct Sse {
    body: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    buffer: BytesMut,
}

impl Frame {
    /// Parses the bytes of one frame, its empty line included.
    pub fn parse(raw: Bytes) -> Result<Self> {
        let mut frame = Self { id: None, event: None, data: None, raw };
        let raw = frame.raw.clone();
        for line in std::str::from_utf8(&raw).context("a frame is no UTF-8")?.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match (field, &mut frame.data) {
                ("id", _) => frame.id = Some(value),
                ("event", _) => frame.event = Some(value),
                ("data", Some(data)) => *data = format!("{data}\n{value}"),
                ("data", data) => *data = Some(value),
                _ => {}
            }
        }
        Ok(frame)
    }

    /// Whether its event is named so.
    pub fn is(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event)
    }

    /// Its data as JSON; null when it has none or other data.
    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_default();
        serde_json::from_str(data).unwrap_or_default()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.raw))
    }
}

impl fmt::Debug for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sse").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

impl Sse {
    /// The frames of a response. An error, with the body, when it is no 200 or
    /// no event stream.
    pub async fn open(response: Response) -> Result<Self> {
        let kind = response.headers().get(header::CONTENT_TYPE);
        let stream = kind.is_some_and(|it| it.as_bytes().starts_with(b"text/event-stream"));
        if response.status() != 200 || !stream {
            let (status, kind) = (response.status(), kind.cloned());
            bail!("no event stream: {status} {kind:?} {}", response.text().await?);
        }
        Ok(Self { body: Box::pin(response.bytes_stream()), buffer: BytesMut::new() })
    }

    /// The next frame, comments and `retry` included; nothing when the body
    /// ended whole. An error when it broke off, or after 30 s without a frame.
    pub async fn next_raw(&mut self) -> Result<Option<Frame>> {
        let mut looked = 0;
        loop {
            if let Some(at) = end(&self.buffer, looked) {
                return Frame::parse(self.buffer.split_to(at).freeze()).map(Some);
            }
            looked = self.buffer.len().saturating_sub(1);
            ensure!(looked < FRAME, "a frame is larger than {FRAME} bytes");
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await;
            match chunk.context("no frame came")? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk.context("the stream was cut")?),
                None if self.buffer.is_empty() => return Ok(None),
                None => bail!("the stream ended inside a frame: {:?}", self.buffer),
            }
        }
    }

    /// The next frame that carries data; see [`Sse::next_raw`].
    pub async fn next(&mut self) -> Result<Option<Frame>> {
        while let Some(frame) = self.next_raw().await? {
            if frame.data.is_some() {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The frames with data up to and with the first that satisfies `last`. An
    /// error, with the frames, when the stream ends before.
    pub async fn read_until(&mut self, last: impl Fn(&Frame) -> bool + Send) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            let next = self.next().await.with_context(|| format!("after {frames:?}"))?;
            let Some(frame) = next else {
                bail!("the stream ended after {frames:?}");
            };
            let found = last(&frame);
            frames.push(frame);
            if found {
                return Ok(frames);
            }
        }
    }

    /// All frames with data to the whole end of the stream.
    pub async fn read_all(&mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Closes the connection in the middle, as a client that is gone.
    pub fn cut(self) {
        drop(self);
    }
}

/// The bytes of these frames, one after the other.
pub fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|it| it.raw.iter().copied()).collect()
}

/// Where the first frame ends: behind an empty line. Everything before
/// `looked` is known to hold no end.
fn end(buffer: &[u8], looked: usize) -> Option<usize> {
    let found = |mark: &[u8]| {
        let from = looked.saturating_sub(mark.len());
        let at = buffer.get(from..)?.windows(mark.len()).position(|it| it == mark)?;
        Some(from + at + mark.len())
    };
    match (found(b"\n\n"), found(b"\r\n\r\n")) {
        (Some(one), Some(two)) => Some(one.min(two)),
        (one, two) => one.or(two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_keeps_its_bytes_and_says_its_fields() {
        let raw =
            Bytes::from_static("id: 1-2\nevent: text\ndata: {\"text\":\"你\"}\n\n".as_bytes());
        let frame = Frame::parse(raw.clone()).unwrap();
        assert_eq!((frame.raw.clone(), frame.id.as_deref()), (raw, Some("1-2")));
        assert!(frame.is("text"));
        assert_eq!(frame.json()["text"], "你");
    }

    #[test]
    fn several_data_lines_are_one_value_and_a_comment_has_none() {
        let frame = |raw: &'static str| Frame::parse(Bytes::from_static(raw.as_bytes())).unwrap();
        assert_eq!(frame("data: a\ndata:b\n\n").data.as_deref(), Some("a\nb"));
        assert_eq!(frame(": ping\n\n").data, None);
    }

    #[test]
    fn a_frame_ends_behind_its_empty_line_wherever_one_looked_before() {
        let buffer = b"data: a\n\ndata: b\n\n";
        for looked in 0..8 {
            assert_eq!(end(buffer, looked), Some(9), "looked {looked}");
        }
        assert_eq!(end(b"data: a\n", 0), None);
        assert_eq!(end(b"data: a\r\n\r\nx", 3), Some(11));
    }
}
