//! A server as a process of ours: what it gets, what is heard of it, its end.
//!
//! It gets `PATH`, `HOME` and what is configured, nothing else of our
//! environment. It has a process group of its own, which dies with it.
//! Refuses one that says too much, or reads too little.

mod flow;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use process::{Lifecycle, environment};
use rmcp::RoleClient;
use rmcp::transport::async_rw::AsyncRwTransport;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::MAX_MESSAGE;
use flow::{Bucket, Paced};

/// How long a process may take to end after its input was closed.
const GRACE: Duration = Duration::from_secs(2);
/// How long its last words on its standard error are waited for; what it
/// started may hold that open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Bytes of a line of its standard error.
const MAX_LINE: usize = 1024;
/// Lines of its standard error in a second.
const MAX_LINES: u32 = 50;
/// What is left in the place of a secret.
const HIDDEN: &str = "[hidden]";

/// A running process. Dropping it kills it and all that it started.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    /// Dropped when it has ended.
    _ended: DropGuard,
}

/// How it is spoken to.
pub(super) type Streams = Paced<AsyncRwTransport<RoleClient, Bounded<ChildStdout>, ChildStdin>>;

impl Process {
    /// Starts a server; what it says on its standard error is logged.
    pub(super) fn start(
        server: &str,
        command: &Path,
        args: &[String],
        env: &BTreeMap<String, SecretString>,
        life: &Lifecycle,
    ) -> io::Result<(Self, Streams)> {
        let mut starting = Command::new(command);
        starting.args(args).env_clear().kill_on_drop(true).process_group(0);
        starting.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["PATH", "HOME"] {
            if let Some(value) = environment::get(name) {
                starting.env(name, value);
            }
        }
        starting.envs(env.iter().map(|(name, value)| (name, value.expose_secret())));
        let mut child = starting.spawn()?;
        let gone = || io::Error::other("a standard stream is missing");
        let input = child.stdin.take().ok_or_else(gone)?;
        let output = child.stdout.take().ok_or_else(gone)?;
        let errors = child.stderr.take().ok_or_else(gone)?;
        let group = child.id().and_then(|it| Pid::from_raw(it.try_into().ok()?));
        let secrets = env.values().cloned().collect();
        let ended = CancellationToken::new();
        life.spawn(log(errors, Log::new(server, secrets), ended.clone()));
        let streams = AsyncRwTransport::new_client(Bounded::new(output), input);
        Ok((Self { child, group, _ended: ended.drop_guard() }, Paced::new(streams)))
    }

    /// Its id, until it has ended.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end, which its closed input asks for, and then insists.
    pub(super) async fn end(mut self) {
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.kill();
            // It cannot refuse; an error would be that it is gone.
            drop(self.child.wait().await);
        }
        // What it started and left behind.
        self.kill();
        self.group = None;
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // An error: there is nothing left to kill.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if self.child.id().is_some() {
            self.kill();
        }
    }
}

/// Its standard output, which breaks at a line that is too long, as whoever reads
/// it would hold the line whole, and at too many lines.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    inner: R,
    line: usize,
    lines: Bucket,
}

impl<R> Bounded<R> {
    fn new(inner: R) -> Self {
        Self { inner, line: 0, lines: Bucket::new() }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Bounded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        // What is read at once is short: only the line that it goes on with, or
        // leaves open, can be long.
        let longest = self.line + read.iter().position(|it| *it == b'\n').unwrap_or(read.len());
        self.line = match read.iter().rposition(|it| *it == b'\n') {
            Some(end) => read.len() - end - 1,
            None => self.line + read.len(),
        };
        let lines = read.split(|it| *it == b'\n').count() - 1;
        let reason = if longest > MAX_MESSAGE {
            format!("a line of more than {MAX_MESSAGE} bytes")
        } else if let Err(reason) = self.lines.take(lines) {
            reason
        } else {
            return Poll::Ready(Ok(()));
        };
        tracing::warn!(reason, "an MCP server is cut off");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
    }
}

/// Logs what a server says on its standard error, until it closes it or has ended.
async fn log(mut errors: ChildStderr, mut log: Log, ended: CancellationToken) {
    let mut chunk = [0; 1024];
    let over = async {
        ended.cancelled().await;
        sleep(LAST_WORDS).await;
    };
    tokio::pin!(over);
    loop {
        let read = tokio::select! {
            biased;
            () = &mut over => return log.line_ends(),
            read = errors.read(&mut chunk) => read,
        };
        match read {
            Ok(0) | Err(_) => return log.line_ends(),
            Ok(read) => log.add(&chunk[..read]),
        }
    }
}

/// Lines on their way to the log: shortened, counted, without secrets.
struct Log {
    server: String,
    secrets: Vec<SecretString>,
    line: Vec<u8>,
    since: Instant,
    lines: u32,
}

impl Log {
    fn new(server: &str, secrets: Vec<SecretString>) -> Self {
        let (server, line) = (server.to_owned(), Vec::new());
        Self { server, secrets, line, since: Instant::now(), lines: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.line_ends();
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
    }

    fn line_ends(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = hidden(String::from_utf8_lossy(&line).trim_end(), &self.secrets);
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.since, self.lines) = (Instant::now(), 0);
        }
        self.lines = self.lines.saturating_add(1);
        if line.is_empty() || self.lines > MAX_LINES {
            return;
        }
        tracing::info!(mcp.server = self.server, line, "an MCP server says");
        if self.lines == MAX_LINES {
            tracing::warn!(mcp.server = self.server, "it says too much; some is left out");
        }
    }
}

/// The line without the values that the server was given.
fn hidden(line: &str, secrets: &[SecretString]) -> String {
    // Shorter ones are words, not secrets.
    let secrets = secrets.iter().map(ExposeSecret::expose_secret).filter(|it| it.len() > 3);
    secrets.fold(line.to_owned(), |line, secret| line.replace(secret, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_breaks_at_a_line_that_is_too_long_and_not_before() {
        let line = "x".repeat(MAX_MESSAGE) + "\n";
        let good = format!("{line}{line}");
        let bad = format!("{line}y{line}");
        // Reads pieces, as a pipe gives them.
        let read = async |text: &str| {
            let mut reader = Bounded::new(text.as_bytes());
            tokio::io::copy(&mut reader, &mut tokio::io::sink()).await
        };
        assert_eq!(read(&good).await.unwrap(), good.len() as u64);
        let error = read(&bad).await.unwrap_err();
        assert!(error.to_string().contains("8388608 bytes"), "{error}");
    }

    #[tokio::test]
    async fn output_breaks_at_too_many_lines_and_not_before() {
        let read = async |lines: usize| {
            let text = "{}\n".repeat(lines);
            let mut reader = Bounded::new(text.as_bytes());
            tokio::io::copy(&mut reader, &mut tokio::io::sink()).await
        };
        assert_eq!(read(2_000).await.unwrap(), 6_000);
        let error = read(200_000).await.unwrap_err();
        assert!(error.to_string().contains("2000 messages"), "{error}");
    }

    #[test]
    fn a_line_of_the_log_is_short_and_without_secrets() {
        let secrets = vec![SecretString::from("s3cret-token"), SecretString::from("on")];
        let mut log = Log::new("files", secrets.clone());
        log.add(&[b'x'; 10 * MAX_LINE]);
        assert_eq!(log.line.len(), MAX_LINE);
        assert_eq!(hidden("token=s3cret-token, on", &secrets), "token=[hidden], on");
    }
}
