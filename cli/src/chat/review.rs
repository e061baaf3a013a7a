//! Calls that wait for a human, one after the other: shown whole, decided here.
//! What cannot be sent as it is typed is said, and asked again.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use process::environment;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Conversation;
use super::answer::field;
use super::asking::{Due, Source, due};
use super::editor::{TERMINAL, Typed};
use super::history::owned_file;
use super::question::ExitStatus;
use crate::client::{Error, Problem};
use crate::terminal::Paint;
use crate::{banner, decide, plain};

/// The most lines of a call's arguments that are shown.
const LINES: usize = 60;

/// What is typed about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Accept,
    Edit,
    /// With the reason, if it was given at once.
    Reject(String),
    /// With the answer, if it was given at once.
    Respond(String),
    Later,
}

/// What a person says about a call.
enum Said {
    Decided(Value),
    Later,
    /// The conversation is left.
    Leaves(ExitCode),
}

impl Conversation {
    /// Asks about every call, and sends what was decided; what is due then.
    pub(super) async fn review(&mut self, turn: &str, calls: &[Value]) -> anyhow::Result<Due> {
        if !self.editor.is_interactive() {
            self.screen.note(Paint::Yellow, &decide::wanted(&self.session, calls))?;
            // A next line would be a question, which closes the review.
            self.comes_to(ExitStatus::Waits);
            return Ok(Due::Leave(self.worst.into()));
        }
        let mut decisions = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            self.screen.space();
            self.screen
                .note(Paint::Bold, &format!("{} of {} waits for you", at + 1, calls.len()))?;
            self.screen.note(Paint::Dim, &shown(call))?;
            // Nobody decides about what he has not seen.
            self.editor.drop_early()?;
            match self.decision(call).await? {
                Said::Decided(answer) => decisions.push(decide::decision(call, answer)),
                Said::Later => {}
                Said::Leaves(code) => {
                    self.screen.note(Paint::Dim, "[nothing was sent: the calls wait]")?;
                    return Ok(Due::Leave(code));
                }
            }
        }
        if decisions.is_empty() {
            self.screen
                .note(Paint::Dim, "[later: /review asks again; a new question closes it]")?;
            return Ok(Due::Nothing);
        }
        self.decide(turn, &decisions).await
    }

    /// Sends what was decided, as often as the person likes.
    async fn decide(&mut self, turn: &str, decisions: &[Value]) -> anyhow::Result<Due> {
        const AGAIN: &str = "Enter sends the decisions again, anything else does not> ";
        let (client, session) = (self.client.clone(), self.session.clone());
        loop {
            self.interrupts.forget();
            let error = match self.sending(client.decide(&session, turn, decisions)).await {
                Ok(Some(turn)) => return Ok(Due::Follow(Source::Asked(Box::new(turn)))),
                Ok(None) => break,
                Err(Error::Refused(problem)) if !problem.status.is_server_error() => {
                    return self.overtaken(&problem).await;
                }
                Err(error) => error,
            };
            banner::error(&error.into());
            self.editor.drop_early()?;
            match self.editor.read(AGAIN, "", &mut self.interrupts).await? {
                Typed::Line(line) if line.trim().is_empty() => {}
                Typed::Line(_) | Typed::Interrupted => break,
                Typed::Over => return Ok(Due::Leave(ExitCode::SUCCESS)),
                Typed::Left => return Ok(Due::Leave(ExitCode::from(130))),
            }
        }
        self.screen.note(Paint::Yellow, "[left open, as far as is known: /review]")?;
        Ok(Due::Nothing)
    }

    /// What is due when the decisions were refused.
    async fn overtaken(&mut self, problem: &Problem) -> anyhow::Result<Due> {
        let elsewhere = ["already_decided", "review_closed", "nothing_pending"];
        let detail = plain::line(&problem.detail);
        if elsewhere.contains(&problem.code.as_str()) {
            let said = format!("[it was decided elsewhere meanwhile: {detail}]");
            self.screen.note(Paint::Yellow, &said)?;
        } else {
            self.screen.note(Paint::Red, &format!("weir: {detail}"))?;
        }
        self.open_review().await
    }

    /// What the session says is due now.
    pub(super) async fn open_review(&mut self) -> anyhow::Result<Due> {
        let (client, session) = (self.client.clone(), self.session.clone());
        let Some(told) = self.sending(client.session(&session)).await? else {
            return Ok(Due::Nothing);
        };
        Ok(due(&self.client, &self.session, &told))
    }

    /// What the person says about a call.
    async fn decision(&mut self, call: &Value) -> anyhow::Result<Said> {
        const ASKED: &str = "[a]ccept [e]dit [r]eject re[s]pond [l]ater> ";
        let mut interrupted = false;
        loop {
            let line = match self.editor.read(ASKED, "", &mut self.interrupts).await? {
                Typed::Line(line) => line,
                Typed::Over => return Ok(Said::Leaves(ExitCode::SUCCESS)),
                Typed::Left => return Ok(Said::Leaves(ExitCode::from(130))),
                Typed::Interrupted if interrupted => {
                    return Ok(Said::Leaves(ExitCode::from(130)));
                }
                Typed::Interrupted => {
                    interrupted = true;
                    self.screen.note(Paint::Dim, "[Ctrl-C again leaves, as Ctrl-D does]")?;
                    continue;
                }
            };
            interrupted = false;
            if let Some(said) = self.meant(&line, call).await? {
                return Ok(said);
            }
        }
    }

    /// What a line says about a call; `None` when the person thinks again.
    async fn meant(&mut self, line: &str, call: &Value) -> anyhow::Result<Option<Said>> {
        let answer = match word(line) {
            Some(Word::Accept) => return Ok(Some(Said::Decided(json!({ "type": "accept" })))),
            Some(Word::Edit) => self.edited(call).await?,
            Some(Word::Reject(why)) => {
                let why = self.told("why (Enter for no reason)> ", why, true).await?;
                why.map(|it| json!({ "type": "reject", "message": it }))
            }
            Some(Word::Respond(text)) => {
                let text = self.told("its result> ", text, false).await?;
                text.map(|it| json!({ "type": "respond", "message": it }))
            }
            Some(Word::Later) => return Ok(Some(Said::Later)),
            None => {
                let how = "type a, e, r, s or l; behind r the reason, behind s the result";
                self.screen.note(Paint::Yellow, how)?;
                None
            }
        };
        Ok(answer.map(Said::Decided))
    }

    /// A text that belongs to a decision; `None` when the person thinks again.
    async fn told(
        &mut self,
        prompt: &str,
        given: String,
        may_be_empty: bool,
    ) -> anyhow::Result<Option<String>> {
        if !given.is_empty() {
            return Ok(Some(given));
        }
        let typed = self.editor.read(prompt, "", &mut self.interrupts).await?;
        Ok(match typed {
            Typed::Line(line) if may_be_empty || !line.trim().is_empty() => Some(line),
            Typed::Line(_) | Typed::Interrupted | Typed::Over | Typed::Left => None,
        })
    }

    /// The call with other arguments; `None` when the person thinks again.
    async fn edited(&mut self, call: &Value) -> anyhow::Result<Option<Value>> {
        let mut text = call["arguments"].as_str().unwrap_or("{}").to_owned();
        loop {
            let edited = match program() {
                Some(program) => self.in_program(&program, &text).await,
                None => self.in_line(&text).await,
            };
            let edited = match edited {
                Ok(Some(edited)) => edited,
                Ok(None) => return Ok(None),
                Err(error) => {
                    banner::error(&error);
                    return Ok(None);
                }
            };
            match checked(&edited) {
                Ok(arguments) => {
                    return Ok(Some(json!({ "type": "edit", "arguments": arguments })));
                }
                Err(wrong) => {
                    self.screen.note(Paint::Red, &format!("{wrong}; once more"))?;
                    let again = "Enter edits it again, anything else does not> ";
                    if program().is_some()
                        && self.editor.read(again, "", &mut self.interrupts).await?
                            != Typed::Line(String::new())
                    {
                        return Ok(None);
                    }
                    text = edited;
                }
            }
        }
    }

    async fn in_line(&mut self, text: &str) -> anyhow::Result<Option<String>> {
        Ok(match self.editor.read("arguments> ", text, &mut self.interrupts).await? {
            Typed::Line(line) if !line.trim().is_empty() => Some(line),
            Typed::Line(_) | Typed::Interrupted | Typed::Over | Typed::Left => None,
        })
    }

    /// The person's own editor, on a file that only he can read.
    async fn in_program(&mut self, program: &str, text: &str) -> anyhow::Result<Option<String>> {
        let file = Scratch::new(&pretty(text))?;
        let mut words = program.split_whitespace();
        let name = words.next().context("no editor")?;
        let mut command = tokio::process::Command::new(name);
        command.args(words).arg(&file.0);
        if !std::io::stdout().is_terminal() {
            // It is no part of the answer.
            command.stdout(OpenOptions::new().write(true).open(TERMINAL)?);
        }
        let status = command.status().await;
        // Its Ctrl-C was not meant for this program.
        self.interrupts.forget();
        let status = status.with_context(|| format!("the editor {program}"))?;
        ensure!(status.success(), "the editor {program} ended with {status}");
        Ok(Some(std::fs::read_to_string(&file.0)?))
    }
}

/// A file that goes with its handle.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-{}.json", Uuid::now_v7()));
        let mut file = owned_file(&path)?;
        let scratch = Self(path);
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn program() -> Option<String> {
    let of = |name: &str| environment::get(name).filter(|it| !it.trim().is_empty());
    of("VISUAL").or_else(|| of("EDITOR"))
}

fn word(line: &str) -> Option<Word> {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    match (word.to_lowercase().as_str(), rest.is_empty()) {
        ("a" | "accept", true) => Some(Word::Accept),
        ("e" | "edit", true) => Some(Word::Edit),
        ("r" | "reject", _) => Some(Word::Reject(rest)),
        ("s" | "respond", _) => Some(Word::Respond(rest)),
        ("l" | "later", true) => Some(Word::Later),
        _ => None,
    }
}

/// Arguments as a call takes them, or what is wrong with them.
fn checked(text: &str) -> Result<String, String> {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) => Ok(value.to_string()),
        Ok(_) => Err("arguments are a JSON object, {…}".to_owned()),
        Err(error) => Err(format!("this is no JSON: {error}")),
    }
}

fn pretty(text: &str) -> String {
    let value = serde_json::from_str::<Value>(text);
    value.and_then(|it| serde_json::to_string_pretty(&it)).unwrap_or_else(|_| text.to_owned())
}

/// A call, whole, as plain text.
fn shown(call: &Value) -> String {
    let mut text = format!("  {}\n  tool       {}\n", field(call, "summary"), field(call, "name"));
    let why = match call["reason"].as_str() {
        Some("outcome_unknown") => "it was begun, and may have been made already",
        _ => "the tool's policy wants a human to see it",
    };
    let _infallible = writeln!(text, "  why        {why}");
    let arguments = pretty(call["arguments"].as_str().unwrap_or_default());
    let mut name = "arguments";
    for line in arguments.lines().take(LINES) {
        let _infallible = writeln!(text, "  {name:<10} {}", plain::line(line));
        name = "";
    }
    let more = arguments.lines().count().saturating_sub(LINES);
    if more > 0 {
        let _infallible = writeln!(text, "  … and {more} more lines: edit shows all of them");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_its_letter_decides_and_may_bring_its_text() {
        for (line, expected) in [
            ("a", Some(Word::Accept)),
            (" Accept ", Some(Word::Accept)),
            ("e", Some(Word::Edit)),
            ("r", Some(Word::Reject(String::new()))),
            ("reject too dear", Some(Word::Reject("too dear".to_owned()))),
            ("s 42", Some(Word::Respond("42".to_owned()))),
            ("later", Some(Word::Later)),
            ("", None),
            ("yes", None),
            ("accept it", None),
        ] {
            assert_eq!(word(line), expected, "{line}");
        }
    }

    #[test]
    fn arguments_are_an_object_and_a_call_is_shown_without_obeying_it() {
        assert_eq!(checked(" {\"a\": 1}\n").unwrap(), r#"{"a":1}"#);
        assert!(checked("[1]").unwrap_err().contains("object"));
        assert!(checked("{\"a\":").unwrap_err().contains("no JSON"));
        let call = json!({"name": "pay", "summary": "pay: \u{1b}[2J", "reason": "review",
            "arguments": "{\"to\":\"\u{9b}x\"}"});
        let text = shown(&call);
        assert!(text.contains("tool       pay\n") && text.contains("\"to\": "), "{text}");
        assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
    }
}
