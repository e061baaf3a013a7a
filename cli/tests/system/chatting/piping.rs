//! A conversation whose answers go to a file, or whose questions come from one.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testkit::model::Script;
use testkit::process::command;
use testkit::terminal::{Seen, Terminal, keys};
use tokio::io::AsyncWriteExt as _;

use super::{Desk, SESSION, SIZE, prompted, says};
use crate::stage::weir;
use crate::tools::call;

/// Longer than this nothing takes.
const PATIENCE: Duration = Duration::from_secs(30);

impl Desk {
    /// How `weir chat` ends where no terminal types, and what it says.
    async fn piped(&self, session: &str, input: &[u8]) -> Result<(i32, String, String)> {
        let page = self.weir.value("page")?;
        let mut chat =
            weir(&["chat", "--server", &page, "--user", "test_user", "--session", session]);
        chat.env("HOME", self.home()).stdin(Stdio::piped());
        chat.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut chat = chat.kill_on_drop(true).spawn()?;
        if let Some(mut to) = chat.stdin.take() {
            to.write_all(input).await?;
        }
        let told = tokio::time::timeout(PATIENCE, chat.wait_with_output()).await??;
        let text = |it: Vec<u8>| String::from_utf8_lossy(&it).into_owned();
        Ok((told.status.code().unwrap_or(-1), text(told.stdout), text(told.stderr)))
    }
}

#[tokio::test]
async fn a_file_gets_the_answers_and_the_terminal_everything_else() -> Result<()> {
    let desk = Desk::start().await?;
    let (page, file) = (desk.weir.value("page")?, desk.home().join("answers"));
    let chat = weir(&["chat", "--server", &page, "--user", "test_user", "--session", SESSION]);
    let mut words = vec![chat.as_std().get_program().to_string_lossy().into_owned()];
    words.extend(chat.as_std().get_args().map(|it| it.to_string_lossy().into_owned()));
    let script = format!("exec \"$@\" > {}", file.display());
    let all: Vec<_> =
        ["-c", &script, "sh"].into_iter().chain(words.iter().map(String::as_str)).collect();
    for kind in ["xterm-256color", "dumb"] {
        let mut shell = command("/bin/sh", &all);
        shell.env("HOME", desk.home()).env("TERM", kind);
        let terminal = Terminal::start(&shell, SIZE)?;
        prompted(&terminal).await?;
        terminal.enter(&says("A **fat** word.").question())?;
        let prompts = |it: &Seen| it.rows().iter().filter(|it| it.starts_with('>')).count() == 2;
        terminal.wait_for("the next prompt", prompts).await?;
        prompted(&terminal).await?;
        terminal.press(keys::CTRL_D)?;
        assert_eq!(terminal.exit().await?, 0);
        assert!(terminal.seen().has("come back: weir chat"), "{terminal:?}");
        let written = std::fs::read_to_string(&file)?;
        assert!(written.ends_with("A **fat** word.\n"), "{written:?}");
        assert!(!written.contains('\u{1b}') && !written.contains('>'), "{written:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_terminal_the_worst_outcome_is_the_exit_code() -> Result<()> {
    let desk = Desk::start().await?;
    let broken = Script { status: Some(400), ..Script::default() }.question();
    let waits = Script {
        tool_calls: vec![call("a", "t__count", &json!({ "by": 1 }))],
        ..Script::default()
    };
    let (code, out, err) = desk.piped("ok", b"one\ntwo\n").await?;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("two (user message 2)"), "{out}");
    let (code, out, err) = desk.piped("bad", format!("{broken}\nstill\n").as_bytes()).await?;
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("still (user message"), "{out}");
    let (code, out, err) =
        desk.piped("review", format!("{}\nnext\n", waits.question()).as_bytes()).await?;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("[waits for a human]") && !out.contains("next"), "{out}{err}");
    let (code, _, err) = desk.piped("review", b"next\n").await?;
    assert_eq!(code, 3, "it still waits: {err}");
    let (code, _, err) = desk.piped("bytes", b"\xff\n").await?;
    assert_eq!(code, 1, "{err}");
    assert_eq!(err.matches("UTF-8").count(), 1, "{err}");
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_it_with_the_terminal_as_it_was() -> Result<()> {
    let desk = Desk::start().await?;
    let page = desk.weir.value("page")?;
    let chat = weir(&["chat", "--server", &page, "--user", "test_user", "--session", SESSION]);
    let mut words = vec![chat.as_std().get_program().to_string_lossy().into_owned()];
    words.extend(chat.as_std().get_args().map(|it| it.to_string_lossy().into_owned()));
    let script = "trap : TERM; before=$(stty -g); \
        (read go < \"$HOME/go\"; kill -TERM $(cat \"$HOME/pid\")) & \
        sh -c 'echo $$ > \"$HOME/pid\"; exec \"$@\"' sh \"$@\"; \
        echo code $?; [ \"$before\" = \"$(stty -g)\" ] && echo as it was";
    let all: Vec<_> =
        ["-c", script, "sh"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let go = desk.home().join("go");
    let made = command("mkfifo", [go.display().to_string().as_str()]).status().await?;
    assert!(made.success());
    let mut shell = command("/bin/sh", &all);
    shell.env("HOME", desk.home());
    let terminal = Terminal::start(&shell, SIZE)?;
    prompted(&terminal).await?;
    tokio::fs::write(&go, b"now\n").await?;
    terminal.wait_text("code 143").await?;
    terminal.wait_text("as it was").await?;
    assert_eq!(terminal.exit().await?, 0);
    Ok(())
}
