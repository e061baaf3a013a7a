//! How the processes stop: they drain, they say what they wait for, and their
//! exit code says how it went. Also how a turn stops whose agent is held.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::model::{Ending, FakeModel, Script};
use testkit::nats::Server;
use testkit::process::Weir;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::stage::{Client, Fleet, is_end, said, text, weir};

/// Less than the grace, and far more than an idle process needs.
const SOON: Duration = Duration::from_secs(10);

async fn start(data: &Path, model: &FakeModel, more: &[&str]) -> Result<Weir> {
    let mut command = weir(&["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script", "--data"]).arg(data).args(more);
    command.env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

/// A turn that goes on when the model is released; its text so far is stored.
async fn held(weir: &Weir) -> Result<()> {
    let held = Script { tokens: Some(20), hold_after: Some(10), ..Script::default() };
    let mut stream = Client::of(weir)?.ask("s", &held.question()).await?;
    stream.read_until(|it| text(std::slice::from_ref(it)).contains("t9 ")).await?;
    Ok(())
}

/// Waits until a draining process says that it waits for a turn.
async fn drains(weir: &Weir) -> Result<()> {
    let turn = |line: &String| line.contains("draining") && line.contains("1 turns");
    weir.wait_for("a line about the turn", |it| it.stderr.iter().any(turn)).await
}

/// What the session says in the end, and in which attempt.
async fn outcome(weir: &Weir) -> Result<(String, u64)> {
    let mut events = Client::of(weir)?.events("s", "start").await?;
    let frames = events.read_until(is_end).await?;
    let end = frames.last().map(testkit::sse::Frame::json).unwrap_or_default();
    let rewind = frames.iter().rposition(|it| it.is("rewind")).unwrap_or(0);
    Ok((text(&frames[rewind..]), end["attempt"].as_u64().unwrap_or(0)))
}

async fn exit(weir: &mut Weir) -> Result<Option<i32>> {
    Ok(timeout(SOON, weir.exit()).await??.code())
}

#[tokio::test]
async fn every_role_that_is_idle_drains_at_once_with_code_0() -> Result<()> {
    let nats = Server::start().await?;
    let url = nats.url();
    let roles: [&[&str]; 4] = [
        &["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        &["gateway", "--http", "127.0.0.1:0", "--nats", &url],
        &["worker", "--agent", "http://127.0.0.1:9", "--nats", &url],
        &["agent", "--grpc", "127.0.0.1:0", "--nats", &url],
    ];
    for role in roles {
        let mut process = Weir::start(weir(role)).await?;
        process.terminate()?;
        assert_eq!(exit(&mut process).await?, Some(0), "{role:?}: {:?}", process.output());
    }
    Ok(())
}

#[tokio::test]
async fn what_runs_in_one_process_is_finished_before_it_ends() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    let mut first = start(data.path(), &model, &[]).await?;
    held(&first).await?;
    first.terminate()?;
    drains(&first).await?;
    model.release();
    assert_eq!(exit(&mut first).await?, Some(0));

    let second = start(data.path(), &model, &[]).await?;
    assert_eq!(outcome(&second).await?, (said(20), 1));
    assert_eq!(model.calls().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_turn_longer_than_the_grace_is_cut_and_goes_on_after_the_restart() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    let mut first = start(data.path(), &model, &["--grace", "1"]).await?;
    held(&first).await?;
    first.terminate()?;
    assert_eq!(exit(&mut first).await?, Some(124), "{:?}", first.output());
    assert!(first.output().stderr.iter().any(|it| it.contains("the grace is over")));

    model.release();
    let second = start(data.path(), &model, &[]).await?;
    assert_eq!(outcome(&second).await?, (said(20), 2));
    Ok(())
}

#[tokio::test]
async fn a_second_signal_stops_at_once_and_loses_nothing() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    for (attempt, interrupt, code) in [(1, false, 143), (2, true, 130)] {
        let mut process = start(data.path(), &model, &["--grace", "3600"]).await?;
        if attempt == 1 {
            held(&process).await?;
        } else {
            model.wait_for_calls(attempt).await?;
        }
        let signal = || if interrupt { process.interrupt() } else { process.terminate() };
        signal()?;
        drains(&process).await?;
        signal()?;
        assert_eq!(exit(&mut process).await?, Some(code), "{:?}", process.output());
    }
    model.release();
    let last = start(data.path(), &model, &[]).await?;
    assert_eq!(outcome(&last).await?, (said(20), 3));
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_a_process_that_is_still_starting() -> Result<()> {
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("nats://{}", silent.local_addr()?);
    let mut process = Weir::spawn(weir(&["gateway", "--http", "127.0.0.1:0", "--nats", &url]))?;
    let _connection = silent.accept().await?;
    process.terminate()?;
    assert_eq!(exit(&mut process).await?, Some(0), "{:?}", process.output());
    Ok(())
}

#[tokio::test]
async fn the_codes_are_in_the_help_and_a_wrong_grace_is_wrong_usage() -> Result<()> {
    for role in ["up", "gateway", "worker", "agent"] {
        let (code, help) = Weir::run(weir(&[role, "--help"])).await?;
        let help = help.stdout.join(" ");
        assert_eq!(code, Some(0));
        for word in ["--grace", "WEIR_GRACE", "124", "143"] {
            assert!(help.contains(word), "{role}: no {word} in {help}");
        }
        let (code, _) = Weir::run(weir(&[role, "--grace", "soon"])).await?;
        assert_eq!(code, Some(2));
    }
    Ok(())
}

/// What a page that is loaded now is told of the session's first turn.
async fn loaded(client: &Client) -> Result<(String, String)> {
    let request = client.get("/v1/sessions/s/turns").query(&[("userId", "test_user")]);
    let page: Value = request.send().await?.error_for_status()?.json().await?;
    let turn = page["turns"].get(0).context("a turn")?;
    let said = turn["messages"].as_array().context("messages")?.last().context("an answer")?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    Ok((text(&turn["status"]), text(&said["content"])))
}

#[tokio::test]
async fn an_agent_that_was_held_when_its_turn_was_stopped_leaves_the_model_when_it_wakes()
-> Result<()> {
    let fleet = Fleet::start().await?;
    let client = fleet.client(0)?;
    let held = Script { tokens: Some(20), hold_after: Some(10), ..Script::default() };
    let mut stream = client.ask("s", &held.question()).await?;
    let mut frames = stream.read_until(|it| text(std::slice::from_ref(it)).contains("t9 ")).await?;
    fleet.agent.pause()?;
    assert_eq!(client.cancel("s", None).await?.status(), 202);
    frames.extend(stream.read_all().await?);
    assert!(frames.last().is_some_and(|it| it.is("cancelled")), "{:?}", frames.last());
    assert_eq!(fleet.model.calls()[0].ending, Ending::Open, "the agent stands still");

    fleet.agent.resume()?;
    // Long before the agent would give up a turn that nobody reads.
    let call = timeout(SOON, fleet.model.wait_for_hangup()).await??;
    assert_eq!(call.ending, Ending::HungUp);
    fleet.model.release();
    let next = client.ask("s", "And now?").await?.read_until(is_end).await?;
    assert!(next.last().is_some_and(|it| it.is("completed")), "{next:?}");
    assert_eq!(loaded(&client).await?, ("cancelled".to_owned(), said(10)));
    let shown = fleet.model.calls().last().context("a call")?.body["messages"].clone();
    let answers = shown.as_array().context("messages")?.iter();
    let answers: Vec<_> = answers.filter(|it| it["role"] == "assistant").collect();
    assert!(answers.iter().all(|it| it["content"] == text(&frames)), "{shown}");
    Ok(())
}
