//! `/agent/*` with a client of another language, written as the documentation of
//! the system before Weir says, against everything in one process.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::json;
use testkit::model::Script;
use testkit::process::Weir;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

use crate::stage::{Client, said, tokens};
use crate::tools::{Surroundings, call, configured};

/// Longer than the client takes.
const PATIENCE: Duration = Duration::from_mins(3);

/// Asks for something to be counted, and tells what came of it.
fn counting(id: &str) -> String {
    Script {
        text: Some("I would count.".to_owned()),
        tool_calls: vec![call(id, "t__count", &json!({ "by": 1 }))],
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    }
    .question()
}

#[tokio::test]
async fn a_python_client_of_the_system_before_meets_what_it_was_written_for() -> Result<()> {
    let around = Surroundings::start().await?;
    let file = around.configure("")?;
    let data = around.folder().join("data").display().to_string();
    let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", &data];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let text = "It is so.";
    let plain = Script { text: Some(text.to_owned()), ..Script::default() };
    let questions = json!({
        "plain": plain.question(), "says": text,
        "stream": tokens(40, 1), "streams": said(40),
        "count": counting("a"), "more": counting("b"),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/agent_family/client.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(weir.value("page")?).arg(questions.to_string()).kill_on_drop(true);
    let output = timeout(PATIENCE, python.output()).await??;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("everything was as documented"), "{out}");
    // Accepted, edited to 20 and to 99, accepted; not when rejected or answered.
    assert_eq!(around.server.count(), 121, "{:?}", around.server.calls());
    let client = Client::of(&weir)?.user("用户.1");
    let memories = client.memories().await?;
    assert_eq!(memories["memories"][0]["text"], "Likes green tea.", "it outlives every session");
    Ok(())
}
