//! Servers that are not what they should be.

use std::net::SocketAddr;

use anyhow::Result;
use process::Lifecycle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Answers of HTTP.
pub(super) const NOT_FOUND: &str =
    "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
pub(super) const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Something that says one thing to everybody who has said something; with an
/// empty text, nothing.
pub(super) struct Answering {
    address: SocketAddr,
    life: Lifecycle,
}

impl Answering {
    pub(super) async fn start(answer: &'static str) -> Result<Self> {
        Self::serving(move |stream| say(stream, answer)).await
    }

    async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, life) = (listener.local_addr()?, Lifecycle::new());
        let spawning = life.clone();
        life.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve(stream);
                // Who hangs up has heard enough.
                spawning.spawn(async move { drop(served.await) });
            }
        });
        Ok(Self { address, life })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn nats_url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.life.abort();
    }
}

async fn say(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    while stream.read(&mut heard).await? > 0 {
        stream.write_all(answer.as_bytes()).await?;
        if answer.contains("connection: close") {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

/// What greets as an old nats-server, and answers pings.
pub(super) async fn old_nats() -> Result<Answering> {
    const INFO: &str = "INFO {\"server_id\":\"A\",\"server_name\":\"a\",\"version\":\"2.10.0\",\
        \"go\":\"go1\",\"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\
        \"max_payload\":8388608,\"proto\":1,\"client_id\":1,\"jetstream\":true}\r\n";
    Answering::serving(async |mut stream: TcpStream| {
        stream.write_all(INFO.as_bytes()).await?;
        let mut heard = [0; 4096];
        loop {
            let read = stream.read(&mut heard).await?;
            if read == 0 {
                return Ok(());
            }
            if String::from_utf8_lossy(&heard[..read]).contains("PING") {
                stream.write_all(b"PONG\r\n").await?;
            }
        }
    })
    .await
}
