//! The line one types on: edited, completed, remembered. What is pasted keeps
//! its lines. Where no terminal types, lines are read as they come.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use process::environment;
use rustyline::completion::{Completer, Pair};
use rustyline::config::Configurer as _;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ColorMode, CompletionType, ConditionalEventHandler, Config, Context, Event, EventContext,
    EventHandler, Helper, KeyCode, KeyEvent, Modifiers, Movement, RepeatCount,
};

use super::command;
use super::history::{History, MOST};
use super::interrupts::Interrupts;
use crate::terminal::{Paint, Style};

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
    /// Away while it waits for a line.
    inner: Option<Inner>,
    history: History,
    interactive: bool,
    /// Whether keys come one by one: Ctrl-C is one of them then.
    raw: bool,
    go_on: GoOn,
}

impl Editor {
    pub(super) fn new(history: History) -> anyhow::Result<Self> {
        let style = Style::of(&std::io::stdout());
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .color_mode(if style.is_drawn() { ColorMode::Enabled } else { ColorMode::Disabled })
            .max_history_size(MOST)?
            .build();
        let kept = MemHistory::with_config(&config);
        let mut inner = Inner::with_history(config, kept)?;
        inner.set_auto_add_history(false);
        inner.set_helper(Some(Known { style, ..Known::default() }));
        let go_on = GoOn::default();
        let alt = |code| Event::from(KeyEvent(code, Modifiers::ALT));
        inner.bind_sequence(alt(KeyCode::Enter), Cmd::Newline);
        let on = |code, keys, handler: Box<dyn ConditionalEventHandler>| {
            (Event::from(KeyEvent(code, keys)), EventHandler::Conditional(handler))
        };
        let (event, handler) = on(KeyCode::Enter, Modifiers::NONE, Box::new(go_on.clone()));
        inner.bind_sequence(event, handler);
        let (event, handler) = on(KeyCode::Char('C'), Modifiers::CTRL, Box::new(Clear));
        inner.bind_sequence(event, handler);
        let dumb = environment::get("TERM").is_some_and(|it| it == "dumb");
        let interactive = std::io::stdin().is_terminal();
        let raw = interactive && !dumb;
        let mut editor = Self { inner: Some(inner), history, interactive, raw, go_on };
        let lines = editor.history.read();
        editor.remember(&lines)?;
        Ok(editor)
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

    /// Waits for a line; `initial` stands there already.
    pub(super) async fn read(
        &mut self,
        prompt: &str,
        initial: &str,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Typed> {
        let mut inner = self.inner.take().context("somebody else reads")?;
        let (prompt, initial) = (prompt.to_owned(), initial.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            let line = inner.readline_with_initial(&prompt, (&initial, ""));
            (inner, line)
        });
        let (back, line) = tokio::select! {
            biased;
            // It waits on in its thread, which ends with the process.
            () = interrupts.next(), if !self.raw => return Ok(Typed::Left),
            read = reading => read?,
        };
        self.inner = Some(back);
        match line {
            Ok(line) => Ok(Typed::Line(self.go_on.joined(line))),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::Over),
            Err(error) => Err(error.into()),
        }
    }
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
