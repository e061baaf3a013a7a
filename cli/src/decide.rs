//! `weir decide`: the tool calls of a session that wait for a human, and what
//! the human says. Decides only calls that wait at this moment, and shows each
//! before it does.

use std::fmt::{Display, Write as _};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use crate::ask::{Lines, Prose, follow, interrupts, taken};
use crate::client::Client;
use crate::ending::Misused;
use crate::flags::Decide;
use crate::{Ended, ending, output, plain};

/// The most of a call's summary that is shown beside an answer, in characters.
const SUMMARY: usize = 300;

pub(crate) async fn run(flags: Decide) -> Ended {
    let answers = answers(&flags);
    once(&answers)?;
    let client = Client::new(&flags.peer)?;
    let session = client.session(&flags.session).await?;
    let calls = session["pending"].as_array().map_or(&[][..], Vec::as_slice);
    if answers.is_empty() {
        output::print(&list(&flags, calls, session["expires"].as_str()))?;
        if calls.is_empty() {
            output::note("nothing waits for a decision");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let decisions = bound(answers, calls)?;
    let turn = session["interruptedTurnId"].as_str().unwrap_or_default();
    let mut interrupts = interrupts()?;
    let sending = client.decide(&flags.session, turn, &decisions);
    let sent = (flags.session.as_str(), "the decision");
    let Some(mut turn) = taken(&client, sent, sending, &mut interrupts).await? else {
        return Ok(ending::stopped());
    };
    if flags.json {
        return follow(&client, &flags.session, &mut turn, &mut Lines, &mut interrupts).await;
    }
    follow(&client, &flags.session, &mut turn, &mut Prose::default(), &mut interrupts).await
}

/// Refuses two decisions about one call.
fn once(answers: &[(&str, Value)]) -> Result<(), Misused> {
    for (at, (id, _)) in answers.iter().enumerate() {
        if answers[..at].iter().any(|before| before.0 == *id) {
            return Err(Misused(format!("call {id:?} is decided twice; once is allowed")));
        }
    }
    Ok(())
}

/// The decisions about calls that wait, each of which is shown.
fn bound(answers: Vec<(&str, Value)>, calls: &[Value]) -> anyhow::Result<Vec<Value>> {
    let mut decisions = Vec::new();
    for (id, answer) in answers {
        let Some(call) = calls.iter().find(|it| it["callId"] == id) else {
            let ids: Vec<_> = calls.iter().map(|it| text(it, "callId")).collect();
            let waiting = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            bail!("no call {} waits for a decision; waiting: {waiting}", plain::line(id));
        };
        output::note(&format!("{} {}", text(&answer, "type"), line(call)));
        decisions.push(decision(call, answer));
    }
    Ok(decisions)
}

/// The calls that are decided, each with what is said about it.
fn answers(flags: &Decide) -> Vec<(&str, Value)> {
    let said = |kind: &str, field: &str, text: &str| json!({ "type": kind, field: text });
    let message = flags.message.as_deref().unwrap_or_default();
    let accepted = flags.accept.iter().map(|id| (id.as_str(), json!({ "type": "accept" })));
    let rejected = flags.reject.iter().map(|id| (id.as_str(), said("reject", "message", message)));
    let edited = flags.edit.chunks_exact(2);
    let edited = edited.map(|it| (it[0].as_str(), said("edit", "arguments", &it[1])));
    let answered = flags.respond.chunks_exact(2);
    let answered = answered.map(|it| (it[0].as_str(), said("respond", "message", &it[1])));
    accepted.chain(edited).chain(rejected).chain(answered).collect()
}

/// The decision, bound to the call as it was found.
pub(crate) fn decision(call: &Value, mut answer: Value) -> Value {
    answer["callId"] = call["callId"].clone();
    answer["argumentsHash"] = call["argumentsHash"].clone();
    answer
}

/// The calls that wait, whole.
fn list(flags: &Decide, calls: &[Value], expires: Option<&str>) -> String {
    let mut shown = String::new();
    let mut say = |line: &dyn Display| {
        let _infallible = writeln!(shown, "{line}");
    };
    if flags.json {
        for call in calls {
            say(call);
        }
        return shown;
    }
    for call in calls {
        say(&line(call));
        say(&format_args!("    {}", text(call, "arguments")));
    }
    let Some(first) = calls.first() else { return shown };
    if let Some(expires) = expires {
        say(&format_args!("until {}", plain::line(expires)));
    }
    shown + &how(&flags.session, first)
}

/// What is shown where a turn ended because of calls that wait.
pub(crate) fn wanted(session: &str, calls: &[Value]) -> String {
    let Some(first) = calls.first() else { return String::new() };
    let mut shown = String::from("[waits for a human]\n");
    for call in calls {
        let _infallible = writeln!(shown, "  {}", line(call));
    }
    let whole = format!("see them whole: weir decide {}\n", argument(session));
    shown + &whole + &how(session, first)
}

/// A call on one line.
fn line(call: &Value) -> String {
    let unknown = call["reason"] == "outcome_unknown";
    let warning = if unknown { " (it may have been made already)" } else { "" };
    let summary = plain::shortened(&text(call, "summary"), SUMMARY);
    format!("{}: {summary}{warning}", text(call, "callId"))
}

/// What to type.
fn how(session: &str, call: &Value) -> String {
    let (session, call) =
        (argument(session), argument(call["callId"].as_str().unwrap_or_default()));
    format!(
        "decide: weir decide {session} --accept {call} \
         (or --reject {call}, --edit {call} JSON, --respond {call} TEXT)\n"
    )
}

/// A text as a shell takes it for one argument.
pub(crate) fn argument(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:@+=,".contains(it);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    plain::line(&format!("'{}'", text.replace('\'', r"'\''")))
}

fn text(value: &Value, field: &str) -> String {
    plain::line(value[field].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Command, Weir};
    use clap::Parser as _;
    use std::slice::from_ref;

    fn flags(line: &[&str]) -> Decide {
        let line = [&["weir", "decide", "s"], line].concat();
        match Weir::try_parse_from(line).unwrap().command {
            Some(Command::Decide(flags)) => flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_become_decisions_bound_to_the_calls() {
        let line = ["--accept", "a", "--accept", "b", "--edit", "c", "{}", "--reject", "d"];
        let rest = ["--message", "no", "--respond", "e", "it is 4", "--respond", "f", ""];
        let flags = flags(&[&line[..], &rest[..]].concat());
        let call = json!({"callId": "x", "argumentsHash": "h", "summary": "s"});
        let told: Vec<_> =
            answers(&flags).into_iter().map(|(id, it)| (id, decision(&call, it))).collect();
        let with = |kind: &str, field: &str, text: &str| json!({"callId": "x", "argumentsHash": "h", "type": kind, field: text});
        let accept = json!({"callId": "x", "argumentsHash": "h", "type": "accept"});
        assert_eq!(
            told,
            [
                ("a", accept.clone()),
                ("b", accept),
                ("c", with("edit", "arguments", "{}")),
                ("d", with("reject", "message", "no")),
                ("e", with("respond", "message", "it is 4")),
                ("f", with("respond", "message", "")),
            ]
        );
        for wrong in [&["--edit", "a"][..], &["--message", "x"], &["--accept"]] {
            let line = [&["weir", "decide", "s"], wrong].concat();
            assert!(Weir::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_call_is_decided_once() {
        let twice = flags(&["--accept", "a", "--reject", "a"]);
        assert!(once(&answers(&twice)).unwrap_err().to_string().contains("\"a\" is decided twice"));
        assert!(once(&answers(&flags(&["--accept", "a", "--reject", "b"]))).is_ok());
    }

    #[test]
    fn the_list_shows_every_call_whole() {
        let call =
            json!({"callId": "a", "summary": "pay: to = \"x\"", "arguments": "{\"to\":\"x\"}"});
        let shown = list(&flags(&[]), from_ref(&call), Some("2026"));
        assert!(
            shown.starts_with("a: pay: to = \"x\"\n    {\"to\":\"x\"}\nuntil 2026\n"),
            "{shown}"
        );
        assert_eq!(list(&flags(&["--json"]), from_ref(&call), None), format!("{call}\n"));
        assert!(!shown.contains("see them whole"), "{shown}");
        assert_eq!(list(&flags(&[]), &[], None), "");
    }

    #[test]
    fn calls_that_wait_are_shown_without_obeying_them_and_with_what_to_type() {
        let call = json!({"callId": "call_1", "summary": "write: x = \u{1b}[2J"});
        let unknown = json!({"callId": "it's", "reason": "outcome_unknown", "summary": "pay"});
        assert_eq!(
            wanted("a b", &[call, unknown.clone()]),
            "[waits for a human]\n  call_1: write: x = \\u{1b}[2J\n  \
             it's: pay (it may have been made already)\n\
             see them whole: weir decide 'a b'\n\
             decide: weir decide 'a b' --accept call_1 \
             (or --reject call_1, --edit call_1 JSON, --respond call_1 TEXT)\n"
        );
        assert!(wanted("s", &[unknown]).contains(r"--accept 'it'\''s'"));
        assert_eq!(wanted("s", &[]), "");
    }
}
