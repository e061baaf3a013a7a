//! The agent as people with a generic gRPC client meet it: no proto file at
//! hand, only reflection.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::process::{Weir, command};

use crate::stage::{up, weir};

/// `buf`, from `PATH` or where `cargo xtask test` puts it.
fn buf() -> Result<PathBuf> {
    let ours =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/buf/node_modules/.bin/buf");
    let path = process::environment::get("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|it| it.join("buf")).chain([ours]).find(|it| it.is_file());
    found.context("buf is missing: run `cargo xtask test` once, or `npm install --prefix target/tools/buf @bufbuild/buf`")
}

async fn curl(arguments: &[&str]) -> Result<String> {
    let flags = ["curl", "--protocol", "grpc", "--http2-prior-knowledge"];
    let (code, output) = Weir::run(command(buf()?, [&flags[..], arguments].concat())).await?;
    ensure!(code == Some(0), "{output:?}");
    Ok(output.stdout.join("\n"))
}

#[tokio::test]
async fn reflection_lists_the_agent_and_ask_streams_events() -> Result<()> {
    let server = up(&["--ephemeral"]).await?;
    let url = format!("http://{}", server.value("grpc")?);
    let services = curl(&["--list-services", &url]).await?;
    assert!(services.lines().any(|it| it == "weir.v1.KnowledgeAgent"), "{services}");

    let question = r#"{"userId":"u1","sessionId":"s1","messages":[{"role":"user","content":"What is Weir?"}]}"#;
    let said = curl(&["--data", question, &format!("{url}/weir.v1.KnowledgeAgent/Ask")]).await?;
    let events: Vec<Value> =
        serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>()?;
    assert!(events.len() > 3, "{said}");
    assert_eq!(events[0]["index"], 1);
    assert!(events.iter().any(|it| it["text"].is_string()));
    assert!(events.last().is_some_and(|it| it["completed"].is_object()), "{said}");
    Ok(())
}

#[tokio::test]
async fn an_agent_alone_needs_no_nats() -> Result<()> {
    let agent = weir(&["agent", "--grpc", "127.0.0.1:0", "--ephemeral"]);
    let agent = Weir::start(agent).await?;
    let url = format!("http://{}/weir.v1.KnowledgeAgent/Ask", agent.value("grpc")?);
    let question = r#"{"userId":"u1","sessionId":"s1","messages":[{"role":"user","content":"What is Weir?"}]}"#;
    assert!(curl(&["--data", question, &url]).await?.contains("completed"));
    Ok(())
}
