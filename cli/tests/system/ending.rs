//! `weir cancel` and `weir delete`, as a person at a terminal uses them, and a
//! question whose first answer was lost.

use anyhow::Result;
use testkit::model::{Ending, FakeModel, Script};
use testkit::process::{Output, Weir};
use testkit::sse::raw;

use crate::stage::{Client, is_end, said, text, weir};

async fn stage(model: &FakeModel) -> Result<Weir> {
    let mut command =
        weir(&["up", "--ephemeral", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--model", "openai/script"]).env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

/// A client's command against this server, as the tests' user.
async fn run(server: &Weir, arguments: &[&str]) -> Result<(Option<i32>, Output)> {
    let mut command = weir(arguments);
    command.env("WEIR_SERVER", server.value("page")?).env("WEIR_USER", "test_user");
    Weir::run(command).await
}

#[tokio::test]
async fn a_turn_is_stopped_from_the_command_line_and_stopping_it_twice_is_no_error() -> Result<()> {
    let model = FakeModel::start().await?;
    let server = stage(&model).await?;
    let held = Script { tokens: Some(20), hold_after: Some(5), ..Script::default() };
    let mut stream = Client::of(&server)?.ask("s", &held.question()).await?;
    let mut frames = stream.read_until(|it| text(std::slice::from_ref(it)).contains("t4 ")).await?;
    let turn = frames[0].json()["turnId"].as_str().unwrap_or_default().to_owned();

    let (code, output) = run(&server, &["cancel", "s", "--turn", &turn]).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout[0].contains(&turn), "{output:?}");
    frames.extend(stream.read_until(is_end).await?);
    assert!(frames.last().is_some_and(|it| it.is("cancelled")));
    assert_eq!(text(&frames), said(5));
    assert_eq!(model.wait_for_hangup().await?.ending, Ending::HungUp);

    let (code, output) = run(&server, &["cancel", "s"]).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout[0].contains("nothing to stop"), "{output:?}");
    let (code, output) = run(&server, &["cancel", "never-seen"]).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr.len() == 1 && output.stderr[0].contains("404"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_session_is_erased_from_the_command_line() -> Result<()> {
    let model = FakeModel::start().await?;
    let server = stage(&model).await?;
    let client = Client::of(&server)?;
    client.ask("a b", "remember me").await?.read_all().await?;
    let (code, output) = run(&server, &["delete", "a b"]).await?;
    assert_eq!(code, Some(0), "{output:?}");

    let (code, output) = run(&server, &["delete", "never-seen"]).await?;
    assert_eq!(code, Some(1));
    assert!(output.stderr.len() == 1 && output.stderr[0].contains("404"), "{output:?}");
    let fresh = client.ask("a b", "who am I?").await?.read_all().await?;
    assert_eq!(text(&fresh), testkit::model::echo("who am I?", 1), "the history is gone");
    Ok(())
}

#[tokio::test]
async fn a_question_sent_again_is_told_a_place_from_which_its_turn_is_read_whole() -> Result<()> {
    let model = FakeModel::start().await?;
    let server = stage(&model).await?;
    let client = Client::of(&server)?;
    let submit = async |number: usize| {
        let request = client.post("/v1/sessions/s/turns").header("prefer", "respond-async");
        let body =
            serde_json::json!({ "userId": "test_user", "input": format!("question {number}") });
        let request = request.header("idempotency-key", number.to_string()).json(&body);
        anyhow::Ok(request.send().await?.json::<serde_json::Value>().await?)
    };
    for number in 0..3 {
        // Another session's entries stand between this one's.
        client.ask("other", "in between").await?.read_all().await?;
        let accepted = submit(number).await?;
        let position = accepted["position"].as_str().unwrap_or_default();
        let first = client.resume("s", position).await?.read_until(is_end).await?;
        let again = submit(number).await?;
        assert_eq!(again["turnId"], accepted["turnId"]);
        let position = again["position"].as_str().unwrap_or_default();
        let second = client.resume("s", position).await?.read_until(is_end).await?;
        assert_eq!(raw(&second), raw(&first), "turn {number}");
    }
    Ok(())
}
