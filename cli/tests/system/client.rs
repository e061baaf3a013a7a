//! The command-line client, as a person and as a pipe use it.

use std::process::Stdio;

use anyhow::Result;
use serde_json::Value;
use testkit::process::Weir;

use crate::stage::{up, weir};

#[tokio::test]
async fn ask_prints_the_answer_on_stdout_and_its_sources_on_stderr() -> Result<()> {
    let server = up(&["--ephemeral"]).await?;
    let page = server.value("page")?;
    let (code, output) =
        Weir::run(weir(&["ask", "--server", &page, "How do I add more workers?"])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout.join(" ").contains("worker"), "{output:?}");
    assert!(output.stderr.iter().any(|it| it.starts_with("[1] en/")), "{output:?}");

    let (code, output) =
        Weir::run(weir(&["ask", "--json", "--server", &page, "What is Weir?"])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let events: Vec<Value> =
        output.stdout.iter().map(|it| serde_json::from_str(it)).collect::<Result<_, _>>()?;
    assert_eq!(events.first().map(|it| it["event"].clone()), Some("started".into()));
    assert_eq!(events.last().map(|it| it["event"].clone()), Some("completed".into()));
    Ok(())
}

#[tokio::test]
async fn chat_remembers_its_session_and_tail_prints_it() -> Result<()> {
    let server = up(&["--ephemeral"]).await?;
    let page = server.value("page")?;
    let mut command = weir(&["chat", "--server", &page, "--session", "mine"]);
    command.stdin(Stdio::piped());
    let mut chat = Weir::spawn(command)?;
    chat.say("What is Weir?").await?;
    chat.wait_for("an answer", |it| it.stderr.iter().any(|line| line.starts_with("[1]"))).await?;

    let tail = weir(&["tail", "--server", &page, "--after", "start", "mine"]);
    let tail = Weir::spawn(tail)?;
    tail.wait_for("the end of the turn", |it| {
        it.stdout.iter().any(|line| line.contains(" completed {"))
    })
    .await?;
    assert!(tail.output().stdout[0].contains(" started {"));
    tail.interrupt()?;
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_one_clear_line() -> Result<()> {
    let (code, output) =
        Weir::run(weir(&["ask", "--server", "http://127.0.0.1:9", "hello"])).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr.len() == 1 && output.stderr[0].contains("127.0.0.1:9"), "{output:?}");
    Ok(())
}
