//! `weir ask`: one question. The answer is all that goes to standard output.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line client")]

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use crate::client::{Client, Frame, Turn};
use crate::flags::Ask;
use crate::{Ended, decide, plain};

pub(crate) async fn run(flags: Ask) -> Ended {
    let question = question(flags.question)?;
    let client = Client::new(&flags.peer)?;
    let session = flags.session.unwrap_or_else(|| Uuid::now_v7().to_string());
    let turn = client.ask(&session, &question, flags.model.as_deref()).await?;
    if flags.json {
        return follow(&client, &session, turn, &mut Lines).await;
    }
    follow(&client, &session, turn, &mut Prose::default()).await
}

fn question(given: Option<String>) -> anyhow::Result<String> {
    let question = match given {
        Some(text) if text != "-" => text,
        Some(_) | None => {
            if std::io::stdin().is_terminal() {
                eprintln!("weir: reading the question from the terminal; end it with Ctrl-D");
            }
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input")?;
            text
        }
    };
    if question.trim().is_empty() {
        bail!("there is no question");
    }
    Ok(question)
}

/// How a turn's events are shown.
pub(crate) trait Show {
    fn show(&mut self, frame: &Frame) -> std::io::Result<()>;
}

/// Shows a turn to its end. Ctrl-C stops the turn, and its end is still shown.
pub(crate) async fn follow(
    client: &Client,
    session: &str,
    mut turn: Turn,
    show: &mut impl Show,
) -> Ended {
    let mut stopped = false;
    loop {
        let frame = tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => None,
            frame = turn.next() => Some(frame?),
        };
        match frame {
            None if stopped => return Ok(ExitCode::from(130)),
            None => {
                stopped = true;
                client.cancel(session, Some(turn.id())).await?;
            }
            Some(None) => return Ok(ExitCode::SUCCESS),
            Some(Some(frame)) => {
                show.show(&frame)?;
                match frame.kind.as_str() {
                    "failed" => return Ok(ExitCode::FAILURE),
                    "cancelled" | "deleted" => return Ok(ExitCode::from(130)),
                    _ => {}
                }
            }
        }
    }
}

/// Every event as one line of JSON, its kind first.
pub(crate) struct Lines;

impl Show for Lines {
    fn show(&mut self, frame: &Frame) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let data = frame.data.strip_prefix('{').unwrap_or(&frame.data);
        let id = frame.id.as_ref().map(|it| format!("\"id\":\"{it}\",")).unwrap_or_default();
        writeln!(out, "{{\"event\":\"{}\",{id}{data}", frame.kind)
    }
}

/// The answer as text; sources and everything else on standard error.
#[derive(Debug, Default)]
pub(crate) struct Prose {
    text: Pieces,
    /// With the number of the event that named each.
    sources: Vec<(u64, String)>,
    shown: bool,
}

/// The text so far, each piece with the number of its event.
#[derive(Debug, Default)]
struct Pieces(Vec<(u64, String)>);

impl Pieces {
    /// Takes back what came after an event; the text that is left, if any of it
    /// is gone.
    fn rewind(&mut self, to: u64) -> Option<String> {
        let before = self.0.len();
        self.0.retain(|it| it.0 <= to);
        let gone = self.0.len() < before;
        gone.then(|| self.0.iter().map(|it| it.1.as_str()).collect())
    }
}

impl Show for Prose {
    fn show(&mut self, frame: &Frame) -> std::io::Result<()> {
        let value = frame.value();
        let index = value["index"].as_u64().unwrap_or_default();
        match frame.kind.as_str() {
            "text" => {
                let text = value["text"].as_str().unwrap_or_default();
                self.text.0.push((index, text.to_owned()));
                self.shown = true;
                return print(text);
            }
            "citation" => self.cite(index, &value["citation"]),
            "rewind" => return self.rewind(value["rewind"]["to"].as_u64().unwrap_or_default()),
            "gap" => {
                self.text = Pieces::default();
                eprintln!("[part of the answer is no longer kept]");
            }
            "failed" => {
                self.finish();
                let message = value["failed"]["message"].as_str().unwrap_or("failed");
                eprintln!("weir: {}", plain::line(message));
            }
            "cancelled" => {
                self.finish();
                eprintln!("[stopped]");
            }
            "completed" => self.finish(),
            "interrupted" => {
                self.finish();
                let session = value["sessionId"].as_str().unwrap_or_default();
                let calls = value["interrupted"]["calls"].as_array();
                eprint!("{}", decide::wanted(session, calls.map_or(&[], Vec::as_slice)));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Prose {
    /// What was printed stays where it is: the answer is printed anew, as far as
    /// it stands.
    fn rewind(&mut self, to: u64) -> std::io::Result<()> {
        self.sources.retain(|it| it.0 <= to);
        let Some(left) = self.text.rewind(to) else {
            return Ok(());
        };
        println!();
        eprintln!("[an earlier part is taken back; the answer begins again]");
        print(&left)
    }

    fn cite(&mut self, index: u64, it: &serde_json::Value) {
        let text = |name: &str| plain::line(it[name].as_str().unwrap_or_default());
        let source = format!(
            "[{}] {} ({}, line {})",
            it["number"],
            text("source"),
            text("heading"),
            it["firstLine"]
        );
        if !self.sources.iter().any(|it| it.1 == source) {
            self.sources.push((index, source));
        }
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.shown) {
            println!();
        }
        for (_, source) in self.sources.drain(..) {
            eprintln!("{source}");
        }
        self.text = Pieces::default();
    }
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    // A terminal obeys what a model says; a pipe gets it as it was said.
    if out.is_terminal() {
        out.write_all(plain::lines(text).as_bytes())?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_leaves_the_text_before_it_and_nothing_is_printed_twice_for_nothing() {
        let mut text = Pieces::default();
        for (index, piece) in [(2, "a"), (5, "b"), (9, "c")] {
            text.0.push((index, piece.to_owned()));
        }
        assert_eq!(text.rewind(9), None, "nothing is void");
        assert_eq!(text.rewind(7).as_deref(), Some("ab"));
        text.0.push((8, "d".to_owned()));
        // An event goes as a whole.
        assert_eq!(text.rewind(4).as_deref(), Some("a"));
        assert_eq!(text.rewind(0).as_deref(), Some(""));
        assert_eq!(text.rewind(0), None);
    }
}
