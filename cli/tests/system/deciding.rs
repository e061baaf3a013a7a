//! `weir decide`: a person at a terminal answers for tool calls.

use anyhow::Result;
use serde_json::json;
use testkit::model::{FakeModel, Script};
use testkit::process::{Output, Weir};

use crate::stage::{up, weir};

async fn run(server: &str, arguments: &[&str]) -> Result<(Option<i32>, Output)> {
    let (command, rest) = arguments.split_first().expect("a command");
    Weir::run(weir(&[&[*command, "--server", server], rest].concat())).await
}

#[tokio::test]
async fn calls_that_wait_are_shown_decided_in_parts_and_each_once() -> Result<()> {
    let (model, folder) = (FakeModel::start().await?, tempfile::tempdir()?);
    let file = folder.path().join("agent.toml");
    std::fs::write(folder.path().join("key"), "sk-1\n")?;
    let text = format!(
        "model = \"mine/script\"\n[providers.mine]\nbase_url = \"{}\"\nkey_file = \"key\"\n\
         [tools.rules]\nremember = \"review\"\n",
        model.base_url()
    );
    std::fs::write(&file, text)?;
    let server = up(&["--ephemeral", "--config", &file.display().to_string()]).await?;
    let page = server.value("page")?;
    let call = |id: &str, text: &str| json!({"id": id, "name": "remember", "arguments": json!({"text": text}).to_string()});
    let script: Script = serde_json::from_value(json!({
        "tool_calls": [call("a", "tea\u{1b}[2J"), call("b", "milk")],
        "then": [{"echo_tools": true}],
    }))?;

    let (code, asked) = run(&page, &["ask", "--session", "s", &script.question()]).await?;
    assert_eq!(code, Some(3), "{asked:?}");
    let told = asked.stderr.join("\n");
    assert!(told.contains("[waits for a human]\n  a: remember: text = \"tea"), "{told}");
    assert!(told.contains("weir decide s --accept a") && !told.contains('\u{1b}'), "{told}");

    let (code, listed) = run(&page, &["decide", "s"]).await?;
    assert_eq!(code, Some(0), "{listed:?}");
    assert!(listed.stdout.iter().any(|it| it == r#"    {"text":"milk"}"#), "{listed:?}");

    let (code, partly) = run(&page, &["decide", "s", "--accept", "a"]).await?;
    assert_eq!(code, Some(3), "{partly:?}");
    assert!(partly.stderr[0].starts_with("accept a: remember: text = \"tea"), "{partly:?}");
    assert!(partly.stderr.join("\n").contains("\n  b: remember"), "{partly:?}");
    let (code, twice) = run(&page, &["decide", "s", "--reject", "a"]).await?;
    assert_eq!(code, Some(1));
    assert!(twice.stderr.join("\n").contains("no call a waits for a decision; waiting: b"));

    let (code, rest) = run(&page, &["decide", "s", "--respond", "b", "no milk today"]).await?;
    assert_eq!(code, Some(0), "{rest:?}");
    assert!(rest.stdout.join("\n").contains("no milk today"), "{rest:?}");
    let (code, none) = run(&page, &["decide", "s"]).await?;
    let told = vec!["nothing waits for a decision".to_owned()];
    assert_eq!((code, none.stdout, none.stderr), (Some(0), Vec::new(), told));
    Ok(())
}
