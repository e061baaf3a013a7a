//! An endpoint that answers every request with the same bytes, right or wrong.

use std::sync::{Arc, Mutex, PoisonError};

use process::Lifecycle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A running endpoint; dropping it closes its port.
pub(crate) struct Endpoint {
    url: String,
    seen: Arc<Mutex<Seen>>,
    life: Lifecycle,
}

/// What an endpoint has seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The requests, head and body.
    pub(crate) requests: Vec<String>,
    /// Bytes of answers that the connections took.
    pub(crate) written: usize,
}

impl Endpoint {
    /// Answers with these bytes and closes the connection; with `again`, says
    /// that over and over in between, until the caller hangs up.
    pub(crate) async fn start(answer: &[u8], again: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, life) = (Arc::<Mutex<Seen>>::default(), Lifecycle::new());
        let (notes, tasks, answer) = (Arc::clone(&seen), life.clone(), Arc::<[u8]>::from(answer));
        life.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (notes, answer) = (Arc::clone(&notes), Arc::clone(&answer));
                tasks.spawn(async move {
                    // That the caller hangs up is what some tests are about.
                    drop(serve(connection, &notes, &answer, again).await);
                });
            }
        });
        Self { url, seen, life }
    }

    /// A whole response of this status.
    pub(crate) async fn respond(status: &str, headers: &str, body: &str) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}");
        let length = body.len();
        Self::start(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes(), None).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.life.abort();
    }
}

async fn serve(
    mut connection: TcpStream,
    seen: &Mutex<Seen>,
    answer: &[u8],
    again: Option<&[u8]>,
) -> std::io::Result<()> {
    let request = request(&mut connection).await?;
    let note =
        |it: &dyn Fn(&mut Seen)| it(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    note(&|seen| seen.requests.push(request.clone()));
    connection.write_all(answer).await?;
    while let Some(more) = again {
        connection.write_all(more).await?;
        note(&|seen| seen.written += more.len());
    }
    connection.shutdown().await
}

/// Reads one request to the end of its body.
async fn request(connection: &mut TcpStream) -> std::io::Result<String> {
    let mut request = Vec::new();
    loop {
        if connection.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
        if length.is_none_or(|it| body.len() >= it.parse().unwrap_or(0)) {
            return Ok(text.into_owned());
        }
    }
}
