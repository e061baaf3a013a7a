//! The same commands where a person sits at a terminal.

use anyhow::Result;
use testkit::terminal::Terminal;

use super::Stage;

const SIZE: (u16, u16) = (24, 60);

#[tokio::test]
async fn a_person_is_asked_before_a_session_is_erased() -> Result<()> {
    let stage = Stage::start().await?;
    stage.good(&["ask", "--session", "s", "Why\u{202e}?"]).await?;
    for (answer, code, last) in [
        ("n", 1, "nothing is erased"),
        ("", 1, "nothing is erased"),
        ("y", 0, "session s is erased"),
    ] {
        let terminal = Terminal::start(&stage.command(&["delete", "s"])?, SIZE)?;
        terminal.wait_text("erase session s (Why\\u{202e}?) for good? [y/N]").await?;
        terminal.enter(answer)?;
        terminal.wait_text(last).await?;
        assert_eq!(terminal.exit().await?, code, "{answer:?}");
    }
    stage.good(&["ask", "--session", "s", "Why?"]).await?;
    let terminal = Terminal::start(&stage.command(&["delete", "--yes", "s"])?, SIZE)?;
    assert_eq!(terminal.exit().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_list_is_as_wide_as_the_terminal_and_obeys_nobody() -> Result<()> {
    let stage = Stage::start().await?;
    let question = format!("\u{1b}]0;mine\u{7}{}", "otter ".repeat(40));
    stage.good(&["ask", "--session", "s", &question]).await?;
    let terminal = Terminal::start(&stage.command(&["sessions"])?, SIZE)?;
    assert_eq!(terminal.exit().await?, 0);
    let rows = terminal.seen().rows();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[1].ends_with('…') && rows[1].starts_with("s "), "{rows:?}");
    Ok(())
}

#[tokio::test]
async fn a_person_is_told_how_to_go_on_and_colours_can_be_turned_off() -> Result<()> {
    let stage = Stage::start().await?;
    let ask = ["ask", "--session", "s", "Why?"];
    let terminal = Terminal::start(&stage.command(&ask)?, SIZE)?;
    assert_eq!(terminal.exit().await?, 0);
    let seen = terminal.seen();
    assert!(seen.has("Why? (user message 1)") && seen.has("[go on: weir ask --session s"));
    let ask = ["ask", "--session", "m", "A **bold** word."];
    let terminal = Terminal::start(&stage.command(&ask)?, SIZE)?;
    assert_eq!(terminal.exit().await?, 0);
    let seen = terminal.seen();
    assert!(seen.is_bold("bold word") && !seen.is_bold("A bold"), "{}", seen.text());
    let mut command = stage.command(&["tail", "--after", "start", "s"])?;
    command.env("NO_COLOR", "1");
    let terminal = Terminal::start(&command, SIZE)?;
    terminal.wait_text("> Why?").await?;
    let seen = terminal.wait_text("Why? (user message 1)").await?;
    assert!(!seen.is_coloured("> Why?"));
    terminal.press(testkit::terminal::keys::CTRL_C)?;
    assert_eq!(terminal.exit().await?, 130);
    Ok(())
}
