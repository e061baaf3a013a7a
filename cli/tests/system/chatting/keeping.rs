//! What outlives a conversation: what was typed, sessions, memories, files.

use anyhow::Result;
use testkit::terminal::keys;

use super::{Desk, SESSION, SIZE, prompted};

#[tokio::test]
async fn what_was_asked_comes_back_with_the_arrow_also_the_next_time() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&[], SIZE).await?;
    terminal.enter("first 你好")?;
    terminal.wait_text("first 你好 (user message 1)").await?;
    prompted(&terminal).await?;
    terminal.press(keys::UP)?;
    terminal
        .wait_for("the line", |it| it.rows().last().is_some_and(|it| it == "> first 你好"))
        .await?;
    // Wide characters are edited as they are seen.
    terminal.press(&format!("{}{}", keys::LEFT, keys::BACKSPACE))?;
    terminal
        .wait_for("the edit", |it| it.rows().last().is_some_and(|it| it == "> first 好"))
        .await?;
    assert_eq!(terminal.seen().cursor().1, 8);
    terminal.press(keys::CTRL_C)?;
    prompted(&terminal).await?;
    terminal.press(keys::CTRL_D)?;
    assert_eq!(terminal.exit().await?, 0);

    let next = desk.chat(&[], SIZE).await?;
    next.press(keys::UP)?;
    next.wait_for("the line", |it| it.rows().last().is_some_and(|it| it == "> first 你好")).await?;
    let file = desk.home().join(".local/state/weir/history");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file)?.permissions());
    assert_eq!(mode & 0o777, 0o600);

    std::fs::remove_file(&file)?;
    let secret = desk.chat(&["--no-history"], SIZE).await?;
    secret.enter("hush")?;
    secret.wait_text("hush (user message 1)").await?;
    assert!(!file.exists());
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed_resumed_and_written_to_a_file() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", "one"], SIZE).await?;
    terminal.enter("about tea")?;
    terminal.wait_text("about tea (user message 1)").await?;
    prompted(&terminal).await?;
    terminal.enter("/new")?;
    terminal.wait_text("come back: weir chat --session one").await?;
    prompted(&terminal).await?;
    terminal.enter("about coffee")?;
    terminal.wait_text("about coffee (user message 1)").await?;
    prompted(&terminal).await?;
    terminal.enter("/sessions")?;
    terminal.wait_text("  2  about tea · just now").await?;
    assert!(terminal.seen().has("*  1  about coffee"), "{terminal:?}");
    prompted(&terminal).await?;
    terminal.enter("/resume 9")?;
    terminal.wait_text("you have no session 9").await?;
    prompted(&terminal).await?;
    terminal.enter("/resume 2")?;
    terminal.wait_text("> about tea").await?;
    prompted(&terminal).await?;
    terminal.enter("and milk")?;
    terminal.wait_text("and milk (user message 2)").await?;
    prompted(&terminal).await?;

    // Another terminal completes the id of a session.
    let other = desk.chat(&[], SIZE).await?;
    other.press(&format!("/resume on{}", keys::TAB))?;
    other.wait_for("the id", |it| it.rows().last().is_some_and(|it| it == "> /resume one")).await?;

    let file = desk.home().join("tea.md");
    for (more, told) in [("", "[written to"), ("", "--force writes over it"), (" --force", "")] {
        terminal.enter(&format!("/export {}{more}", file.display()))?;
        terminal.wait_text(told).await?;
        prompted(&terminal).await?;
    }
    let written = std::fs::read_to_string(&file)?;
    assert!(written.contains("> about tea\n") && written.contains("> and milk\n"), "{written}");
    terminal.enter(&format!("/export {}.json --json", file.display()))?;
    terminal.wait_text("tea.md.json]").await?;
    let whole: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(desk.home().join("tea.md.json"))?)?;
    assert_eq!(whole["turns"].as_array().map(Vec::len), Some(2), "{whole}");
    prompted(&terminal).await?;
    terminal.enter("/nonsense")?;
    terminal.wait_text("there is no command /nonsense; there are /new").await?;
    prompted(&terminal).await?;
    terminal.enter("//nonsense")?;
    terminal.wait_text("/nonsense (user message 3)").await?;
    Ok(())
}

#[tokio::test]
async fn memories_and_models_are_seen_and_chosen() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&[], SIZE).await?;
    for (line, told) in [
        ("/memory", "nothing is remembered"),
        ("/memory add likes green tea", "[remembered]"),
        ("/memory add has a bicycle", "[remembered]"),
        ("/memory search tea", "   1  likes green tea · just now"),
        ("/memory forget 1", "[forgotten]"),
        ("/memory list", "   1  has a bicycle"),
        ("/memory forget 2", "there is no memory 2"),
        ("/model", "*  1  mine/script"),
        ("/model none/such", "no agent offers the model none/such"),
        ("/model extractive", "[extractive answers from now on]"),
        ("What is Weir?", "[1] "),
    ] {
        terminal.enter(line)?;
        terminal.wait_text(told).await?;
        prompted(&terminal).await?;
    }
    let left = desk.client()?.memories().await?;
    assert_eq!(left["memories"].as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(desk.around.model.calls().len(), 0, "another model answered");
    terminal.press(&format!("/mem{}", keys::TAB))?;
    terminal
        .wait_for("the completion", |it| it.rows().last().is_some_and(|it| it == "> /memory"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn an_answer_is_asked_for_anew_in_its_own_place() -> Result<()> {
    let desk = Desk::start().await?;
    let terminal = desk.chat(&["--session", SESSION], SIZE).await?;
    terminal.enter("/again")?;
    terminal.wait_text("weir: ").await?;
    prompted(&terminal).await?;
    for question in ["one", "two"] {
        terminal.enter(question)?;
        terminal.wait_text(&format!("{question} (user message")).await?;
        prompted(&terminal).await?;
    }
    terminal.enter("/again")?;
    desk.around.model.wait_for_calls(3).await?;
    let twice = |it: &testkit::terminal::Seen| {
        it.rows().iter().filter(|it| *it == "two (user message 2)").count() == 2
    };
    terminal.wait_for("the same answer", twice).await?;
    prompted(&terminal).await?;
    let told = desk.client()?.get("/v1/sessions/s/turns").query(&[("userId", "test_user")]);
    let told: serde_json::Value = told.send().await?.json().await?;
    assert_eq!(told["turns"].as_array().map(Vec::len), Some(2), "{told}");
    Ok(())
}
