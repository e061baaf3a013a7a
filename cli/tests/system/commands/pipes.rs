//! Commands in a pipe: a reader that leaves, and a connection that is cut.

use std::collections::HashSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::process::{Output, Weir};
use testkit::proxy::Proxy;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::{Stage, column, held, values};
use crate::stage::{said, tokens};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command whose reader leaves after the first bytes: its exit code, and
/// what it said about that.
async fn left(mut command: Command) -> Result<(Option<i32>, String)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let mut out = child.stdout.take().context("a pipe")?;
    let mut first = [0; 3];
    timeout(PATIENCE, out.read_exact(&mut first)).await.context("nothing came")??;
    drop(out);
    let ended = timeout(PATIENCE, child.wait_with_output()).await.context("it goes on")??;
    Ok((ended.status.code(), String::from_utf8(ended.stderr)?))
}

#[tokio::test]
async fn a_reader_that_has_enough_ends_the_command_quietly_and_not_the_turn() -> Result<()> {
    let stage = Stage::start().await?;
    for (session, form) in [("a", &["--stream"][..]), ("b", &["--json"])] {
        let question = tokens(40, 20);
        let ask = [&["ask", "--session", session], form, &[&question]].concat();
        let (code, said) = left(stage.command(&ask)?).await?;
        assert_eq!((code, said.as_str()), (Some(0), ""), "{form:?}");
        let ended = async {
            while stage.client()?.session(session).await?["ending"] != "completed" {
                sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, ended).await.context("the turn does not end")??;
    }
    let (code, said) = left(stage.command(&["completions", "bash"])?).await?;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    Ok(())
}

#[tokio::test]
async fn nobody_needs_to_read_what_is_said_beside_the_answer() -> Result<()> {
    let stage = Stage::start().await?;
    let mut command = stage.command(&["ask", "-v", &tokens(3, 0)])?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    drop(child.stderr.take());
    let ended = timeout(PATIENCE, child.wait_with_output()).await??;
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stdout)?, said(3) + "\n");
    Ok(())
}

/// A way to the stage's server that can be cut.
async fn way(stage: &Stage) -> Result<(Proxy, String)> {
    let url: reqwest::Url = stage.server.value("page")?.parse()?;
    let port = url.port().context("a port")?;
    let proxy = Proxy::start(([127, 0, 0, 1], port).into()).await?;
    let address = format!("http://{}", proxy.address());
    Ok((proxy, address))
}

#[tokio::test]
async fn an_answer_goes_on_over_a_cut_and_comes_once() -> Result<()> {
    let stage = Stage::start().await?;
    let (proxy, address) = way(&stage).await?;
    let mut asking =
        Weir::spawn(stage.command(&["ask", "--json", "--server", &address, &held()])?)?;
    asking.wait_for("the third token", |it| it.stdout.join("").contains("t2 ")).await?;
    proxy.cut();
    asking.wait_for("the cut", |it| it.stderr.iter().any(|it| is_cut(it))).await?;
    stage.model.release();
    proxy.mend();
    assert_eq!(asking.exit().await?.code(), Some(0), "{:?}", asking.output());
    let output = asking.output();
    assert!(output.stderr.join("").contains("[connected again]"), "{output:?}");
    assert_eq!(column(&values(&output.stdout)?, "text").concat(), said(9));
    Ok(())
}

/// How many turns a tail has told the end of.
fn ends(output: &Output) -> usize {
    output.stdout.iter().filter(|it| it.starts_with("{\"event\":\"completed\"")).count()
}

#[tokio::test]
async fn a_session_is_watched_over_cuts_and_nothing_is_missed_or_comes_twice() -> Result<()> {
    let stage = Stage::start().await?;
    let (proxy, address) = way(&stage).await?;
    for after in [&[][..], &["--after", "now"], &["--after", "start"]] {
        let session = format!("s{}", after.join(""));
        let watch = [&["tail", "--json", "--server", &address, &session], after].concat();
        let mut tail = Weir::spawn(stage.command(&watch)?)?;
        let told = |it: &Output| it.stderr.join("").contains("in it; waiting for events");
        tail.wait_for("what it waits for", told).await?;
        for (at, question) in ["One?", "Two?"].into_iter().enumerate() {
            proxy.cut();
            let cut = |it: &Output| it.stderr.iter().filter(|it| is_cut(it)).count() > at;
            tail.wait_for("the cut", cut).await?;
            stage.good(&["ask", "--session", &session, question]).await?;
            proxy.mend();
            tail.wait_for("the turn", |it| ends(it) > at).await?;
        }
        tail.interrupt()?;
        assert_eq!(tail.exit().await?.code(), Some(130));
        let output = tail.output();
        assert!(output.stderr.join("").contains("[connected again]"), "{output:?}");
        let events = values(&output.stdout)?;
        let mut ids = HashSet::new();
        ensure!(column(&events, "id").into_iter().all(|it| ids.insert(it)), "{output:?}");
        assert_eq!(events.iter().filter(|it| it["event"] == "started").count(), 2, "{after:?}");
    }
    Ok(())
}

fn is_cut(line: &str) -> bool {
    line.starts_with("[no connection: ")
}
