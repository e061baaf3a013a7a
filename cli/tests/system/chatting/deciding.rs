//! Calls that wait for a human, decided at the prompt.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::model::Script;
use testkit::terminal::{Seen, Terminal, keys};

use super::{Desk, SESSION, SIZE, prompted, says};
use crate::stage::weir;
use crate::tools::{call, decision};

impl Desk {
    /// `weir chat` with an editor of the person's own, asking about a call.
    async fn chat_with_review(&self, editor: &Path) -> Result<Terminal> {
        let page = self.weir.value("page")?;
        let mut command =
            weir(&["chat", "--server", &page, "--user", "test_user", "--session", SESSION]);
        let editor = format!("/bin/sh {} -w", editor.display());
        command.env("HOME", self.home()).env("EDITOR", editor);
        let terminal = Terminal::start(&command, SIZE)?;
        terminal.wait_text("[l]ater>").await?;
        Ok(terminal)
    }
}

/// Waits for a card, and for the line below it: what was typed before is dropped.
async fn asked(terminal: &Terminal, card: &str) -> Result<()> {
    terminal
        .wait_for(card, |it| {
            it.has(card)
                && it
                    .rows()
                    .last()
                    .is_some_and(|it| it.starts_with("[a]ccept") && it.ends_with("[l]ater>"))
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn calls_that_wait_are_decided_where_they_are_seen() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let calls = [("a", 1), ("b", 10), ("c", 100), ("d", 1_000)];
    let script = Script {
        tool_calls: calls.map(|(id, by)| call(id, "t__count", &json!({ "by": by }))).to_vec(),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    };
    terminal.enter(&script.question())?;
    asked(&terminal, "1 of 4 waits for you").await?;
    assert!(terminal.seen().has("t__count") && terminal.seen().has("\"by\": 1"), "{terminal:?}");
    terminal.enter("what?")?;
    terminal.wait_text("type a, e, r, s or l").await?;
    terminal.enter("accept")?;

    asked(&terminal, "2 of 4").await?;
    terminal.enter("e")?;
    terminal.wait_text("arguments> {\"by\":10}").await?;
    terminal.press(keys::BACKSPACE)?;
    terminal.press(keys::ENTER)?;
    terminal.wait_text("this is no JSON").await?;
    terminal
        .wait_for("the same line again", |it| {
            it.rows().last().is_some_and(|it| it == "arguments> {\"by\":10")
        })
        .await?;
    terminal.enter(&format!("{}20}}", keys::BACKSPACE.repeat(2)))?;

    asked(&terminal, "3 of 4").await?;
    terminal.enter("r")?;
    terminal.wait_text("why (Enter").await?;
    terminal.enter("too dear")?;
    asked(&terminal, "4 of 4").await?;
    terminal.enter("s forty-two")?;
    terminal
        .wait_for("the results", |it| it.has("too dear") && it.has("the counter is 21"))
        .await?;
    prompted(&terminal).await?;
    assert!(terminal.seen().has("forty-two"), "{terminal:?}");
    assert_eq!(desk.around.server.count(), 21, "{:?}", desk.around.server.calls());
    Ok(())
}

#[tokio::test]
async fn what_waits_is_asked_on_coming_back_and_a_decision_elsewhere_is_told() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let script = Script {
        tool_calls: vec![call("a", "t__count", &json!({ "by": 1 }))],
        then: vec![says("It is done.")],
        ..Script::default()
    };
    terminal.enter(&script.question())?;
    terminal.wait_text("[l]ater>").await?;
    terminal.enter("l")?;
    terminal.wait_text("[later: /review").await?;
    terminal.press(keys::CTRL_D)?;
    assert_eq!(terminal.exit().await?, 0);

    let editor = desk.home().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nsed -i s/1/5/ \"$2\"\n")?;
    std::os::unix::fs::PermissionsExt::set_mode(
        &mut std::fs::metadata(&editor)?.permissions(),
        0o700,
    );
    let second = desk.chat_with_review(&editor).await?;
    let seen = desk.client()?.session(SESSION).await?;
    let turn = seen["interruptedTurnId"].as_str().unwrap_or_default();
    let accept = decision(&seen["pending"][0], "accept", &json!({}));
    let elsewhere = desk.client()?.decide(SESSION, turn, &[accept]).send().await?;
    ensure!(elsewhere.status() == 200, "{}", elsewhere.text().await?);
    second.enter("e")?;
    second.wait_text("decided elsewhere meanwhile").await?;
    prompted(&second).await?;
    assert_eq!(desk.around.server.count(), 1);

    second.enter(&script.question())?;
    asked(&second, "1 of 1").await?;
    second.enter("e")?;
    second.wait_for("the end", |it| it.rows().iter().any(|it| it == "It is done.")).await?;
    assert_eq!(desk.around.server.count(), 6, "the editor made five of one");
    Ok(())
}

#[tokio::test]
async fn what_was_typed_before_a_call_was_shown_decides_nothing() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let calls = [("a", 1), ("b", 10)].map(|(id, by)| call(id, "t__count", &json!({ "by": by })));
    let script =
        Script { tool_calls: calls.to_vec(), then: vec![says("It is done.")], ..Script::default() };
    let (question, enter) = (script.question(), keys::ENTER);
    terminal.press(&format!("{question}{enter}a{enter}a{enter}a"))?;
    asked(&terminal, "1 of 2").await?;
    terminal.press(&format!("a{enter}a{enter}a{enter}"))?;
    asked(&terminal, "2 of 2").await?;
    terminal.enter("r no")?;
    terminal.wait_for("the end", |it| it.rows().iter().any(|it| it == "It is done.")).await?;
    assert_eq!(desk.around.server.count(), 1, "{:?}", desk.around.server.calls());
    Ok(())
}

#[tokio::test]
async fn a_review_is_left_as_any_other_prompt_is() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let calls = [("a", 1), ("b", 10)].map(|(id, by)| call(id, "t__count", &json!({ "by": by })));
    let script = Script { tool_calls: calls.to_vec(), ..Script::default() };
    terminal.enter(&script.question())?;
    asked(&terminal, "1 of 2").await?;
    terminal.enter("a")?;
    asked(&terminal, "2 of 2").await?;
    terminal.press(keys::CTRL_D)?;
    assert_eq!(terminal.exit().await?, 0);
    assert!(terminal.seen().has("[nothing was sent: the calls wait]"), "{terminal:?}");

    for (kind, times) in [("xterm", 2), ("dumb", 1)] {
        let page = desk.weir.value("page")?;
        let mut command =
            weir(&["chat", "--server", &page, "--user", "test_user", "--session", SESSION]);
        command.env("HOME", desk.home()).env("TERM", kind);
        let terminal = Terminal::start(&command, SIZE)?;
        asked(&terminal, "1 of 2").await?;
        terminal.press(keys::CTRL_C)?;
        if times == 2 {
            asked(&terminal, "[Ctrl-C again leaves").await?;
            terminal.press(keys::CTRL_C)?;
        }
        assert_eq!(terminal.exit().await?, 130, "{kind}");
    }
    assert_eq!(desk.around.server.count(), 0, "{:?}", desk.around.server.calls());
    Ok(())
}

#[tokio::test]
async fn decisions_that_nobody_takes_are_kept_and_can_be_sent_again() -> Result<()> {
    let mut desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    let calls = vec![call("a", "t__count", &json!({ "by": 1 }))];
    terminal.enter(&Script { tool_calls: calls, ..Script::default() }.question())?;
    asked(&terminal, "1 of 1").await?;
    desk.weir.kill().await?;
    terminal.enter("a")?;
    for times in 1..=2 {
        let offered = |it: &Seen| {
            it.text().matches("Enter sends the decisions again").count() == times
                && it.rows().last().is_some_and(|it| it.ends_with("does not>"))
        };
        terminal.wait_for("the offer", offered).await?;
        terminal.enter(if times == 1 { "" } else { "no" })?;
    }
    terminal.wait_text("[left open, as far as is known: /review]").await?;
    prompted(&terminal).await?;
    Ok(())
}
