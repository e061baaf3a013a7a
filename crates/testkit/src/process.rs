//! The `weir` binary as a child process: its lines, its signals, its end.
//!
//! The child sees none of the caller's environment but `PATH`, has a home of
//! its own, and dies with its handle.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use ::process::Lifecycle;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::PATIENCE;

/// Lines kept of each stream; later ones are read and forgotten.
const LINES: usize = 20_000;

/// A running (or ended) process.
#[derive(Debug)]
pub struct Weir {
    child: Child,
    pid: Pid,
    output: Arc<watch::Sender<Output>>,
    life: Lifecycle,
    _home: TempDir,
}

/// What a process has written, line by line.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Lines of standard output.
    pub stdout: Vec<String>,
    /// Lines of standard error.
    pub stderr: Vec<String>,
    /// How many of the two streams have ended.
    ended: usize,
}

/// A command line with an empty environment but `PATH`. Add to it what the
/// test needs: `.env(…)`, `.stdin(Stdio::piped())`.
pub fn command<A: AsRef<OsStr>>(
    program: impl AsRef<Path>,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).env_clear().stdin(Stdio::null());
    for name in ["PATH", "RUST_BACKTRACE"] {
        if let Some(value) = ::process::environment::get(name) {
            command.env(name, value);
        }
    }
    command
}

impl Weir {
    /// Starts the command and waits until it has said `ready` on a line of its
    /// own. An error, with what it wrote, when it ends before or after 30 s.
    pub async fn start(command: Command) -> Result<Self> {
        let mut weir = Self::spawn(command)?;
        weir.ready().await?;
        Ok(weir)
    }

    /// Starts the command.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let has_home = command.as_std().get_envs().any(|(name, _)| name == "HOME");
        if !has_home {
            command.env("HOME", home.path());
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.with_context(|| format!("cannot start {:?}", command.as_std()))?;
        let pid = child.id().and_then(|it| Pid::from_raw(it.try_into().ok()?));
        let pid = pid.context("a process that just started has an id")?;
        let (output, life) = (Arc::new(watch::Sender::default()), Lifecycle::new());
        if let Some(stdout) = child.stdout.take() {
            life.spawn(read(stdout, Arc::clone(&output), |it| &mut it.stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            life.spawn(read(stderr, Arc::clone(&output), |it| &mut it.stderr));
        }
        Ok(Self { child, pid, output, life, _home: home })
    }

    /// Waits for the line `ready`; see [`Weir::start`].
    pub async fn ready(&mut self) -> Result<()> {
        self.wait_for("the line `ready`", |it| it.stdout.iter().any(|line| line.trim() == "ready"))
            .await
    }

    /// Waits until what was written satisfies `seen`. `what` names it in the
    /// error when the process ends before, or after 30 s.
    pub async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&Output) -> bool + Send + Sync,
    ) -> Result<()> {
        let mut output = self.output.subscribe();
        let over = |it: &Output| it.ended == 2 || seen(it);
        let waited = tokio::time::timeout(PATIENCE, output.wait_for(over)).await;
        let found = matches!(&waited, Ok(Ok(output)) if seen(output));
        drop(waited);
        if !found {
            let Output { stdout, stderr, .. } = self.output();
            bail!("no {what}\n{}\n{}", stdout.join("\n"), stderr.join("\n"));
        }
        Ok(())
    }

    /// The rest of the first line of standard output whose first word is `key`,
    /// such as `page` or `grpc`.
    pub fn value(&self, key: &str) -> Result<String> {
        let output = self.output.borrow();
        let rest = |line: &String| {
            Some(line.trim().strip_prefix(key)?.strip_prefix(' ')?.trim().to_owned())
        };
        let found = output.stdout.iter().find_map(rest);
        found.with_context(|| format!("no line starts with `{key}`: {:?}", output.stdout))
    }

    /// Everything written so far.
    pub fn output(&self) -> Output {
        self.output.borrow().clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Writes a line to its standard input, which the command made a pipe.
    pub async fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("standard input is no pipe")?;
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        Ok(stdin.flush().await?)
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM: asks it to drain. [`Weir::exit`] waits for the end.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGINT, as Ctrl-C sends it.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// SIGSTOP: it stands still, connections open, until [`Weir::resume`].
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for its end and for its last line. An error after 30 s.
    pub async fn exit(&mut self) -> Result<ExitStatus> {
        drop(self.child.stdin.take());
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.with_context(|| format!("still runs: {:?}", self.output()))??;
        self.wait_for("end of its output", |it| it.ended == 2).await?;
        Ok(status)
    }

    /// Runs a command to its end: exit code (none: a signal) and output.
    pub async fn run(command: Command) -> Result<(Option<i32>, Output)> {
        let mut weir = Self::spawn(command)?;
        let status = weir.exit().await?;
        Ok((status.code(), weir.output()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        // Until it is waited for, the id is its own; afterwards it may be another's.
        self.child.id().context("it has ended")?;
        Ok(rustix::process::kill_process(self.pid, signal)?)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        self.life.abort();
    }
}

async fn read(
    stream: impl AsyncRead + Unpin,
    output: Arc<watch::Sender<Output>>,
    lines: fn(&mut Output) -> &mut Vec<String>,
) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        output.send_modify(|output| {
            let lines = lines(output);
            if lines.len() < LINES {
                lines.push(text);
            }
        });
    }
    output.send_modify(|output| output.ended += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        command("/bin/sh", ["-c", script])
    }

    #[tokio::test]
    async fn a_process_is_ready_when_it_says_so_and_its_values_are_read() {
        let weir = shell("echo 'page      http://127.0.0.1:1/'; echo ready; exec sleep 60");
        let mut weir = Weir::start(weir).await.unwrap();
        assert_eq!(weir.value("page").unwrap(), "http://127.0.0.1:1/");
        assert!(weir.value("pag").is_err());
        weir.terminate().unwrap();
        assert_eq!(weir.exit().await.unwrap().code(), None);
        assert!(weir.terminate().is_err());
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_is_an_error_with_its_words() {
        let error = Weir::start(shell("echo no port >&2; exit 1")).await.unwrap_err();
        assert!(error.to_string().contains("no port"), "{error}");
        let (code, output) = Weir::run(shell("echo out; exit 3")).await.unwrap();
        assert_eq!((code, output.stdout), (Some(3), vec!["out".to_owned()]));
    }

    #[tokio::test]
    async fn a_process_reads_what_is_said_to_it() {
        let mut cat = shell("exec cat");
        cat.stdin(Stdio::piped());
        let mut cat = Weir::spawn(cat).unwrap();
        cat.say("你好").await.unwrap();
        cat.wait_for("echo", |it| it.stdout == ["你好"]).await.unwrap();
        assert!(cat.exit().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_process_dies_with_its_handle() {
        let weir = Weir::start(shell("echo ready; exec sleep 60")).await.unwrap();
        let stat = format!("/proc/{}/stat", weir.pid());
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|it| !it.contains(") Z "));
        assert!(lives());
        drop(weir);
        while lives() {
            tokio::task::yield_now().await;
        }
    }
}
