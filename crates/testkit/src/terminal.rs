//! A program in a terminal of its own: a real pseudo-terminal, and a screen that
//! understands what is written to it.
//!
//! The program sees none of the caller's environment but what the command names,
//! has a home of its own, and is killed with its handle.

use std::fmt;
use std::io::{Read as _, Write};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Result, bail, ensure};
use portable_pty::{
    Child, ChildKiller, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system,
};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::PATIENCE;

/// The most of what was written that is kept as it was, in bytes.
const RAW: usize = 4 * 1024 * 1024;
/// Lines kept above the screen.
const SCROLLBACK: usize = 10_000;

/// Keys, as a terminal sends them.
pub mod keys {
    /// Enter.
    pub const ENTER: &str = "\r";
    /// Arrow up.
    pub const UP: &str = "\x1b[A";
    /// Arrow left.
    pub const LEFT: &str = "\x1b[D";
    /// Tab.
    pub const TAB: &str = "\t";
    /// Backspace.
    pub const BACKSPACE: &str = "\x7f";
    /// Ctrl-C.
    pub const CTRL_C: &str = "\x03";
    /// Ctrl-D.
    pub const CTRL_D: &str = "\x04";
    /// Alt-Enter.
    pub const ALT_ENTER: &str = "\x1b\r";
}

/// A running (or ended) program in a terminal.
pub struct Terminal {
    master: Mutex<Box<dyn MasterPty + Send>>,
    writer: Mutex<Box<dyn Write + Send>>,
    killer: Box<dyn ChildKiller + Send + Sync>,
    size: watch::Sender<(u16, u16)>,
    seen: watch::Receiver<Seen>,
    ended: watch::Receiver<Option<ExitStatus>>,
    _home: TempDir,
}

/// What a terminal has shown.
#[derive(Clone)]
pub struct Seen {
    screen: vt100::Screen,
    raw: Vec<u8>,
    over: bool,
}

impl Terminal {
    /// Starts the command in a terminal of so many rows and columns. Of the
    /// command its program, arguments and environment count; `TERM` is
    /// `xterm-256color` unless it says otherwise.
    pub fn start(command: &Command, (rows, columns): (u16, u16)) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let pair = native_pty_system().openpty(size(rows, columns))?;
        let child = pair.slave.spawn_command(builder(command, &home))?;
        drop(pair.slave);
        let reader = pair.master.try_clone_reader()?;
        let size = watch::Sender::new((rows, columns));
        let (ended, killer) = (watch::Sender::new(None), child.clone_killer());
        let screen = vt100::Parser::new(rows, columns, SCROLLBACK).screen().clone();
        let seen = watch::Sender::new(Seen { screen, raw: Vec::new(), over: false });
        let terminal = Self {
            writer: Mutex::new(pair.master.take_writer()?),
            master: Mutex::new(pair.master),
            killer,
            seen: seen.subscribe(),
            ended: ended.subscribe(),
            _home: home,
            size,
        };
        let resized = terminal.size.subscribe();
        thread::Builder::new().spawn(move || show(reader, &resized, &seen))?;
        thread::Builder::new().spawn(move || end(child, &ended))?;
        Ok(terminal)
    }

    /// Types; see [`keys`].
    pub fn press(&self, keys: &str) -> Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(keys.as_bytes())?;
        Ok(writer.flush()?)
    }

    /// Types a line and Enter.
    pub fn enter(&self, line: &str) -> Result<()> {
        self.press(line)?;
        self.press(keys::ENTER)
    }

    /// Pastes, as a terminal does that marks what is pasted.
    pub fn paste(&self, text: &str) -> Result<()> {
        self.press(&format!("\x1b[200~{}\x1b[201~", text.replace('\n', "\r")))
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        self.size.send_replace((rows, columns));
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.resize(size(rows, columns))
    }

    /// What is shown at this moment.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what is shown satisfies `found`. `what` names it in the error,
    /// with the screen, when the program ends before, or after 30 s.
    pub async fn wait_for(
        &self,
        what: &str,
        found: impl Fn(&Seen) -> bool + Send + Sync,
    ) -> Result<Seen> {
        let mut seen = self.seen.clone();
        let waited = timeout(PATIENCE, seen.wait_for(|it| it.over || found(it))).await;
        let seen = match waited {
            // As it was at that moment: it may be another one by now.
            Ok(Ok(seen)) => seen.clone(),
            Ok(Err(_)) | Err(_) => self.seen(),
        };
        if found(&seen) {
            return Ok(seen);
        }
        let end = if seen.over { "the program has ended" } else { "30 s are over" };
        bail!("no {what}: {end}; the screen:\n{}", seen.text())
    }

    /// Waits until a text stands on the screen.
    pub async fn wait_text(&self, text: &str) -> Result<Seen> {
        self.wait_for(text, |it| it.has(text)).await
    }

    /// Waits for the program's end and its last words; its exit code. An error
    /// after 30 s.
    pub async fn exit(&self) -> Result<u32> {
        let mut ended = self.ended.clone();
        let told = timeout(PATIENCE, ended.wait_for(Option::is_some))
            .await
            .map(|it| it.map(|it| code(&it)));
        let Ok(Ok(code)) = told else {
            bail!("still runs; the screen:\n{}", self.seen().text());
        };
        let mut seen = self.seen.clone();
        let over = timeout(PATIENCE, seen.wait_for(|it| it.over)).await.is_ok();
        ensure!(over, "somebody else holds the terminal");
        Ok(code)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error says that it has ended.
        drop(self.killer.kill());
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("screen", &self.seen().text()).finish_non_exhaustive()
    }
}

impl Seen {
    /// The screen as text, a line for each row, without the space at their ends.
    pub fn text(&self) -> String {
        let (_, columns) = self.screen.size();
        let rows: Vec<_> =
            self.screen.rows(0, columns).map(|it| it.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// The rows of the screen that show anything.
    pub fn rows(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Whether a text stands on the screen, in one row.
    pub fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Where a text first stands: row and column of its first cell.
    fn place(&self, text: &str) -> Option<(u16, u16)> {
        let (rows, columns) = self.screen.size();
        let starts = |row, column| {
            let rest = self.screen.contents_between(row, column, row, columns);
            rest.starts_with(text)
        };
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .find(|it| starts(it.0, it.1))
    }

    /// Whether a text stands on the screen with its first letter bold.
    pub fn is_bold(&self, text: &str) -> bool {
        let cell = self.place(text).and_then(|it| self.screen.cell(it.0, it.1));
        cell.is_some_and(vt100::Cell::bold)
    }

    /// Whether a text stands on the screen with its first letter in a colour.
    pub fn is_coloured(&self, text: &str) -> bool {
        let cell = self.place(text).and_then(|it| self.screen.cell(it.0, it.1));
        cell.is_some_and(|it| it.fgcolor() != vt100::Color::Default)
    }

    /// Row and column of the cursor.
    pub fn cursor(&self) -> (u16, u16) {
        self.screen.cursor_position()
    }

    /// Whether the program asked for pastes to be marked.
    pub fn takes_paste(&self) -> bool {
        self.screen.bracketed_paste()
    }

    /// Everything that was written, as it was; of more than 4 MiB the beginning.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn size(rows: u16, cols: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn builder(command: &Command, home: &TempDir) -> CommandBuilder {
    let command = command.as_std();
    let mut builder = CommandBuilder::new(command.get_program());
    builder.args(command.get_args());
    builder.env_clear();
    builder.env("HOME", home.path());
    builder.env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => builder.env(name, value),
            None => builder.env_remove(name),
        }
    }
    builder.cwd(command.get_current_dir().unwrap_or(home.path()));
    builder
}

/// Reads until the terminal is closed.
fn show(
    mut reader: Box<dyn std::io::Read + Send>,
    size: &watch::Receiver<(u16, u16)>,
    seen: &watch::Sender<Seen>,
) {
    let (rows, columns) = *size.borrow();
    let mut parser = vt100::Parser::new(rows, columns, SCROLLBACK);
    let mut buffer = [0; 8192];
    // On Linux the end of a terminal is an error.
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        let (rows, columns) = *size.borrow();
        if parser.screen().size() != (rows, columns) {
            parser.screen_mut().set_size(rows, columns);
        }
        parser.process(&buffer[..read]);
        seen.send_modify(|it| {
            it.screen = parser.screen().clone();
            let room = RAW.saturating_sub(it.raw.len()).min(read);
            it.raw.extend_from_slice(&buffer[..room]);
        });
    }
    seen.send_modify(|it| it.over = true);
}

fn code(status: &watch::Ref<'_, Option<ExitStatus>>) -> u32 {
    status.as_ref().map_or(u32::MAX, ExitStatus::exit_code)
}

fn end(mut child: Box<dyn Child + Send + Sync>, ended: &watch::Sender<Option<ExitStatus>>) {
    if let Ok(status) = child.wait() {
        ended.send_replace(Some(status));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::command;

    fn shell(script: &str) -> Terminal {
        Terminal::start(&command("/bin/sh", ["-c", script]), (10, 40)).unwrap()
    }

    #[tokio::test]
    async fn a_screen_is_read_as_it_is_seen_and_keys_reach_the_program() {
        let terminal = shell(
            "stty size; printf '\\033[1mfat\\033[0m \\033[31mred\\033[0m one\\rX\\n'; \
             read line; echo \"got $line\"; exit 3",
        );
        let seen = terminal.wait_text("red one").await.unwrap();
        assert_eq!(seen.rows(), ["10 40", "Xat red one"]);
        assert!(seen.is_bold("at red") && !seen.is_bold("red") && seen.is_coloured("red"));
        assert!(seen.raw().starts_with(b"10 40\r\n\x1b[1mfat"));
        terminal.enter("你好").unwrap();
        terminal.wait_text("got 你好").await.unwrap();
        assert_eq!(terminal.exit().await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_wait_that_is_in_vain_shows_the_screen() {
        let terminal = shell("echo here it is");
        let error = terminal.wait_text("elsewhere").await.unwrap_err().to_string();
        assert!(error.contains("no elsewhere") && error.contains("here it is"), "{error}");
    }

    #[tokio::test]
    async fn a_program_hears_of_another_size_and_of_interrupts() {
        let terminal = shell(
            "trap 'stty size' WINCH; trap 'echo caught; exit 5' INT; echo up; \
             while :; do sleep 0.05; done",
        );
        terminal.wait_text("up").await.unwrap();
        terminal.resize(12, 30).unwrap();
        terminal.wait_text("12 30").await.unwrap();
        terminal.press(keys::CTRL_C).unwrap();
        terminal.wait_text("caught").await.unwrap();
        assert_eq!(terminal.exit().await.unwrap(), 5);
    }
}
