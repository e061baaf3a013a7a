//! `weir ask`: one question. The answer is all that goes to standard output.

mod follow;
mod prose;
mod question;

use std::io::IsTerminal as _;

use serde_json::Value;
use uuid::Uuid;

use crate::client::{Client, Question, Turn};
use crate::flags::Ask;
use crate::{Ended, decide, ending, output, plain};

pub(crate) use follow::{Show, back, cut, follow, interrupts};
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
    let turn = client.ask(&session, &question).await?;
    let ended = match (flags.form.whole, flags.form.json) {
        (true, json) => whole(&client, &session, turn, json).await?,
        (false, true) => follow(&client, &session, turn, &mut Lines).await?,
        (false, false) => {
            follow(&client, &session, turn, &mut Prose::verbose(flags.verbose)).await?
        }
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

/// Waits for the whole answer, and prints it once.
async fn whole(client: &Client, session: &str, mut turn: Turn, json: bool) -> Ended {
    let (id, mut stopping) = (turn.id().to_owned(), false);
    let mut interrupts = interrupts()?;
    let mut answered = std::pin::pin!(turn.whole());
    let answer = loop {
        tokio::select! {
            biased;
            _ = interrupts.recv() => {}
            answer = &mut answered => break answer?,
        }
        if stopping || !follow::stop(client, (session, &id), &mut interrupts).await? {
            return Ok(ending::stopped());
        }
        stopping = true;
    };
    let status = answer["status"].as_str().unwrap_or_default();
    if json {
        output::json(&answer)?;
    } else {
        print(session, status, &answer)?;
    }
    Ok(ending::of_turn(status).unwrap_or(std::process::ExitCode::FAILURE))
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
