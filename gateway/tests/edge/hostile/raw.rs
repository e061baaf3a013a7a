//! Requests as bytes, so that nothing on the way makes them better than they
//! are meant to be.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::PATIENCE;

/// A request that is to be sent as it stands.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query, encoded.
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Option<Vec<u8>>,
    /// Whether it says how long its body is.
    pub(super) is_measured: bool,
}

/// An answer; no body of a stream.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Request {
    pub(super) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// In the place of those of the same name.
    pub(super) fn only(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|it| !it.0.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let mut lines = self.headers.clone();
        let has = |name: &str| self.headers.iter().any(|it| it.0.eq_ignore_ascii_case(name));
        if !has("host") {
            lines.insert(0, ("host".to_owned(), b"localhost".to_vec()));
        }
        if !has("connection") {
            lines.push(("connection".to_owned(), b"close".to_vec()));
        }
        if let Some(body) =
            self.body.as_ref().filter(|_| self.is_measured && !has("content-length"))
        {
            lines.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
        }
        for (name, value) in lines {
            bytes.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(self.body.iter().flatten());
        bytes
    }

    /// Sends it, and reads what is answered.
    pub(super) async fn send(&self, address: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may refuse, and close, before it has read everything.
        let _sent = stream.write_all(&self.bytes()).await;
        let read = timeout(PATIENCE, answer(&mut stream));
        let shown = format!("{} {}", self.method, self.target.chars().take(80).collect::<String>());
        read.await.unwrap_or_else(|_late| panic!("no answer to {shown}"))
    }
}

async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.unwrap_or_default() == 0 {
            let head = String::from_utf8_lossy(&bytes).into_owned();
            return Answer { status: 0, head, body: String::new() };
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default();
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length && stream.read_buf(&mut body).await.unwrap_or_default() > 0 {}
    answer.body = String::from_utf8_lossy(&body).into_owned();
    answer
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|it| it.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Every byte as a percent sequence.
pub(super) fn encoded(bytes: &[u8]) -> String {
    let sequences: Vec<_> = bytes.iter().map(|it| format!("%{it:02X}")).collect();
    sequences.concat()
}
