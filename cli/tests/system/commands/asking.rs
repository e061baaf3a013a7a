//! `weir ask`: what it prints in each of its forms, and what its exit code says.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::model::{Script, echo};
use testkit::process::Weir;

use super::{Stage, column, held, values};
use crate::stage::{said, tokens};

#[tokio::test]
async fn an_answer_comes_as_text_as_events_at_once_or_as_one_object() -> Result<()> {
    let stage = Stage::start().await?;
    assert_eq!(stage.good(&["ask", "Why?"]).await?, [echo("Why?", 1)]);
    assert_eq!(stage.good(&["ask", "--no-stream", "Why?"]).await?, [echo("Why?", 1)]);

    let events = stage.json(&["ask", "--json", "Why?"]).await?;
    let kinds = column(&events, "event");
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("started", "completed"));
    let text: String = column(&events, "text").concat();
    assert_eq!(text, echo("Why?", 1));

    let asked = ["ask", "--json", "--no-stream", "--session", "s", "Why?"];
    let whole = stage.json(&asked).await?;
    assert_eq!(whole.len(), 1, "{whole:?}");
    assert_eq!(whole[0]["text"], echo("Why?", 1));
    assert_eq!((&whole[0]["status"], &whole[0]["sessionId"]), (&"completed".into(), &"s".into()));
    assert!(whole[0]["turnId"].is_string() && whole[0]["usage"].is_object(), "{whole:?}");
    // The last word counts.
    let lines = stage.json(&["ask", "--json", "--no-stream", "--stream", "Why?"]).await?;
    assert!(lines.len() > 2, "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_conversation_goes_on_by_name_or_where_it_was_left() -> Result<()> {
    let stage = Stage::start().await?;
    let (code, none) = stage.run(&["ask", "--continue", "Why?"]).await?;
    assert_eq!(code, Some(1), "{none:?}");
    assert!(none.stderr[0].contains("no session to go on with"), "{none:?}");
    stage.good(&["ask", "--session", "mine", "One?"]).await?;
    let (code, asked) = stage.run(&["ask", "-v", "--continue", "Two?"]).await?;
    assert_eq!((code, &asked.stdout), (Some(0), &vec![echo("Two?", 2)]));
    let told = asked.stderr.join("\n");
    assert!(told.contains("[go on: weir ask --session mine …]"), "{told}");
    assert!(told.contains("mine/script: ") && told.contains(" tokens read, "), "{told}");
    let (code, refused) = stage.run(&["ask", "--continue", "--session", "s", "Why?"]).await?;
    assert_eq!((code, refused.stdout.len()), (Some(2), 0));
    let (code, quiet) = stage.run(&["ask", "--session", "mine", "Three?"]).await?;
    assert_eq!((code, quiet.stderr), (Some(0), Vec::<String>::new()), "a pipe is told nothing");
    Ok(())
}

#[tokio::test]
async fn instructions_and_a_model_go_with_the_question() -> Result<()> {
    let stage = Stage::start().await?;
    stage.good(&["ask", "--system", "Be brief, otter.", "--model", "mine/echo", "Why?"]).await?;
    let calls = stage.model.wait_for_calls(1).await?;
    let heard = format!("{:?}", calls[0]);
    assert!(heard.contains("Be brief, otter."), "{heard}");
    let (code, refused) = stage.run(&["ask", "--model", "none/such", "Why?"]).await?;
    assert_eq!(code, Some(1), "{refused:?}");
    assert!(refused.stdout.is_empty() && refused.stderr.len() == 1, "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn the_exit_code_says_how_the_turn_ended() -> Result<()> {
    let stage = Stage::start().await?;
    let breaks = Script { tokens: Some(9), error_after: Some(3), ..Script::default() }.question();
    let call = json!({"id": "a", "name": "remember", "arguments": "{\"text\":\"tea\"}"});
    let waits: Script = serde_json::from_value(json!({ "tool_calls": [call] }))?;
    for form in ["--stream", "--no-stream"] {
        let (code, failed) = stage.run(&["ask", form, &breaks]).await?;
        assert_eq!(code, Some(1), "{form}: {failed:?}");
        assert!(failed.stderr.iter().any(|it| it.starts_with("weir: ")), "{form}: {failed:?}");
        let (code, waiting) = stage.run(&["ask", form, &waits.question()]).await?;
        assert_eq!(code, Some(3), "{form}: {waiting:?}");
        assert!(waiting.stderr.join("\n").contains("weir decide "), "{form}: {waiting:?}");
        let asked = ["ask", form, "--json", &breaks];
        let (code, failed) = stage.run(&asked).await?;
        assert_eq!(code, Some(1), "{form}: {failed:?}");
        let last = values(&failed.stdout)?.pop().context("a value")?;
        let why = if form == "--stream" { &last["failed"] } else { &last["error"] };
        assert!(why["message"].is_string(), "{last}");
    }
    let (code, wrong) = stage.run(&["ask", "--nonsense", "Why?"]).await?;
    assert_eq!((code, wrong.stdout.len()), (Some(2), 0));
    Ok(())
}

#[tokio::test]
async fn ctrl_c_stops_the_turn_in_either_form() -> Result<()> {
    let stage = Stage::start().await?;
    for (at, form) in ["--stream", "--no-stream"].into_iter().enumerate() {
        let session = form.trim_start_matches('-');
        let asked = ["ask", form, "--json", "--session", session, &held()];
        let mut asking = Weir::spawn(stage.command(&asked)?)?;
        stage.model.wait_for_calls(at + 1).await?;
        if form == "--stream" {
            asking.wait_for("the third token", |it| it.stdout.join("").contains("t2 ")).await?;
        }
        asking.interrupt()?;
        let status = asking.exit().await?;
        let output = asking.output();
        assert_eq!(status.code(), Some(130), "{form}: {output:?}");
        let last = values(&output.stdout)?.pop().context("the end is told")?;
        let ended = if form == "--stream" { &last["event"] } else { &last["status"] };
        assert_eq!(ended, "cancelled", "{form}: {last}");
        assert!(output.stderr.iter().any(|it| it.contains("stopping")), "{form}: {output:?}");
        let session = stage.client()?.session(session).await?;
        assert_eq!((&session["status"], &session["ending"]), (&idle(), &"cancelled".into()));
    }
    Ok(())
}

fn idle() -> Value {
    "idle".into()
}

#[tokio::test]
async fn a_turn_that_others_stop_or_erase_ends_the_command_as_stopped() -> Result<()> {
    let stage = Stage::start().await?;
    for (at, how) in ["cancel", "delete"].into_iter().enumerate() {
        let mut asking =
            Weir::spawn(stage.command(&["ask", "--json", "--session", how, &held()])?)?;
        stage.model.wait_for_calls(at + 1).await?;
        asking.wait_for("the third token", |it| it.stdout.join("").contains("t2 ")).await?;
        stage.good(&[how, how]).await?;
        assert_eq!(asking.exit().await?.code(), Some(130), "{how}: {:?}", asking.output());
    }
    assert_eq!(stage.good(&["ask", &tokens(3, 0)]).await?, [said(3).trim_end()]);
    Ok(())
}
