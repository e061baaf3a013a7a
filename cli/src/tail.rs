//! `weir tail`: a session's events for as long as one likes, over as many
//! connections as it takes. Says on standard error what it waits for.

use std::io::IsTerminal as _;

use serde_json::Value;

use crate::ask::{Lines, Prose, Show, back, cut, interrupts};
use crate::client::{Client, Frame, Heard};
use crate::flags::Tail;
use crate::output::Error;
use crate::{Ended, decide, ending, output, plain};

pub(crate) async fn run(flags: Tail) -> Ended {
    let client = Client::new(&flags.peer)?;
    if flags.json {
        return watch(&client, &flags, Lines).await;
    }
    if std::io::stdout().is_terminal() {
        return watch(&client, &flags, Spoken(Prose::verbose(true))).await;
    }
    watch(&client, &flags, Entries).await
}

async fn watch(client: &Client, flags: &Tail, mut show: impl Show + Send) -> Ended {
    let mut interrupts = interrupts()?;
    let mut watch = client.watch(&flags.session, flags.after.as_deref());
    // Where nobody answers, watching says so better.
    if let Ok(session) = client.session(&flags.session).await {
        output::aside(&standing(&flags.session, &session));
        watch = watch.since(&session);
    }
    loop {
        let heard = tokio::select! {
            biased;
            _ = interrupts.recv() => return Ok(ending::stopped()),
            heard = watch.next() => heard?,
        };
        match heard {
            Heard::Cut(why) => cut(&why),
            Heard::Back => back(),
            Heard::Event(frame) => show.show(&frame)?,
        }
    }
}

/// What there is to wait for.
fn standing(id: &str, session: &Value) -> String {
    let field = |name: &str| session[name].as_str().unwrap_or_default();
    let stands = match field("status") {
        "not_found" => "nobody has asked anything in it".to_owned(),
        "queued" => "its next turn waits for a worker".to_owned(),
        "running" => format!("turn {} runs", field("turnId")),
        "interrupted" => {
            format!("tool calls wait for a decision: weir decide {}", decide::argument(id))
        }
        "idle" => format!("nothing runs; the last turn: {}", field("ending")),
        other => other.to_owned(),
    };
    format!("session {id}: {stands}; waiting for events, Ctrl-C ends it")
}

/// A line for each event: its position, its kind, its JSON.
struct Entries;

impl Show for Entries {
    fn show(&mut self, frame: &Frame) -> Result<(), Error> {
        let id = frame.id.as_deref().unwrap_or("-");
        output::line(&format!("{id} {} {}", frame.kind, frame.data))
    }
}

/// A conversation, as it is read.
struct Spoken(Prose);

impl Show for Spoken {
    fn show(&mut self, frame: &Frame) -> Result<(), Error> {
        if frame.kind == "started" {
            let input =
                plain::lines(frame.value()["started"]["input"].as_str().unwrap_or_default());
            return output::line(&format!("> {}", input.trim_end().replace('\n', "\n> ")));
        }
        self.0.show(frame)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_waited_for_is_said() {
        for (session, expected) in [
            (json!({"status": "not_found"}), "nobody has asked anything in it"),
            (json!({"status": "running", "turnId": "t"}), "turn t runs"),
            (json!({"status": "idle", "ending": "failed"}), "nothing runs; the last turn: failed"),
            (json!({"status": "interrupted"}), "tool calls wait for a decision: weir decide 'a b'"),
        ] {
            let said = standing("a b", &session);
            assert!(said.starts_with(&format!("session a b: {expected}; ")), "{said}");
        }
    }
}
