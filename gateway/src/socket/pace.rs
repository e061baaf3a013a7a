//! How fast a peer may send frames, and how long one message may take. Looks at
//! the heads of frames alone, as they pass: the library that reads them answers
//! pings and gathers fragments without ever giving way.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How many frames may come in how long, of whatever kind.
const RATE: (u32, Duration) = (256, Duration::from_secs(10));

/// What a peer does that one may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("too many frames in a short time")]
    TooFast,
    #[error("a message that took too long to come")]
    TooSlow,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// A connection whose incoming frames are watched.
#[derive(Debug)]
pub(super) struct Pace<S> {
    inner: S,
    frames: Frames,
    /// Frames since then.
    count: u32,
    since: Instant,
    /// Set while a message has not come whole.
    unfinished: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<S> Pace<S> {
    /// A message may take `patience`.
    pub(super) fn new(inner: S, patience: Duration) -> Self {
        Self {
            inner,
            frames: Frames::default(),
            count: 0,
            since: Instant::now(),
            unfinished: None,
            patience,
        }
    }

    /// The connection itself.
    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    fn passed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let passed = self.frames.pass(bytes);
        if self.since.elapsed() >= RATE.1 {
            (self.count, self.since) = (0, Instant::now());
        }
        self.count = self.count.saturating_add(passed.begun);
        if self.count > RATE.0 {
            return Err(Fault::TooFast);
        }
        if passed.finished || !self.frames.is_unfinished() {
            self.unfinished = None;
        }
        if self.frames.is_unfinished() {
            let patience = self.patience;
            self.unfinished.get_or_insert_with(|| Box::pin(sleep(patience)));
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pace<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(context, buffer) {
            read?;
            self.passed(&buffer.filled()[before..])?;
            return Poll::Ready(Ok(()));
        }
        match self.unfinished.as_mut().map(|it| it.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(Fault::TooSlow.into())),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pace<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Where in a frame the bytes are (RFC 6455, 5.2).
#[derive(Debug, Default)]
struct Frames {
    place: Place,
    /// A message's last fragment has not begun.
    open: bool,
    /// The frame carries the last, or only, fragment of a message.
    last: bool,
}

#[derive(Debug, Default)]
enum Place {
    /// Before a frame.
    #[default]
    Between,
    /// Before the byte of mask and length.
    Length,
    /// Within a length of several bytes; `mask` more come before the payload.
    Extended { left: u8, length: u64, mask: u64 },
    /// Before so many bytes of mask and payload.
    Payload(u64),
}

/// What some bytes were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Passed {
    /// Frames that began.
    begun: u32,
    /// Whether a message became whole.
    finished: bool,
}

impl Frames {
    fn is_unfinished(&self) -> bool {
        self.open || !matches!(self.place, Place::Between)
    }

    fn pass(&mut self, mut bytes: &[u8]) -> Passed {
        let mut passed = Passed::default();
        while let Some((&byte, rest)) = bytes.split_first() {
            bytes = rest;
            match &mut self.place {
                Place::Between => {
                    passed.begun = passed.begun.saturating_add(1);
                    self.begin(byte);
                }
                Place::Length => {
                    let mask = u64::from(byte >> 7) * 4;
                    self.place = match byte & 0x7f {
                        126 => Place::Extended { left: 2, length: 0, mask },
                        127 => Place::Extended { left: 8, length: 0, mask },
                        length => Place::Payload(mask + u64::from(length)),
                    };
                }
                Place::Extended { left, length, mask } => {
                    (*left, *length) = (*left - 1, *length << 8 | u64::from(byte));
                    if *left == 0 {
                        self.place = Place::Payload(length.saturating_add(*mask));
                    }
                }
                Place::Payload(left) => {
                    let skipped = (bytes.len() as u64).min(*left - 1);
                    *left -= 1 + skipped;
                    bytes = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
                }
            }
            if matches!(self.place, Place::Payload(0)) {
                self.place = Place::Between;
                passed.finished |= std::mem::take(&mut self.last);
            }
        }
        passed
    }

    /// Control frames come between the fragments of a message, too.
    fn begin(&mut self, byte: u8) {
        let (last, control) = (byte & 0x80 != 0, byte & 0x08 != 0);
        if !control {
            (self.open, self.last) = (!last, last);
        }
        self.place = Place::Length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..65_536 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _more => {
                bytes.push(0xff);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([0xff; 4]);
        bytes.extend(vec![0xff; length]);
        bytes
    }

    #[test]
    fn frames_are_told_apart_however_they_are_cut() {
        let all = [
            (frame(0x81, 5), 1, true),
            (frame(0x81, 0), 1, true),
            (frame(0x81, 125), 1, true),
            (frame(0x82, 126), 1, true),
            (frame(0x81, 65_536), 1, true),
            (frame(0x89, 4), 1, false),
            (frame(0x01, 200), 1, false),
            (frame(0x8a, 0), 1, false),
            (frame(0x00, 0), 1, false),
            (frame(0x80, 9), 1, true),
        ];
        let (mut whole, mut parts) = (Frames::default(), Frames::default());
        for (bytes, begun, finished) in all {
            assert_eq!(whole.pass(&bytes), Passed { begun, finished });
            let mut sum = Passed::default();
            for byte in &bytes {
                let passed = parts.pass(&[*byte]);
                sum.begun += passed.begun;
                sum.finished |= passed.finished;
            }
            assert_eq!(sum, Passed { begun, finished });
            assert_eq!(whole.is_unfinished(), parts.is_unfinished());
        }
        assert!(!whole.is_unfinished());
    }

    async fn read(frames: &[Vec<u8>], pause: Duration) -> Option<Fault> {
        let (near, mut far) = tokio::io::duplex(1024 * 1024);
        let mut pace = Pace::new(near, Duration::from_secs(15));
        let mut buffer = vec![0; 64 * 1024];
        for bytes in frames {
            far.write_all(bytes).await.unwrap();
            sleep(pause).await;
            let mut left = bytes.len();
            while left > 0 {
                match pace.read(&mut buffer).await {
                    Ok(read) => left -= read,
                    Err(error) => {
                        return error.get_ref()?.downcast_ref::<Fault>().copied();
                    }
                }
            }
        }
        let more = pace.read(&mut buffer);
        let hour = Duration::from_hours(1);
        let error = tokio::time::timeout(hour, more).await.ok()?.err()?;
        error.get_ref()?.downcast_ref::<Fault>().copied()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_frames_is_noticed_and_a_steady_flow_is_not() {
        let pings = |count| vec![frame(0x89, 4); count];
        assert_eq!(read(&pings(256), Duration::ZERO).await, None);
        assert_eq!(read(&pings(257), Duration::ZERO).await, Some(Fault::TooFast));
        assert_eq!(read(&[frame(0x00, 0).repeat(300)], Duration::ZERO).await, Some(Fault::TooFast));
        assert_eq!(read(&pings(2000), Duration::from_millis(50)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_to_its_end_is_noticed() {
        let half = frame(0x81, 100)[..50].to_vec();
        assert_eq!(read(&[half], Duration::ZERO).await, Some(Fault::TooSlow));
        let mut open = vec![frame(0x01, 10)];
        assert_eq!(read(&open, Duration::ZERO).await, Some(Fault::TooSlow));
        open.push(frame(0x80, 10));
        assert_eq!(read(&open, Duration::ZERO).await, None);
    }
}
