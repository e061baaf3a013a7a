//! A connection's bytes as HTTP has them, above TLS: watched for two framings,
//! with a limit on a peer that does not come to its first request.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::bare;
use super::framing::{Framing, Verdict};
use super::link::Link;

/// How an HTTP/2 connection begins; anything else is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that gives up on peers that stand still.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Link,
    protocol: Protocol,
    /// Set until the first request has come.
    first: Option<Pin<Box<Sleep>>>,
    begun: Begun,
    framing: Framing,
    instead: Option<Instead>,
}

/// What is sent in place of some bytes.
#[derive(Debug)]
struct Instead {
    /// Not sent yet.
    rest: Bytes,
    /// How many bytes it stands for.
    of: usize,
}

/// Whether the first request has come; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum Protocol {
    /// So many bytes of the preface were read.
    Undecided {
        read: usize,
    },
    Http1,
    Http2,
}

impl Wire {
    /// A connection whose first request must have come by then.
    pub(super) fn new(stream: Link, deadline: Instant) -> Self {
        Self {
            stream,
            protocol: Protocol::Undecided { read: 0 },
            first: Some(Box::pin(sleep_until(deadline))),
            begun: Begun::default(),
            framing: Framing::default(),
            instead: None,
        }
    }

    /// Where it will show whether a request's framing is ambiguous, and where to
    /// tell that there are no more requests.
    pub(super) fn framing(&self) -> Verdict {
        self.framing.verdict()
    }

    /// Where to tell that the first request has come.
    pub(super) fn begun(&self) -> Begun {
        self.begun.clone()
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Protocol::Undecided { read } = &mut self.protocol {
            let rest = &PREFACE[*read..];
            let length = rest.len().min(bytes.len());
            *read += length;
            if rest[..length] != bytes[..length] {
                self.protocol = Protocol::Http1;
            } else if *read == PREFACE.len() {
                self.protocol = Protocol::Http2;
            }
        }
        match self.protocol {
            // A prefix of the preface holds no header name.
            Protocol::Http2 | Protocol::Undecided { .. } => {}
            Protocol::Http1 => self.framing.read(bytes),
        }
    }

    /// Whether what is written may be an answer of the HTTP library itself.
    fn may_be_bare(&self) -> bool {
        !matches!(self.protocol, Protocol::Http2) && !self.framing.is_over()
    }

    /// Writes, or writes something else instead: then all of it, before any of
    /// the bytes count as written.
    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() && self.may_be_bare() {
            self.instead =
                bare::document(bytes).map(|it| Instead { rest: it.into(), of: bytes.len() });
        }
        let mut stream = Pin::new(&mut self.stream);
        let Some(instead) = &mut self.instead else {
            return stream.poll_write(context, bytes);
        };
        while instead.rest.has_remaining() {
            match ready!(stream.as_mut().poll_write(context, &instead.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                wrote => instead.rest.advance(wrote),
            }
        }
        let of = instead.of;
        self.instead = None;
        Poll::Ready(Ok(of))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        if result.is_ready() {
            self.read(&buffer.filled()[before..]);
            return result;
        }
        if self.begun.0.load(Ordering::Relaxed) {
            self.first = None;
        }
        match self.first.as_mut().map(|it| it.as_mut().poll(context)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [bytes] => self.write(context, bytes),
            _several => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::listen::socket::Socket;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    /// What a peer gets when those bytes are written to it.
    async fn got(is_over: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = Socket::new(listener.accept().await.unwrap().0, &Config::default());
        let mut wire = Wire::new(Link::Plain(socket), Instant::now() + Duration::from_mins(1));
        if is_over {
            wire.framing().over();
        }
        wire.write_all(BARE.as_bytes()).await.unwrap();
        drop(wire);
        let mut got = String::new();
        peer.read_to_string(&mut got).await.unwrap();
        got
    }

    #[tokio::test]
    async fn a_bare_refusal_is_explained_but_not_in_another_protocol() {
        assert!(got(false).await.contains("urn:weir:problem:invalid_request"));
        assert_eq!(got(true).await, BARE);
    }
}
