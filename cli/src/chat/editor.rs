//! The line one types on: edited, completed, remembered. What is pasted keeps
//! its lines. Where no terminal types, lines are read as they come.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use process::environment;
use rustyline::completion::{Completer, Pair};
use rustyline::config::{Behavior, Configurer as _};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory, SearchDirection};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Event, EventContext,
    EventHandler, Helper, KeyCode, KeyEvent, Modifiers, Movement, RepeatCount,
};

use super::echo::{Keys, drop_typed};
use super::history::{History, MOST};
use super::interrupts::Interrupts;
use super::{command, lines};
use crate::output;
use crate::terminal::{Paint, Style};

/// The terminal that started the process.
pub(super) const TERMINAL: &str = "/dev/tty";

type Inner = rustyline::Editor<Known, MemHistory>;

/// What came of asking for a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C where nothing was typed.
    Interrupted,
    /// There will be no more.
    Over,
    /// Ctrl-C where keys are not heard one by one: no more can be read.
    Left,
}

/// The line that is typed on.
pub(super) struct Editor {
    /// Away while it waits for a line, and where keys are not heard one by one.
    inner: Option<Inner>,
    history: History,
    interactive: bool,
    /// Whether keys come one by one: Ctrl-C is one of them then.
    raw: bool,
    go_on: GoOn,
    /// Whether the person has left: somebody still waits for his next line.
    left: bool,
}

impl Editor {
    pub(super) fn new(history: History) -> anyhow::Result<Self> {
        let drawn = std::io::stdout().is_terminal();
        let style =
            if drawn { Style::of(&std::io::stdout()) } else { Style::of(&std::io::stderr()) };
        let go_on = GoOn::default();
        let dumb = environment::get("TERM").is_some_and(|it| it == "dumb");
        let interactive = std::io::stdin().is_terminal();
        let raw = interactive && !dumb && (drawn || has_terminal());
        let known = Known { style, ..Known::default() };
        let inner = if raw { Some(inner(known, &go_on)?) } else { None };
        let mut editor = Self { inner, history, interactive, raw, go_on, left: false };
        let lines = editor.history.read();
        editor.remember(&lines)?;
        Ok(editor)
    }

    /// Drops what was typed and not read yet: it was not typed about what is asked
    /// now.
    pub(super) fn drop_early(&mut self) -> anyhow::Result<()> {
        drop_typed();
        let Some(mut old) = self.inner.take() else { return Ok(()) };
        // What it has read ahead goes with it.
        let kept = old.history();
        let line = |at| kept.get(at, SearchDirection::Forward).ok().flatten();
        let lines: Vec<_> =
            (0..kept.len()).filter_map(line).map(|it| it.entry.into_owned()).collect();
        let known = old.helper_mut().map(std::mem::take).unwrap_or_default();
        drop(old);
        self.inner = Some(inner(known, &self.go_on)?);
        self.remember(&lines)
    }

    /// Whether a text can stand on the line already.
    pub(super) fn is_prefilled(&self) -> bool {
        self.raw
    }

    /// Whether a person types.
    pub(super) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// What Tab completes besides commands.
    pub(super) fn knows(&mut self, sessions: Option<Vec<String>>, models: Option<Vec<String>>) {
        let Some(known) = self.inner.as_mut().and_then(Inner::helper_mut) else { return };
        known.sessions = sessions.unwrap_or_else(|| std::mem::take(&mut known.sessions));
        known.models = models.unwrap_or_else(|| std::mem::take(&mut known.models));
    }

    /// Keeps a line for the next times. A history that cannot be written is no
    /// reason to stop.
    pub(super) fn keep(&mut self, line: &str) -> anyhow::Result<()> {
        let lines = self.history.add(line);
        if let Ok(lines) = &lines
            && !lines.is_empty()
        {
            return self.remember(lines);
        }
        if let Some(inner) = &mut self.inner {
            inner.add_history_entry(line)?;
        }
        lines.map(drop).context("the history is not kept")
    }

    fn remember(&mut self, lines: &[String]) -> anyhow::Result<()> {
        let Some(inner) = &mut self.inner else { return Ok(()) };
        inner.clear_history()?;
        for line in lines {
            inner.history_mut().add(line)?;
        }
        Ok(())
    }

    /// Waits for a line; `initial` stands there already, where that can be.
    pub(super) async fn read(
        &mut self,
        prompt: &str,
        initial: &str,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Typed> {
        if !self.raw {
            return self.read_line(prompt, interrupts).await;
        }
        let mut inner = self.inner.take().context("somebody else reads")?;
        let (prompt, initial, _keys) = (prompt.to_owned(), initial.to_owned(), Keys::begin());
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = inner.readline_with_initial(&prompt, (&initial, ""));
            (inner, line)
        })
        .await?;
        self.inner = Some(back);
        match line {
            Ok(line) => Ok(Typed::Line(self.go_on.joined(line))),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::Over),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_line(
        &mut self,
        prompt: &str,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Typed> {
        if self.left {
            return Ok(Typed::Left);
        }
        if self.interactive {
            output::say(prompt);
        }
        tokio::select! {
            biased;
            // It waits on in its thread, which ends with the process.
            () = interrupts.next() => {
                self.left = true;
                Ok(Typed::Left)
            }
            read = tokio::task::spawn_blocking(lines::read) => read?,
        }
    }
}

/// An editor that has read nothing yet.
fn inner(known: Known, go_on: &GoOn) -> anyhow::Result<Inner> {
    let drawn = std::io::stdout().is_terminal();
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(if known.style.is_drawn() { ColorMode::Enabled } else { ColorMode::Disabled })
        .behavior(if drawn { Behavior::Stdio } else { Behavior::PreferTerm })
        .max_history_size(MOST)?
        .build();
    let kept = MemHistory::with_config(&config);
    let mut inner = Inner::with_history(config, kept)?;
    inner.set_auto_add_history(false);
    inner.set_helper(Some(known));
    let on = |code, keys| Event::from(KeyEvent(code, keys));
    let does = |handler: Box<dyn ConditionalEventHandler>| EventHandler::Conditional(handler);
    inner.bind_sequence(on(KeyCode::Enter, Modifiers::ALT), Cmd::Newline);
    inner.bind_sequence(on(KeyCode::Enter, Modifiers::NONE), does(Box::new(go_on.clone())));
    inner.bind_sequence(on(KeyCode::Char('C'), Modifiers::CTRL), does(Box::new(Clear)));
    Ok(inner)
}

/// Whether there is a terminal beside what standard output goes to.
fn has_terminal() -> bool {
    cfg!(unix) && OpenOptions::new().read(true).write(true).open(TERMINAL).is_ok()
}

/// Enter behind a backslash goes on in the next line. It is told, so that the
/// backslashes are taken away then, and those of a pasted text are not.
#[derive(Debug, Clone, Default)]
struct GoOn(Arc<AtomicBool>);

impl GoOn {
    /// What was typed, without the backslashes that led to another line.
    fn joined(&self, line: String) -> String {
        if self.0.swap(false, Ordering::Relaxed) { line.replace("\\\n", "\n") } else { line }
    }
}

impl ConditionalEventHandler for GoOn {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, ctx: &EventContext<'_>) -> Option<Cmd> {
        let goes_on = ctx.line().ends_with('\\') && ctx.pos() == ctx.line().len();
        self.0.fetch_or(goes_on, Ordering::Relaxed);
        goes_on.then_some(Cmd::Newline)
    }
}

/// Ctrl-C takes back what was typed; where nothing is, it is told.
struct Clear;

impl ConditionalEventHandler for Clear {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, ctx: &EventContext<'_>) -> Option<Cmd> {
        let typed = !ctx.line().is_empty();
        Some(if typed { Cmd::Kill(Movement::WholeBuffer) } else { Cmd::Interrupt })
    }
}

/// What can be completed.
#[derive(Debug)]
struct Known {
    sessions: Vec<String>,
    models: Vec<String>,
    style: Style,
}

impl Default for Known {
    fn default() -> Self {
        Self { sessions: Vec::new(), models: Vec::new(), style: Style::Plain }
    }
}

impl Known {
    /// What the end of a line may become: from which byte on, and what.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let begins = |all: &mut dyn Iterator<Item = &str>, part: &str| {
            all.filter(|it| it.starts_with(part)).map(str::to_owned).collect::<Vec<_>>()
        };
        let Some((name, part)) = line.split_once(' ') else {
            let commands = if line.starts_with('/') {
                begins(&mut command::names(), line)
            } else {
                Vec::new()
            };
            return (0, commands);
        };
        let at = name.len() + 1;
        match name {
            "/resume" => (at, begins(&mut self.sessions.iter().map(String::as_str), part)),
            "/model" => (at, begins(&mut self.models.iter().map(String::as_str), part)),
            "/memory" => {
                let words = ["list", "add ", "forget ", "search "];
                (at, begins(&mut words.into_iter(), part))
            }
            _ => (line.len(), Vec::new()),
        }
    }
}

impl Completer for Known {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (at, found) = self.candidates(&line[..pos]);
        let pair = |it: String| Pair { display: it.clone(), replacement: it };
        Ok((at, found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Known {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if !line.starts_with('/') || line.contains(' ') || pos < line.len() || line.len() < 2 {
            return None;
        }
        let found = self.candidates(line).1;
        let rest = found.first()?.strip_prefix(line)?;
        (found.len() == 1 && !rest.is_empty()).then(|| rest.to_owned())
    }
}

impl Highlighter for Known {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        Cow::Owned(self.style.paint(Paint::Green, prompt))
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(self.style.paint(Paint::Dim, hint))
    }
}

impl Validator for Known {}

impl Helper for Known {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backslash_goes_only_where_it_led_to_another_line() {
        let go_on = GoOn::default();
        let pasted = "ls \\\n -l".to_owned();
        assert_eq!(go_on.joined(pasted.clone()), pasted);
        go_on.0.store(true, Ordering::Relaxed);
        assert_eq!(go_on.joined(pasted.clone()), "ls \n -l");
        assert_eq!(go_on.joined(pasted.clone()), pasted);
    }

    #[test]
    fn commands_sessions_and_models_are_completed_and_nothing_else() {
        let known = Known {
            sessions: vec!["abc".to_owned(), "abd".to_owned()],
            models: vec!["m/one".to_owned()],
            style: Style::Plain,
        };
        for (line, at, expected) in [
            ("/se", 0, &["/sessions"][..]),
            ("/re", 0, &["/resume", "/review", "/reasoning"]),
            ("/resume ab", 8, &["abc", "abd"]),
            ("/resume abc", 8, &["abc"]),
            ("/model ", 7, &["m/one"]),
            ("/memory a", 8, &["add "]),
            ("/export /et", 11, &[]),
            ("hello", 0, &[]),
        ] {
            let (from, found) = known.candidates(line);
            assert_eq!(
                (from, found.as_slice()),
                (at, expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>().as_slice()),
                "{line}"
            );
        }
    }
}
