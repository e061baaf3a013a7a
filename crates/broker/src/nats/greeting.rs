//! What a server says before anybody logs in: that it is one, and of which
//! version. For who looks why there is no connection; sends nothing.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::address;
use crate::Result;

/// The longest greeting, in bytes: a cluster lists its servers in it.
const MAX_GREETING: u64 = 64 * 1024;

/// What was found at the address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeted {
    /// Its host and port.
    pub place: String,
    /// What is there.
    pub found: Greeting,
    /// How long it took to say so.
    pub took: Duration,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// A NATS server.
    Server {
        /// Its version.
        version: String,
        /// Whether it has JetStream itself.
        jetstream: bool,
    },
    /// Nothing that a connection can be made to, and why.
    Unreached(String),
    /// Something that says other things.
    Stranger,
    /// Something that waits for the other side to speak first; a server that
    /// shakes hands first is one of them.
    Silent,
}

#[derive(Deserialize)]
struct Info {
    version: String,
    #[serde(default)]
    jetstream: bool,
}

/// Connects to each of the servers in a list of URLs, for so long at most, and
/// hears what it says first.
///
/// Errors: the list holds what is no URL of a server.
pub async fn greet(url: &str, time: Duration) -> Result<Vec<Greeted>> {
    let servers = address::servers(url)?;
    let greeted = servers.iter().map(|it| async move {
        let began = Instant::now();
        let heard = timeout(time, hear(it.host(), it.port())).await;
        let found = heard.unwrap_or(Greeting::Silent);
        let place = format!("{}:{}", it.host(), it.port());
        Greeted { place, found, took: began.elapsed() }
    });
    Ok(futures::future::join_all(greeted).await)
}

async fn hear(host: &str, port: u16) -> Greeting {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match TcpStream::connect((host, port)).await {
        Ok(stream) => heard(stream).await.unwrap_or(Greeting::Stranger),
        Err(error) => Greeting::Unreached(error.to_string()),
    }
}

async fn heard(stream: TcpStream) -> io::Result<Greeting> {
    let mut line = Vec::new();
    BufReader::new(stream).take(MAX_GREETING).read_until(b'\n', &mut line).await?;
    Ok(read(&line))
}

fn read(line: &[u8]) -> Greeting {
    let info = line.strip_prefix(b"INFO ").and_then(|it| serde_json::from_slice::<Info>(it).ok());
    info.map_or(Greeting::Stranger, |Info { version, jetstream }| Greeting::Server {
        version,
        jetstream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_a_servers_or_a_strangers() {
        let server = |jetstream| Greeting::Server { version: "2.15.1".to_owned(), jetstream };
        for (line, found) in [
            (&b"INFO {\"version\":\"2.15.1\",\"jetstream\":true}\r\n"[..], server(true)),
            (b"INFO {\"version\":\"2.15.1\"}\r\n", server(false)),
            (b"INFO {}\r\n", Greeting::Stranger),
            (b"HTTP/1.1 400 Bad Request\r\n", Greeting::Stranger),
            (b"", Greeting::Stranger),
        ] {
            assert_eq!(read(line), found, "{}", String::from_utf8_lossy(line));
        }
    }

    #[tokio::test]
    async fn nothing_there_and_silence_are_told_apart_and_no_login_is_shown() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = closed.local_addr().unwrap();
        drop(closed);
        let url = format!("nats://me:canary@{silent},nats://{gone}");
        let greeted = greet(&url, Duration::from_millis(200)).await.unwrap();
        assert_eq!(greeted[0].found, Greeting::Silent);
        assert!(matches!(greeted[1].found, Greeting::Unreached(_)), "{greeted:?}");
        assert!(!format!("{greeted:?}").contains("canary"));
    }
}
