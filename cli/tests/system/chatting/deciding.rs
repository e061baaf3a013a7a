//! Calls that wait for a human, decided at the prompt.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::model::Script;
use testkit::terminal::{Terminal, keys};

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
    terminal.wait_text("1 of 4 waits for you").await?;
    terminal.wait_text("[l]ater>").await?;
    assert!(terminal.seen().has("t__count") && terminal.seen().has("\"by\": 1"), "{terminal:?}");
    terminal.enter("what?")?;
    terminal.wait_text("type a, e, r, s or l").await?;
    terminal.enter("accept")?;

    terminal.wait_text("2 of 4").await?;
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

    terminal.wait_text("3 of 4").await?;
    terminal.enter("r")?;
    terminal.wait_text("why (Enter").await?;
    terminal.enter("too dear")?;
    terminal.wait_text("4 of 4").await?;
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
    second.wait_text("1 of 1").await?;
    second.enter("e")?;
    second.wait_for("the end", |it| it.rows().iter().any(|it| it == "It is done.")).await?;
    assert_eq!(desk.around.server.count(), 6, "the editor made five of one");
    Ok(())
}
