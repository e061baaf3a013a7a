//! `weir up` on one machine: no key, no network, no NATS, and nothing lost by
//! kill -9.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use testkit::sse::Sse;

use crate::stage::{Client, is_end, said, text, up, weir};

#[tokio::test]
async fn a_fresh_start_answers_about_weir_in_english_and_chinese_with_sources() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    for (question, word, folder) in [
        ("How does a stream resume?", "position", "en/"),
        ("断线之后，流怎样继续？", "位置", "zh/"),
    ] {
        let frames = client.ask("s", question).await?.read_all().await?;
        assert!(text(&frames).contains(word), "{question}: {}", text(&frames));
        let cited = frames.iter().find(|it| it.is("citation")).context("a citation")?.json();
        let source = cited["citation"]["source"].as_str().context("a source")?.to_owned();
        assert!(source.starts_with(folder), "{source}");
        assert!(cited["citation"]["firstLine"].as_u64().is_some_and(|it| it > 0));
        assert!(frames.last().is_some_and(|it| it.is("completed")));
    }

    // Who comes later has the sources, too, and each mark leads to one of them.
    let request = client.get("/v1/sessions/s/turns").query(&[("userId", "test_user")]);
    let kept = request.send().await?.json::<serde_json::Value>().await?;
    let turns = kept["turns"].as_array().context("turns")?;
    assert_eq!(turns.len(), 2);
    let mut numbers = std::collections::HashSet::new();
    for turn in turns {
        let said = turn["messages"][1]["content"].as_str().context("an answer")?;
        let sources = turn["sources"].as_array().context("sources")?;
        for source in sources {
            assert!(said.contains(&format!("[{}]", source["number"])), "{source}: {said}");
            assert!(numbers.insert(source["number"].as_u64()), "one number, one place: {source}");
        }
        assert!(!sources.is_empty(), "{turn}");
    }
    Ok(())
}

#[tokio::test]
async fn the_old_chat_contract_streams_and_ends() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let body = r#"{"userId":"test_user","messages":[{"role":"user","content":"帕金森的治疗方案有哪些?"}]}"#;
    let request = Client::of(&weir)?.post("/chat").header("content-type", "application/json");
    let frames = Sse::open(request.body(body).send().await?).await?.read_all().await?;

    assert!(frames.first().is_some_and(|it| it.is("session")));
    let session = frames[0].json()["sessionId"].clone();
    assert!(session.as_str().is_some_and(|it| it.len() == 36), "{session}");
    let messages: Vec<_> =
        frames.iter().filter(|it| it.is("message")).map(testkit::sse::Frame::json).collect();
    assert!(messages.iter().all(|it| it["type"] == "text_chunk" && it["sessionId"] == session));
    assert!(messages.iter().any(|it| it["content"].as_str().is_some_and(|it| !it.is_empty())));
    let end = frames.last().context("an end")?;
    assert!(end.is("end"));
    assert_eq!(end.json()["status"], "completed");
    Ok(())
}

#[tokio::test]
async fn a_killed_process_goes_on_with_the_accepted_turn_after_its_restart() -> Result<()> {
    let model = FakeModel::start().await?;
    let data = tempfile::tempdir()?;
    let start = || {
        let mut command = weir(&["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        command.args(["--model", "openai/script", "--data"]).arg(data.path());
        command.env("OPENAI_BASE_URL", model.base_url());
        Weir::start(command)
    };
    let mut first = start().await?;
    let held = Script { tokens: Some(30), hold_after: Some(10), ..Script::default() };
    let mut stream = Client::of(&first)?.ask("s", &held.question()).await?;
    let before = stream.read_until(|it| text(std::slice::from_ref(it)).contains("t9 ")).await?;
    first.kill().await?;
    model.release();

    let second = start().await?;
    let last = before.last().and_then(|it| it.id.clone()).context("an id")?;
    let after = Client::of(&second)?.resume("s", &last).await?.read_until(is_end).await?;
    let rewind = after.iter().position(|it| it.is("rewind")).context("a rewind")?;
    assert_eq!(after[rewind].json()["rewind"], json!({}), "to the very beginning");
    assert_eq!(text(&after[..rewind]), "");
    assert_eq!(text(&after[rewind..]), said(30));
    assert!(after.last().is_some_and(|it| it.is("completed")));
    Ok(())
}

/// Starts what cannot start, and checks the one line it says about that.
async fn refused(arguments: &str, words: &str) -> Result<()> {
    let arguments: Vec<_> = arguments.split(' ').collect();
    let (code, output) = Weir::run(weir(&arguments)).await?;
    let said = output.stderr.join("\n");
    assert_eq!(code, Some(1), "{arguments:?}: {said}");
    assert!(said.contains(words), "{arguments:?}: {said}");
    assert_eq!(output.stderr.len(), 1, "{arguments:?}: {said}");
    Ok(())
}

#[tokio::test]
async fn a_taken_port_and_an_absent_nats_are_one_clear_line_and_exit_code_1() -> Result<()> {
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = held.local_addr()?;
    refused(&format!("up --ephemeral --grpc 127.0.0.1:0 --http {taken}"), "--http").await?;
    refused(&format!("up --ephemeral --http 127.0.0.1:0 --grpc {taken}"), "--grpc").await?;
    drop(held);
    let absent = format!("gateway --http 127.0.0.1:0 --nats nats://{taken}");
    refused(&absent, &taken.to_string()).await?;
    refused("up --ephemeral --http 0.0.0.0:0 --grpc 127.0.0.1:0", "--api-keys").await
}

#[tokio::test]
async fn a_wrong_model_or_folder_is_one_clear_line_and_exit_code_1() -> Result<()> {
    let up = "up --ephemeral --http 127.0.0.1:0 --grpc 127.0.0.1:0";
    refused(&format!("{up} --knowledge /nowhere/at/all"), "/nowhere/at/all").await?;
    refused(&format!("{up} --model openai/x"), "OPENAI_API_KEY").await?;
    refused(&format!("{up} --model what"), "extractive").await
}
