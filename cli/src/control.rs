//! The socket by which `weir jobs` reaches a process that holds the store.
//!
//! `weir.sock` in the data folder, for its owner only: one JSON request a line,
//! one JSON answer a line. Refuses other users, long lines and slow peers; a
//! socket that a killed process left behind is replaced by whoever holds the
//! folder's lock.

use std::fs::Permissions;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use broker::Broker;
use futures::{SinkExt as _, StreamExt as _};
use process::Lifecycle;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use crate::jobs::letters::{Answer, Request, answer};

/// Connections at once, and those that may wait for one.
const CONNECTIONS: usize = 4;
const BACKLOG: u32 = 16;
/// The longest request and the longest answer, in bytes. The largest letter,
/// every byte of it escaped, is less.
const REQUEST: usize = 64 * 1024;
const ANSWER: usize = 16 * 1024 * 1024;
/// How long a peer may be idle, and how long one request may take.
const IDLE: Duration = Duration::from_secs(10);
const WORK: Duration = Duration::from_secs(30);

/// Serves the jobs of a store in a folder until the drain. Without a folder
/// there is nothing to serve; what cannot be served is said, and no more.
pub(crate) fn serve(life: &Lifecycle, folder: Option<&Path>, broker: &Broker) {
    let Some(folder) = folder else { return };
    match Socket::bind(folder) {
        Ok(socket) => {
            let serving = accept(socket, broker.clone(), life.clone());
            life.serve("control", serving);
        }
        Err(error) => {
            let path = path(folder);
            tracing::warn!(?path, %error, "`weir jobs` works only while this process is stopped");
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("weir.sock")
}

/// A listening socket; its file is removed with it.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Socket {
    /// Only for the holder of the folder's lock.
    fn bind(folder: &Path) -> Result<Self> {
        let path = path(folder);
        match path.symlink_metadata() {
            Ok(there) if there.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => return Err(Error::new(ErrorKind::AlreadyExists, "it is no socket")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(&path)?;
        // Nobody can connect before it listens.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let owner = path.symlink_metadata()?.uid();
        Ok(Self { listener: socket.listen(BACKLOG)?, path, owner })
    }

    /// The next peer that may ask.
    async fn next(&self) -> Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if peer == self.owner || peer == 0 {
                return Ok(stream);
            }
            tracing::warn!(peer, "another user asked at the control socket");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket's file stays");
        }
    }
}

async fn accept(socket: Socket, broker: Broker, life: Lifecycle) -> Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = life.draining() => return Ok(()),
            accepted = async { (Arc::clone(&room).acquire_owned().await, socket.next().await) } => accepted,
        };
        match accepted {
            (Ok(room), Ok(stream)) => {
                let (broker, draining) = (broker.clone(), life.clone());
                life.spawn_as("control connections", async move {
                    tokio::select! {
                        biased;
                        done = converse(stream, &broker) => done,
                        () = draining.draining() => {}
                    }
                    drop(room);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "the control socket cannot accept; trying on");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_closed), Ok(_)) => return Ok(()),
        }
    }
}

/// Answers one request after the other.
async fn converse(stream: UnixStream, broker: &Broker) {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(REQUEST));
    while let Ok(Some(Ok(line))) = timeout(IDLE, lines.next()).await {
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => match timeout(WORK, Box::pin(answer(broker, request))).await {
                Ok(answer) => answer,
                Err(_elapsed) => Answer::Refused("the store did not answer in time".to_owned()),
            },
            Err(error) => Answer::Refused(format!("not a request: {error}")),
        };
        let Ok(answer) = serde_json::to_string(&answer) else { return };
        if !matches!(timeout(IDLE, lines.send(answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The other end: a process that holds the store.
#[derive(Debug)]
pub(crate) struct Remote(Framed<UnixStream, LinesCodec>);

impl Remote {
    /// `None` when nobody listens there.
    pub(crate) async fn connect(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = path(folder);
        match UnixStream::connect(&path).await {
            Ok(stream) => {
                let codec = LinesCodec::new_with_max_length(ANSWER);
                Ok(Some(Self(Framed::new(stream, codec))))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            // Longer than a socket's name may be: there is none.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Asks once; `Answer::Refused` is an answer too.
    pub(crate) async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer> {
        self.0.send(serde_json::to_string(request)?).await.context("the running weir")?;
        match timeout(WORK + IDLE, self.0.next()).await {
            Ok(Some(line)) => {
                serde_json::from_str(&line?).context("the running weir answers in another format")
            }
            Ok(None) => bail!("the running weir ended before it answered; try again"),
            Err(_elapsed) => bail!("the running weir does not answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Limits;
    use broker::sqlite::{Place, open};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const GRACE: Duration = Duration::from_secs(20);

    async fn served(folder: &Path) -> Lifecycle {
        let broker = open(Place::Memory, Limits::default()).await.unwrap();
        let life = Lifecycle::new();
        serve(&life, Some(folder), &broker);
        life
    }

    async fn depth(folder: &Path) -> Answer {
        let mut remote = Remote::connect(folder).await.unwrap().unwrap();
        remote.ask(&Request::Depth {}).await.unwrap()
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Remote::connect(folder.path()).await.unwrap().is_none());
        let life = served(folder.path()).await;
        let mode = path(folder.path()).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(depth(folder.path()).await, Answer::Depth(0));
        life.drain();
        life.wait(GRACE).await.unwrap();
        assert!(!path(folder.path()).exists());
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let left = std::os::unix::net::UnixListener::bind(path(folder.path())).unwrap();
        drop(left);
        assert!(Remote::connect(folder.path()).await.unwrap().is_none());
        let life = served(folder.path()).await;
        assert_eq!(depth(folder.path()).await, Answer::Depth(0));
        life.abort();
        life.wait(GRACE).await.unwrap();

        std::fs::write(path(folder.path()), "mine").unwrap();
        served(folder.path()).await;
        assert_eq!(std::fs::read(path(folder.path())).unwrap(), b"mine");
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_too_much_of_it_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let life = served(folder.path()).await;
        let mut stream = UnixStream::connect(path(folder.path())).await.unwrap();
        stream.write_all(b"{\"do\":\"format\"}\nnonsense\n").await.unwrap();
        let mut said = [0; 4096];
        let mut text = String::new();
        while text.matches('\n').count() < 2 {
            let read = stream.read(&mut said).await.unwrap();
            text += std::str::from_utf8(&said[..read]).unwrap();
        }
        assert_eq!(text.matches("not a request").count(), 2, "{text}");

        // It may be gone before all was sent.
        drop(stream.write_all(&vec![b'x'; 2 * REQUEST]).await);
        let ended = stream.read(&mut said).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
        life.abort();
    }

    #[tokio::test]
    async fn idle_peers_do_not_hold_a_drain() {
        let folder = tempfile::tempdir().unwrap();
        let life = served(folder.path()).await;
        let mut peers = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut remote = Remote::connect(folder.path()).await.unwrap().unwrap();
            remote.ask(&Request::Depth {}).await.unwrap();
            peers.push(remote);
        }
        life.drain();
        let began = tokio::time::Instant::now();
        assert_eq!(life.wait(GRACE).await, Ok(process::Outcome::Drained));
        assert!(began.elapsed() < IDLE / 2);
    }
}
