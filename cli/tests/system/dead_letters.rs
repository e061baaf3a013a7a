//! `weir jobs`: what was given up is found, shown and put back, beside a
//! running `weir up`, without it, and on NATS.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, ensure};
use broker::{Bucket, Expected, Key};
use prost::Message as _;
use proto::{DeadLetter, Job, Message, Session, TurnId};
use serde_json::Value;
use testkit::model::{FakeModel, Script};
use testkit::nats::Server;
use testkit::process::{Output, Weir};
use testkit::sse::Frame;

use crate::stage::{Client, is_end, said, text, weir};

/// More often than an attempt may fail.
const KILLS: usize = 8;

/// `weir jobs …` on a folder: its exit code and what it printed.
async fn jobs(arguments: &[&str], data: &Path) -> Result<(Option<i32>, Output)> {
    let mut command = weir(&["jobs"]);
    command.args(arguments).arg("--data").arg(data);
    Weir::run(command).await
}

/// The letters that are there, as JSON.
async fn letters(data: &Path) -> Result<Vec<Value>> {
    let (code, output) = jobs(&["list", "--json"], data).await?;
    ensure!(code == Some(0), "{output:?}");
    Ok(output.stdout.iter().map(|it| serde_json::from_str(it)).collect::<Result<_, _>>()?)
}

async fn start(data: &Path, model: &FakeModel) -> Result<Weir> {
    let mut command = weir(&["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script", "--data"]).arg(data);
    command.env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

/// Asks what kills every process that works on it, until it is given up; the
/// process that did so, and the turn.
async fn given_up(data: &Path, model: &FakeModel) -> Result<(Weir, String)> {
    let mut weir = start(data, model).await?;
    let deadly = Script { tokens: Some(3), hold_after: Some(0), ..Script::default() };
    let (turn, _) = Client::of(&weir)?.submit("s", &deadly.question()).await?;
    for attempt in 1..=KILLS {
        let mut watch = Client::of(&weir)?.events("s", "start").await?;
        let sealed = async {
            let frames = watch.read_until(is_end).await?;
            anyhow::Ok(frames.last().is_some_and(|it| it.is("failed")))
        };
        let over = tokio::select! {
            sealed = sealed => Some(sealed?),
            called = model.wait_for_calls(attempt) => { called?; None }
        };
        if let Some(failed) = over {
            ensure!(failed, "the turn ended otherwise");
            return Ok((weir, turn));
        }
        weir.kill().await?;
        weir = start(data, model).await?;
    }
    anyhow::bail!("{KILLS} attempts were made and the turn was not given up")
}

#[tokio::test]
async fn a_turn_that_kills_its_workers_is_given_up_listed_and_put_back() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    let (mut up, turn) = given_up(data.path(), &model).await?;

    // While the process runs, by its socket.
    let listed = letters(data.path()).await?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["turn"], turn.as_str());
    assert_eq!((&listed[0]["user"], &listed[0]["session"]), (&"test_user".into(), &"s".into()));
    let (code, table) = jobs(&["list"], data.path()).await?;
    assert_eq!(code, Some(0));
    assert!(table.stdout[0].starts_with("JOB "), "{table:?}");
    assert!(table.stdout[1].starts_with(&turn) && table.stdout[1].contains("attempts_exhausted"));
    let (code, shown) = jobs(&["show", &turn], data.path()).await?;
    assert_eq!(code, Some(0));
    assert!(shown.stdout.iter().any(|it| it.contains("hold_after")), "{shown:?}");

    // And without it.
    up.terminate()?;
    assert_eq!(up.exit().await?.code(), Some(0));
    assert_eq!(letters(data.path()).await?.len(), 1);
    let (code, refused) = jobs(&["retry", "nothing"], data.path()).await?;
    assert_eq!(code, Some(1));
    assert!(refused.stderr[0].contains("weir jobs list"), "{refused:?}");

    model.release();
    let up = start(data.path(), &model).await?;
    let mut watch = Client::of(&up)?.events("s", "now").await?;
    let (code, done) = jobs(&["retry", "--all"], data.path()).await?;
    assert_eq!(code, Some(0), "{done:?}");
    let frames = watch.read_until(is_end).await?;
    assert!(frames.last().is_some_and(|it| it.is("completed")), "{frames:?}");
    assert_eq!(text(&frames), said(3));
    let again = frames[0].json()["turnId"].as_str().context("a turn")?.to_owned();
    assert_ne!(again, turn);
    assert!(done.stdout[0].contains(&again), "{done:?}");
    assert!(letters(data.path()).await?.is_empty());

    let all = Client::of(&up)?.events("s", "start").await?;
    one_end_each(all, &[&turn, &again]).await
}

/// Each turn has begun and ended once in the session's log.
async fn one_end_each(mut events: testkit::sse::Sse, turns: &[&str]) -> Result<()> {
    for turn in turns {
        let frames = events.read_until(is_end).await?;
        let of_turn = |it: &Frame| it.json()["turnId"] == *turn;
        assert!(frames.iter().all(of_turn), "{turn}: {frames:?}");
        assert_eq!(frames.iter().filter(|it| it.is("started")).count(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn letters_on_nats_are_put_back_into_its_queue() -> Result<()> {
    let nats = Server::start().await?;
    let broker = broker::nats::open(broker::nats::Config::new(nats.url())).await?;
    let (session, turn) =
        (Session::parse("ann.b", "*").map_err(|it| anyhow!("{it:?}"))?, TurnId::new());
    let letter = DeadLetter {
        job: Some(Job {
            version: proto::FORMAT,
            user_id: "ann.b".to_owned(),
            session_id: "*".to_owned(),
            turn_id: turn.to_string(),
            messages: vec![Message {
                role: "user".to_owned(),
                content: "why?".to_owned(),
                ..Message::default()
            }],
            ..Job::default()
        }),
        reason: "\u{1b}[2J".to_owned(),
        ..DeadLetter::default()
    };
    let garbage = DeadLetter { payload: vec![7].into(), ..DeadLetter::default() };
    for (name, letter) in [(turn.to_string(), letter), ("17".to_owned(), garbage)] {
        let value = letter.encode_to_vec().into();
        let key = Key::session(&session).child(&name);
        broker.records.put(Bucket::DeadLetters, &key, value, Expected::Absent).await?;
    }
    let jobs = async |arguments: &[&str]| {
        let mut command = weir(&["jobs"]);
        command.args(arguments).args(["--nats", &nats.url()]);
        Weir::run(command).await
    };
    let (code, listed) = jobs(&["list"]).await?;
    assert_eq!(code, Some(0));
    assert!(listed.stdout.iter().any(|it| it.contains(r"\u{1b}[2J")), "{listed:?}");

    let (code, done) = jobs(&["retry", "--all"]).await?;
    assert_eq!(code, Some(1), "{done:?}");
    assert!(done.stdout.len() == 1 && done.stderr.len() == 1, "{done:?}");
    assert!(done.stderr[0].contains("weir jobs drop"), "{done:?}");
    let (_, depth) = jobs(&["queue"]).await?;
    assert_eq!(depth.stdout, ["unfinished jobs: 1"]);
    let delivery = broker.queue.next().await?;
    assert_eq!(delivery.job.messages[0].content, "why?");
    assert_ne!(delivery.turn, turn);

    let (code, dropped) = jobs(&["drop", "17"]).await?;
    assert_eq!(code, Some(0), "{dropped:?}");
    let (_, listed) = jobs(&["list", "--json"]).await?;
    assert!(listed.stdout.is_empty(), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn where_nothing_is_jobs_says_what_to_do() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (code, output) = jobs(&["list"], data.path()).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr[0].contains("--data") && output.stderr[0].contains("--nats"));
    assert_eq!(std::fs::read_dir(data.path())?.count(), 0, "a look makes no store");

    let (code, _) = jobs(&["retry"], data.path()).await?;
    assert_eq!(code, Some(2));
    let (code, _) = jobs(&["retry", "--all", "one"], data.path()).await?;
    assert_eq!(code, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_folder_held_by_a_process_without_a_socket_is_told_apart() -> Result<()> {
    let (model, data) = (FakeModel::start().await?, tempfile::tempdir()?);
    std::fs::write(data.path().join("weir.sock"), "not a socket")?;
    let up = start(data.path(), &model).await?;
    up.wait_for("a warning", |it| it.stderr.iter().any(|line| line.contains("weir jobs"))).await?;
    let (code, output) = jobs(&["list"], data.path()).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr[0].contains("in use by another process"), "{output:?}");
    Ok(())
}
