//! `weir ask`: one question. The answer is all that goes to standard output.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line client")]

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use crate::client::{Client, Frame, Turn};
use crate::flags::Ask;
use crate::{Ended, plain};

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
struct Lines;

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
    sources: Vec<String>,
    shown: bool,
}

impl Show for Prose {
    fn show(&mut self, frame: &Frame) -> std::io::Result<()> {
        let value = frame.value();
        match frame.kind.as_str() {
            "text" => {
                let text = value["text"].as_str().unwrap_or_default();
                let mut out = std::io::stdout().lock();
                // A terminal obeys what a model says; a pipe gets it as it was said.
                if out.is_terminal() {
                    out.write_all(plain::lines(text).as_bytes())?;
                } else {
                    out.write_all(text.as_bytes())?;
                }
                self.shown = true;
                return out.flush();
            }
            "citation" => self.cite(&value["citation"]),
            "rewind" => {
                println!();
                eprintln!("[an earlier part is taken back; the answer begins again]");
                self.sources.clear();
            }
            "gap" => eprintln!("[part of the answer is no longer kept]"),
            "failed" => {
                self.finish();
                let message = value["failed"]["message"].as_str().unwrap_or("failed");
                eprintln!("weir: {}", plain::line(message));
            }
            "cancelled" => {
                self.finish();
                eprintln!("[stopped]");
            }
            "completed" | "interrupted" => self.finish(),
            _ => {}
        }
        Ok(())
    }
}

impl Prose {
    fn cite(&mut self, it: &serde_json::Value) {
        let text = |name: &str| plain::line(it[name].as_str().unwrap_or_default());
        let source = format!(
            "[{}] {} ({}, line {})",
            it["number"],
            text("source"),
            text("heading"),
            it["firstLine"]
        );
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.shown) {
            println!();
        }
        for source in self.sources.drain(..) {
            eprintln!("{source}");
        }
    }
}
