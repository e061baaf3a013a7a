//! Running commands one after the other: each says its name and its time, the
//! first that fails ends everything.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output")]

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How often a quiet command is looked after.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is told, where there is no terminal, that it still runs.
const SELDOM: Duration = Duration::from_secs(30);

/// How the last command ended: with this code.
#[derive(Debug)]
pub(crate) struct Ended(u8);

/// A cargo command in the workspace.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(crate::tools::root()).args(arguments);
    cargo
}

/// Says what begins.
pub(crate) fn section(name: &str, command: &Command) {
    println!("== {name}: {}", shown(command));
}

/// Runs a command; its failure is an error that shows it.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Ended> {
    section(name, command);
    let (status, took) = timed(command)?;
    done(name, command, (status, took))
}

/// The same for a command that fetches and installs, and is quiet about it: how
/// long it has taken is told meanwhile.
pub(crate) fn install(name: &str, command: &mut Command) -> Result<Ended> {
    section(name, command);
    let start = now();
    let child = command.spawn();
    let mut child = child.with_context(|| format!("cannot start {}", shown(command)))?;
    let mut waiting = Waiting { terminal: std::io::stderr().is_terminal(), told: 0 };
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(LOOK),
        }
        waiting.tell(name, start.elapsed());
    };
    waiting.end();
    done(name, command, (status, start.elapsed()))
}

/// What is said while somebody waits.
struct Waiting {
    terminal: bool,
    /// The second, or the half minute, that was told last.
    told: u64,
}

impl Waiting {
    fn tell(&mut self, name: &str, took: Duration) {
        let seconds = took.as_secs();
        let step = if self.terminal { seconds } else { seconds / SELDOM.as_secs() };
        if step == self.told {
            return;
        }
        self.told = step;
        if self.terminal {
            eprint!("\r   {seconds} s ");
        } else {
            eprintln!("   {name}: {seconds} s so far");
        }
    }

    fn end(&self) {
        if self.terminal && self.told > 0 {
            eprint!("\r{:16}\r", "");
        }
    }
}

fn done(name: &str, command: &Command, (status, took): (ExitStatus, Duration)) -> Result<Ended> {
    if !status.success() {
        bail!("{name} failed ({status}): {}", shown(command));
    }
    println!("   {name}: {:.1} s", took.as_secs_f64());
    Ok(Ended(0))
}

/// Runs a command whose own last lines are the last, however it ends.
pub(crate) fn last(mut command: Command) -> Result<Ended> {
    let (status, _) = timed(&mut command)?;
    let code = status.code().and_then(|it| it.try_into().ok());
    Ok(Ended(code.unwrap_or(1)))
}

/// The exit code of this process.
pub(crate) fn exit(ended: Result<Ended>) -> ExitCode {
    match ended {
        Ok(Ended(code)) => code.into(),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "no test pauses a build")]
    let now = Instant::now();
    now
}

fn timed(command: &mut Command) -> Result<(ExitStatus, Duration)> {
    let start = now();
    let status = command.status();
    let status = status.with_context(|| format!("cannot start {}", shown(command)))?;
    Ok((status, start.elapsed()))
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|it| quoted(&it.to_string_lossy())).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_alphanumeric() || "-_./=:,@+".contains(it);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}
