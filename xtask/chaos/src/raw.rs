//! A reader that is nothing but a socket: cheap enough to have thousands, and
//! with a will of its own about when to read.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use testkit::sse::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long a gateway may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest head of an answer, in bytes.
const HEAD: usize = 16 * 1024;

/// A stream of a session's events, as the bytes come. The request is one of
/// HTTP/1.0, so that they come without chunks.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Whether the other end has closed.
    ended: bool,
}

impl Raw {
    /// Asks a gateway for a session's events after a position or `now`; `window`
    /// bytes are what the system may take before somebody reads.
    pub async fn open(
        gateway: SocketAddr,
        (user, session, after): (&str, &str, &str),
        window: Option<u32>,
    ) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(window) = window {
            socket.set_recv_buffer_size(window)?;
        }
        let mut stream = timeout(PATIENCE, socket.connect(gateway)).await??;
        let request = format!(
            "GET /v1/sessions/{session}/events?userId={user}&after={after} HTTP/1.0\r\n\
             host: {gateway}\r\naccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        Ok(Self { stream, ended: false })
    }

    /// Reads the head of the answer, which must be a 200.
    pub async fn head(&mut self) -> Result<()> {
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD {
                head.push(self.stream.read_u8().await?);
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, read).await.context("no head came")??;
        let first = String::from_utf8_lossy(&head);
        ensure!(first.starts_with("HTTP/1.") && first[8..].starts_with(" 200"), "{first}");
        Ok(())
    }

    /// Reads what is there, up to so many bytes, without waiting.
    pub fn take(&mut self, into: &mut Vec<u8>, most: usize) {
        let mut buffer = [0; 4096];
        let until = into.len() + most;
        while into.len() < until {
            let room = buffer.len().min(until - into.len());
            match self.stream.try_read(&mut buffer[..room]) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    into.extend_from_slice(&buffer[..read]);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_broken) => self.ended = true,
            }
            return;
        }
    }

    /// Whether the stream was seen to end.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Reads on until nothing comes for so long, or the end.
    pub async fn drain(&mut self, into: &mut Vec<u8>, quiet: Duration) {
        while !self.ended {
            self.take(into, usize::MAX / 2);
            if !self.ended && timeout(quiet, self.stream.readable()).await.is_err() {
                return;
            }
        }
    }
}

/// The whole frames with data in these bytes.
pub fn frames(bytes: &[u8]) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|it| it == b"\n\n") {
        let (frame, behind) = rest.split_at(end + 2);
        frames.push(Frame::parse(Bytes::copy_from_slice(frame))?);
        rest = behind;
    }
    frames.retain(|it| it.data.is_some());
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_frames_with_data_are_told() {
        let told = frames(b"retry: 1000\n\nid: 1\ndata: a\n\n:\n\nid: 2\ndata: b").unwrap();
        assert_eq!(told.iter().map(|it| it.id.as_deref()).collect::<Vec<_>>(), [Some("1")]);
    }
}
