//! `weir ask`: one question. The answer is all that goes to standard output.

mod follow;
mod prose;
mod question;

use std::io::IsTerminal as _;

use serde_json::Value;
use tokio::signal::unix::Signal;
use uuid::Uuid;

use crate::client::{Client, Frame, Question, Turn};
use crate::flags::Ask;
use crate::{Ended, decide, ending, output, plain};

pub(crate) use follow::{Show, back, cut, follow, interrupts, taken};
pub(crate) use prose::{Lines, Prose};

pub(crate) async fn run(flags: Ask) -> Ended {
    let input = question::read(flags.question, &flags.attach)?;
    let client = Client::new(&flags.peer)?;
    let session = match (flags.session, flags.latest) {
        (Some(session), _) => session,
        (None, true) => latest(&client).await?,
        (None, false) => Uuid::now_v7().to_string(),
    };
    let (model, system) = (flags.model, flags.system);
    let question = Question { model, system, ..Question::new(input) };
    let mut interrupts = interrupts()?;
    let sending = client.ask(&session, &question);
    let sent = (session.as_str(), "the question");
    let Some(mut turn) = taken(&client, sent, sending, &mut interrupts).await? else {
        return Ok(ending::stopped());
    };
    let mut prose = Prose::verbose(flags.verbose);
    let ended = match (flags.form.whole, flags.form.json) {
        (true, json) => whole((&client, &session), turn, json, &mut interrupts).await?,
        (false, true) => follow(&client, &session, &mut turn, &mut Lines, &mut interrupts).await?,
        (false, false) => follow(&client, &session, &mut turn, &mut prose, &mut interrupts).await?,
    };
    if flags.verbose || std::io::stderr().is_terminal() {
        output::aside(&format!("go on: weir ask --session {} …", decide::argument(&session)));
    }
    Ok(ended)
}

/// The session that the user has used last.
async fn latest(client: &Client) -> anyhow::Result<String> {
    let page = client.sessions(None, 1).await?;
    let session = page.items.first().and_then(|it| it["sessionId"].as_str());
    session.map(str::to_owned).ok_or_else(|| anyhow::anyhow!("there is no session to go on with"))
}

/// Waits for the turn's end, and prints the answer once.
async fn whole(
    (client, session): (&Client, &str),
    mut turn: Turn,
    json: bool,
    interrupts: &mut Signal,
) -> Ended {
    let mut unseen = Unseen::default();
    let code = follow(client, session, &mut turn, &mut unseen, interrupts).await?;
    match unseen.ended.as_deref() {
        // Somebody lost patience.
        None => return Ok(code),
        Some("deleted") => {
            output::aside("the session was erased");
            return Ok(code);
        }
        Some(_) => {}
    }
    let answer = tokio::select! {
        biased;
        _ = interrupts.recv() => return Ok(ending::stopped()),
        answer = turn.whole() => answer?,
    };
    let status = answer["status"].as_str().unwrap_or_default();
    if json {
        output::json(&answer)?;
    } else {
        print(session, status, &answer)?;
    }
    Ok(ending::of_turn(status).unwrap_or(std::process::ExitCode::FAILURE))
}

/// Shows nothing, and keeps how it ended.
#[derive(Debug, Default)]
struct Unseen {
    ended: Option<String>,
}

impl Show for Unseen {
    fn show(&mut self, frame: &Frame) -> Result<(), output::Error> {
        if frame.is_end() {
            self.ended = Some(frame.kind.clone());
        }
        Ok(())
    }
}

fn print(session: &str, status: &str, answer: &Value) -> Result<(), output::Error> {
    let text = answer["text"].as_str().unwrap_or_default();
    if !text.is_empty() {
        prose::answer(&format!("{text}\n"))?;
    }
    match status {
        "failed" => prose::failed(&answer["error"]["message"]),
        "cancelled" => output::aside("stopped"),
        "interrupted" => {
            let calls = answer["interrupt"]["calls"].as_array();
            output::say(&decide::wanted(session, calls.map_or(&[], Vec::as_slice)));
        }
        "completed" => {}
        other => output::aside(&format!("the turn is {}", plain::line(other))),
    }
    Ok(())
}
