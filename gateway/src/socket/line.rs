//! One WebSocket's frames, within bounds: what is sent goes out in pieces, the
//! next one when the last was taken; what comes is as large as it may be, or the
//! connection ends with the code that says why.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink as _, SinkExt as _, Stream as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::pace::{Fault, Pace};

/// The largest message that is taken, in bytes, however many frames it has.
pub(super) const MESSAGE_BYTES: usize = 256 * 1024;
/// What is read at once.
const READ_BYTES: usize = 4 * 1024;
/// The largest frame that is sent.
const PIECE: usize = 16 * 1024;
/// What may wait inside the library: a piece, and an answer to a ping. Nothing
/// is given to it before the last piece has gone.
const WRITE_BYTES: usize = 2 * PIECE;
/// How much of what still comes is thrown away after the end, so that the peer
/// is done sending and reads why.
const WASTE_BYTES: usize = 64 * 1024 * 1024;

/// How a socket ends from our side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) code: CloseCode,
    pub(super) reason: &'static str,
}

impl Ending {
    pub(super) const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// What happens on a line.
#[derive(Debug)]
pub(super) enum Step {
    /// All that was to be sent has gone.
    Sent,
    Heard(Message),
    /// The peer broke a rule.
    Broken(Ending),
    /// The peer has left.
    Gone,
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Line {
    socket: WebSocketStream<Pace<TokioIo<Upgraded>>>,
    /// Messages that were not begun.
    waiting: VecDeque<Bytes>,
    /// What was not sent yet of the message that was begun.
    rest: Bytes,
    /// Whether something was sent since the last [`Step::Sent`].
    sending: bool,
    ping: bool,
    /// The library reads no more of what comes.
    broken: bool,
}

impl Line {
    /// A line on which one message may take `patience` to come.
    pub(super) async fn new(upgraded: Upgraded, patience: Duration) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BYTES)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let paced = Pace::new(TokioIo::new(upgraded), patience);
        Self {
            socket: WebSocketStream::from_raw_socket(paced, Role::Server, Some(config)).await,
            waiting: VecDeque::new(),
            rest: Bytes::new(),
            sending: false,
            ping: false,
            broken: false,
        }
    }

    /// Puts a message behind those that wait.
    pub(super) fn send(&mut self, message: Bytes) {
        if !message.is_empty() {
            self.waiting.push_back(message);
        }
    }

    /// How many messages wait, the one under way included.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + usize::from(self.sending)
    }

    /// Pings the peer, as soon as the frame under way has gone.
    pub(super) fn ping(&mut self) {
        self.ping = true;
    }

    /// Sends what waits and, if one `listens`, waits for what comes. Dropping the
    /// future loses nothing.
    pub(super) async fn step(&mut self, listens: bool) -> Step {
        poll_fn(|context| {
            if let Poll::Ready(step) = self.poll_send(context) {
                return Poll::Ready(step);
            }
            if !listens {
                return Poll::Pending;
            }
            Pin::new(&mut self.socket).poll_next(context).map(|next| match next {
                Some(Ok(message)) => Step::Heard(message),
                Some(Err(error)) => broken(&error),
                None => Step::Gone,
            })
        })
        .await
    }

    /// Ready when all has just gone, or nothing can.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        loop {
            match Pin::new(&mut self.socket).poll_flush(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(broken(&error)),
                Poll::Ready(Ok(())) => {}
            }
            let Some(frame) = self.piece() else {
                let sent = std::mem::take(&mut self.sending);
                return if sent { Poll::Ready(Step::Sent) } else { Poll::Pending };
            };
            self.sending = true;
            if let Err(error) = Pin::new(&mut self.socket).start_send(Message::Frame(frame)) {
                return Poll::Ready(broken(&error));
            }
        }
    }

    /// The next frame that is to be sent: a ping, a message, or a piece of one.
    fn piece(&mut self) -> Option<Frame> {
        if std::mem::take(&mut self.ping) {
            return Some(Frame::ping(Bytes::new()));
        }
        let data = if self.rest.is_empty() {
            self.rest = self.waiting.pop_front()?;
            Data::Text
        } else {
            Data::Continue
        };
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Some(Frame::message(piece, OpCode::Data(data), self.rest.is_empty()))
    }

    /// Forgets what waits: the peer is in no state to take it.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.rest = Bytes::new();
        self.broken = true;
    }

    /// Sends what waits, then why it ends, and lets the peer read that, for at
    /// most `patience`.
    pub(super) async fn close(mut self, ending: Ending, patience: Duration) {
        if timeout(patience, Box::pin(self.closing(ending))).await.is_err() {
            tracing::debug!(reason = ending.reason, "a peer does not take the end");
        }
    }

    async fn closing(&mut self, ending: Ending) {
        while self.waiting() > 0 {
            match self.step(false).await {
                Step::Sent | Step::Heard(_) => {}
                Step::Broken(_) | Step::Gone => return,
            }
        }
        let close = CloseFrame { code: ending.code, reason: ending.reason.into() };
        if self.socket.send(Message::Close(Some(close))).await.is_err() {
            return;
        }
        if self.broken {
            if let Err(error) = discard(self.socket.get_mut()).await {
                tracing::debug!(%error, "a peer did not wait for the end");
            }
        } else {
            // Until the peer agrees.
            while let Some(Ok(_)) = self.socket.next().await {}
        }
    }
}

/// Says that nothing more is said, and reads whatever comes until the peer has
/// left.
async fn discard(paced: &mut Pace<TokioIo<Upgraded>>) -> io::Result<()> {
    let stream = paced.get_mut();
    stream.shutdown().await?;
    let mut waste = vec![0; READ_BYTES];
    let mut wasted = 0;
    while wasted < WASTE_BYTES {
        match stream.read(&mut waste).await? {
            0 => break,
            read => wasted += read,
        }
    }
    Ok(())
}

/// What an error of the library means.
fn broken(error: &Error) -> Step {
    let ending = match error {
        Error::Capacity(_) => Ending::new(CloseCode::Size, "a message may have 262144 bytes"),
        Error::Utf8(_) => Ending::new(CloseCode::Invalid, "text must be UTF-8"),
        Error::Io(error) => match error.get_ref().and_then(|it| it.downcast_ref()) {
            Some(Fault::TooFast) => Ending::new(CloseCode::Policy, "too many frames"),
            Some(Fault::TooSlow) => Ending::new(CloseCode::Policy, "a message took too long"),
            None => return Step::Gone,
        },
        Error::Protocol(
            ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
        )
        | Error::ConnectionClosed
        | Error::AlreadyClosed => return Step::Gone,
        Error::Protocol(_) | Error::AttackAttempt => {
            Ending::new(CloseCode::Protocol, "this is not how WebSocket frames are made")
        }
        Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => Ending::new(CloseCode::Error, "the socket failed"),
    };
    Step::Broken(ending)
}
