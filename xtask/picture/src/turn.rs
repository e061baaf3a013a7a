//! One turn of a gateway, a worker and an agent in processes of their own, and
//! the trace of it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::collector::{Span, TraceCollector};
use testkit::mcp;
use testkit::model::{FakeModel, Script, ToolCall};
use testkit::nats;
use testkit::process::{Weir, command};
use testkit::sse::Sse;
use tokio::process::Command;

use crate::weir;

/// The trace that the question is a part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// How long a model thinks before it speaks, in milliseconds, and how fast it
/// speaks then.
const THINKS: u64 = 120;
const SPEAKS: (usize, u64) = (40, 8);

/// Runs the turn; its spans.
pub(crate) async fn trace() -> Result<Vec<Span>> {
    let collector = TraceCollector::start().await?;
    let (model, tools) = (FakeModel::start().await?, mcp::Server::start().await?);
    let nats = nats::Server::start().await?;
    let folder = tempfile::tempdir()?;
    let file = configure(folder.path(), &model, &tools)?;
    let started = async |arguments: &[&str]| {
        let mut command: Command = command(weir()?, arguments);
        command.env("NATS_URL", nats.url()).env("KEY", "picture");
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
        Weir::start(command).await
    };
    let mut agent = started(&["agent", "--grpc", "127.0.0.1:0", "--config", &file]).await?;
    let url = format!("http://{}", agent.value("grpc")?);
    let mut worker = started(&["worker", "--agent", &url]).await?;
    let mut gateway = started(&["gateway", "--http", "127.0.0.1:0"]).await?;

    let page = gateway.value("page")?;
    // The first turn of a process opens its connections.
    for (session, trace) in [("warm", "0af7651916cd43dd8448eb211c80319c"), ("shown", TRACE)] {
        ask(&page, session, trace).await?;
    }
    for role in [&mut gateway, &mut worker, &mut agent] {
        role.terminate()?;
        ensure!(role.exit().await?.success(), "{:?}", role.output());
    }
    Ok(collector.spans().into_iter().filter(|it| it.trace == TRACE).collect())
}

async fn ask(page: &str, session: &str, trace: &str) -> Result<()> {
    let slow = json!({ "steps": 3, "every_ms": 30 }).to_string();
    let calls =
        vec![ToolCall { id: "c1".to_owned(), name: "tools__slow".to_owned(), arguments: slow }];
    let (tokens, every_ms) = (Some(SPEAKS.0), SPEAKS.1);
    let script = Script {
        delay_ms: THINKS,
        tool_calls: calls,
        then: vec![Script { delay_ms: THINKS, tokens, every_ms, ..Script::default() }],
        ..Script::default()
    };
    let asked = reqwest::Client::new()
        .post(format!("{page}v1/sessions/{session}/turns"))
        .header("accept", "text/event-stream")
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({ "userId": "picture", "input": script.question() }));
    let frames = Sse::open(asked.send().await?).await?.read_all().await?;
    ensure!(frames.last().is_some_and(|it| it.is("completed")), "{frames:?}");
    Ok(())
}

fn configure(folder: &Path, model: &FakeModel, tools: &mcp::Server) -> Result<String> {
    let path = folder.join("agent.toml");
    let text = format!(
        "model = \"openai/script\"\n[providers.openai]\nbase_url = \"{}\"\nkey_env = \"KEY\"\n\
         [mcp.tools]\nurl = \"{}\"\ntrusted = true\n",
        model.base_url(),
        tools.url()
    );
    std::fs::write(&path, text)?;
    Ok(path.to_str().context("a temporary path is UTF-8")?.to_owned())
}
