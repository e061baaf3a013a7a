//! Nothing but text reaches what is no terminal, or one that wants nothing else;
//! and a terminal is shown how far a long reading is.

use anyhow::Result;
use testkit::process::Weir;
use testkit::terminal::{Seen, Terminal, keys};
use tokio::process::Command;

use crate::stage::{up, weir};

const ESCAPE: u8 = 0x1b;
/// Rows and columns.
const SIZE: (u16, u16) = (50, 200);
/// Commands that end by themselves, whether well or not.
const COMMANDS: [&[&str]; 14] = [
    &["--help"],
    &["up", "--help"],
    &["ask", "--no-such-flag"],
    &["no-such-command"],
    &["doctor", "--server", "http://127.0.0.1:1", "--ephemeral", "-v"],
    &["status", "--server", "http://127.0.0.1:1"],
    &["ask", "--server", "http://127.0.0.1:1", "Who?"],
    &["cancel", "--server", "http://127.0.0.1:1", "s1"],
    &["knowledge", "files"],
    &["knowledge", "search", "worker"],
    &["jobs", "list", "--data", "/nowhere/at/all"],
    &["keys", "list", "--api-keys", "/nowhere/at/all"],
    &["nats", "check", "--nats", "nats://127.0.0.1:1"],
    &["up", "--print-config"],
];

fn plainly(mut command: Command, (name, value): (&str, &str)) -> Command {
    command.env(name, value);
    command
}

/// All that a command writes to a terminal.
async fn drawn(command: Command) -> Result<Vec<u8>> {
    let terminal = Terminal::start(&command, SIZE)?;
    terminal.exit().await?;
    Ok(terminal.seen().raw().to_vec())
}

#[tokio::test]
async fn no_command_writes_an_escape_code_into_a_pipe() -> Result<()> {
    for arguments in COMMANDS {
        let command = plainly(weir(arguments), ("TERM", "xterm-256color"));
        let (_, output) = Weir::run(command).await?;
        let all = [output.stdout, output.stderr].concat().join("\n");
        assert!(!all.is_empty() && !all.as_bytes().contains(&ESCAPE), "{arguments:?}: {all}");
    }
    Ok(())
}

#[tokio::test]
async fn no_command_draws_on_a_terminal_that_wants_text_only() -> Result<()> {
    for wish in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        for arguments in COMMANDS {
            let all = drawn(plainly(weir(arguments), wish)).await?;
            let text = String::from_utf8_lossy(&all);
            assert!(!all.is_empty() && !all.contains(&ESCAPE), "{wish:?} {arguments:?}: {text}");
        }
    }
    // Else it is the terminal that shows nothing.
    for arguments in [COMMANDS[0], COMMANDS[4]] {
        assert!(drawn(weir(arguments)).await?.contains(&ESCAPE), "{arguments:?}");
    }
    Ok(())
}

#[tokio::test]
async fn log_lines_have_colours_only_where_they_are_wanted() -> Result<()> {
    for (wish, coloured) in
        [(("NO_COLOR", "1"), false), (("TERM", "dumb"), false), (("TERM", "xterm"), true)]
    {
        let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ephemeral"];
        let mut command = plainly(weir(&flags), wish);
        command.env("RUST_LOG", "info,process=debug,broker=debug,gateway=debug");
        let terminal = Terminal::start(&command, SIZE)?;
        terminal.wait_text("ready").await?;
        terminal.press(keys::CTRL_C)?;
        assert_eq!(terminal.exit().await?, 0);
        let all = terminal.seen().raw().to_vec();
        let text = String::from_utf8_lossy(&all);
        assert!(text.contains("DEBUG") || text.contains("INFO"), "it logs: {text}");
        assert_eq!(all.contains(&ESCAPE), coloured, "{wish:?}: {text}");
    }
    let mut running = up(&["--ephemeral"]).await?;
    running.terminate()?;
    running.exit().await?;
    let output = format!("{:?}", running.output());
    assert!(!output.contains("\\u{1b}"), "{output}");
    Ok(())
}

/// A folder that takes longer to read than nothing is shown.
fn library() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for number in 0..4_000 {
        let sentence = format!("The otter number {number} eats fish in the river. ");
        let text = format!("# Otter {number}\n\n{}\n", sentence.repeat(30));
        std::fs::write(folder.path().join(format!("{number}.md")), text)?;
    }
    Ok(folder)
}

/// Whether a text was ever written to the terminal.
fn written(seen: &Seen, text: &str) -> bool {
    String::from_utf8_lossy(seen.raw()).contains(text)
}

#[tokio::test]
async fn a_terminal_is_shown_how_far_the_reading_is_and_a_pipe_is_not() -> Result<()> {
    let folder = library()?;
    let place = folder.path().display().to_string();
    let files = ["knowledge", "search", "--knowledge", &place, "otter number 7"];
    let terminal = Terminal::start(&weir(&files), SIZE)?;
    assert_eq!(terminal.exit().await?, 0);
    let seen = terminal.seen();
    // It may come and go between two looks at the screen, but was written.
    assert!(written(&seen, " of 4000"), "{}", seen.text());
    assert!(seen.has("1. "), "{}", seen.text());
    assert!(!seen.has("of 4000") && !seen.has("indexing"), "it is gone: {}", seen.text());

    let (code, output) = Weir::run(weir(&files)).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn log_lines_stand_beside_the_bar() -> Result<()> {
    let folder = library()?;
    for number in 0..10 {
        std::fs::write(folder.path().join(format!("{number}-broken.md")), b"\xff")?;
    }
    let place = folder.path().display().to_string();
    let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ephemeral"];
    let command = weir(&[&flags[..], &["--knowledge", &place]].concat());
    let terminal = Terminal::start(&command, SIZE)?;
    terminal.wait_text("ready").await?;
    assert!(written(&terminal.seen(), " of 4010"), "{}", terminal.seen().text());
    terminal.press(keys::CTRL_C)?;
    assert_eq!(terminal.exit().await?, 0);
    let rows = terminal.seen().rows();
    let told: Vec<_> = rows.iter().filter(|it| it.contains("left out of the")).collect();
    assert!(!told.is_empty(), "{rows:#?}");
    for row in told {
        // A line begins where a row begins, and nothing of the bar is in it.
        assert!(row.starts_with("20") && !row.contains("reading"), "{rows:#?}");
    }
    assert!(!rows.iter().any(|it| it.contains("of 4010")), "{rows:#?}");
    Ok(())
}
