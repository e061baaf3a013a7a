//! A connection's bytes, with limits on a peer that stands still: until its
//! first request has come, and while it takes nothing of what is sent to it.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::bare;
use super::framing::{Framing, Verdict};
use crate::Config;

/// How an HTTP/2 connection begins; anything else is HTTP/1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A TCP stream that gives up on peers that stand still.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    protocol: Protocol,
    /// Set until the first request has come.
    first: Option<Pin<Box<Sleep>>>,
    begun: Begun,
    /// Set while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
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
pub(crate) struct Begun(Arc<AtomicBool>);

impl Begun {
    pub(crate) fn set(&self) {
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
    pub(crate) fn new(stream: TcpStream, config: &Config) -> Self {
        if let Err(error) = limit(&stream, config) {
            tracing::debug!(%error, "a connection has the system's limits, not ours");
        }
        Self {
            stream,
            protocol: Protocol::Undecided { read: 0 },
            first: Some(Box::pin(sleep(config.head_timeout))),
            begun: Begun::default(),
            stalled: None,
            patience: config.write_timeout,
            framing: Framing::default(),
            instead: None,
        }
    }

    /// Where it will show whether a request's framing is ambiguous.
    pub(crate) fn framing(&self) -> Verdict {
        self.framing.verdict()
    }

    /// Where to tell that the first request has come.
    pub(crate) fn begun(&self) -> Begun {
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

    /// Writes, or writes something else instead: then all of it, before any of
    /// the bytes count as written.
    fn write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
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

    /// Watches a write that waits for the peer.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Sends small frames at once, bounds what the system holds for a peer that
/// reads slowly, and gives up on one that is gone without a word.
fn limit(stream: &TcpStream, config: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(config.socket_bytes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(config.write_timeout))?;
    Ok(())
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
        let result = self.write(context, bytes);
        self.wrote(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match slices {
            [bytes] => self.write(context, bytes),
            _several => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        };
        self.wrote(context, result)
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
