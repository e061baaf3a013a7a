//! A connection as its peer speaks it, in the clear or in TLS. On a port that
//! has a certificate nobody is answered in the clear.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// The first byte of what a client of TLS says.
const HANDSHAKE: u8 = 22;
/// How much of what another says is read before it is hung up on: a head. A
/// connection that is closed over unread bytes breaks instead of ending.
const UNREAD: usize = 16 * 1024;

/// A connection above which there is only HTTP.
#[derive(Debug)]
pub(super) enum Link {
    Plain(Socket),
    Secured(Box<TlsStream<Socket>>),
}

impl Link {
    /// Shakes hands if this port speaks TLS; `None` when that came to nothing.
    pub(super) async fn open(
        socket: Socket,
        tls: Option<&tls::Server>,
        deadline: Instant,
    ) -> Option<Self> {
        let Some(tls) = tls else {
            return Some(Self::Plain(socket));
        };
        match timeout_at(deadline, Box::pin(secure(socket, tls))).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                None
            }
            Err(_elapsed) => {
                tracing::debug!("a handshake took too long");
                None
            }
        }
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Plain(socket) => Pin::new(socket),
            Self::Secured(stream) => Pin::new(stream.as_mut()),
        }
    }
}

/// What both are.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn secure(mut socket: Socket, tls: &tls::Server) -> io::Result<Option<Link>> {
    let mut first = [0];
    if socket.stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        tracing::debug!("a peer does not speak TLS");
        let _read = socket.stream.try_read(&mut [0; UNREAD])?;
        socket.shutdown().await?;
        return Ok(None);
    }
    let stream = tls.accept(socket).await?;
    Ok(Some(Link::Secured(Box::new(stream))))
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Secured(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
