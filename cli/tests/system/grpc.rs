//! The agent as people with a generic gRPC client meet it: no proto file at
//! hand, only reflection.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::process::{Weir, command};

use crate::stage::{up, weir};
use crate::tools::{Surroundings, call, configured, decision, ids};

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

/// Asks an agent as ann, in session `s`, and reads the turn to its end.
async fn ask(agent: &Weir, request: &Value) -> Result<Vec<Value>> {
    let url = format!("http://{}/weir.v1.KnowledgeAgent/Ask", agent.value("grpc")?);
    let mut asked = json!({ "userId": "ann", "sessionId": "s" });
    for (name, value) in request.as_object().into_iter().flatten() {
        asked[name] = value.clone();
    }
    let said = curl(&["--data", &asked.to_string(), &url]).await?;
    Ok(serde_json::Deserializer::from_str(&said).into_iter().collect::<Result<_, _>>()?)
}

fn question(text: &str) -> Value {
    json!({ "messages": [{ "role": "user", "content": text }] })
}

fn text(events: &[Value]) -> String {
    events.iter().filter_map(|it| it["text"].as_str()).collect()
}

fn end(events: &[Value]) -> Result<&Value> {
    events.last().context("a terminal event")
}

/// An agent and nothing else: no NATS, no gateway, no worker.
async fn alone(around: &Surroundings) -> Result<Weir> {
    let folder = |name: &str| around.folder().join(name).display().to_string();
    let flags = ["agent", "--grpc", "127.0.0.1:0", "--data", &folder("data")];
    Weir::start(configured(&flags, &folder("agent.toml"), "sk-one")).await
}

#[tokio::test]
async fn an_agent_alone_calls_tools_and_is_told_by_a_human_what_to_do() -> Result<()> {
    let around = Surroundings::start().await?;
    around.configure("")?;
    let mut agent = alone(&around).await?;
    let script = Script {
        text: Some("First I read.".to_owned()),
        tool_calls: vec![call("read", "t__read", &json!({ "key": "x" }))],
        then: vec![
            Script {
                tool_calls: vec![
                    call("one", "t__count", &json!({ "by": 1 })),
                    call("ten", "t__count", &json!({ "by": 10 })),
                ],
                ..Script::default()
            },
            Script { echo_tools: true, ..Script::default() },
        ],
        ..Script::default()
    };
    let turn = "0193b3a0-0000-7000-8000-000000000001";
    let mut asked = question(&script.question());
    asked["turnId"] = turn.into();
    let said = ask(&agent, &asked).await?;
    let waiting = end(&said)?["interrupted"]["calls"].clone();
    assert_eq!(ids(&waiting), ["one", "ten"], "{said:?}");
    assert_eq!(around.server.count(), 0);

    agent.kill().await?;
    let agent = alone(&around).await?;
    let accept = decision(&waiting[0], "accept", &json!({}));
    let reject = decision(&waiting[1], "reject", &json!({ "message": "that is too much" }));
    let resume = json!({ "resume": { "turnId": turn, "decisions": [accept, reject] } });
    let said = ask(&agent, &resume).await?;
    assert!(end(&said)?["completed"].is_object(), "{said:?}");
    let told = text(&said);
    for words in ["the value of x", "the counter is 1", "that is too much"] {
        assert!(told.contains(words), "the model has not heard `{words}`: {told}");
    }
    assert_eq!(around.server.count(), 1);
    let again = ask(&agent, &resume).await?;
    assert_eq!(end(&again)?["failed"]["code"], "decision_refused", "{again:?}");
    assert_eq!(around.server.count(), 1);
    Ok(())
}

#[tokio::test]
async fn an_agent_alone_remembers_its_user_and_answers_from_documents_with_sources() -> Result<()> {
    let around = Surroundings::start().await?;
    let docs = around.folder().join("docs");
    std::fs::create_dir(&docs)?;
    std::fs::write(docs.join("kettle.md"), "# Kettle\n\nDescale the kettle every ninety days.\n")?;
    around.configure(&format!("[knowledge]\nfolders = [\"{}\"]", docs.display()))?;
    let mut agent = alone(&around).await?;
    let keeps = Script {
        tool_calls: vec![call("keep", "remember", &json!({ "text": "Ann has a blue kettle." }))],
        then: vec![Script { text: Some("Kept.".to_owned()), ..Script::default() }],
        ..Script::default()
    };
    let said = ask(&agent, &question(&keeps.question())).await?;
    assert_eq!(text(&said), "Kept.", "{said:?}");
    agent.kill().await?;

    let agent = alone(&around).await?;
    let looks = Script {
        tool_calls: vec![
            call("know", "search_knowledge", &json!({ "query": "descale the kettle" })),
            call("mine", "recall", &json!({ "query": "kettle" })),
        ],
        then: vec![Script { text: Some("Every ninety days [1].".to_owned()), ..Script::default() }],
        ..Script::default()
    };
    let mut asked = question(&looks.question());
    asked["sessionId"] = "another".into();
    let said = ask(&agent, &asked).await?;
    let cited = said.iter().find(|it| it["citation"].is_object()).context("a citation")?;
    assert_eq!(cited["citation"]["source"], "kettle.md", "{cited}");
    assert_eq!(cited["citation"]["firstLine"], 3, "{cited}");
    let heard = around.model.calls().last().context("a call")?.body.to_string();
    for words in ["ninety days", "Ann has a blue kettle."] {
        assert!(heard.contains(words), "{words}: {heard}");
    }
    let mut other = question("Which kettle do I have?");
    other["userId"] = "ben".into();
    ask(&agent, &other).await?;
    let heard = around.model.calls().last().context("a call")?.body.to_string();
    assert!(!heard.contains("blue"), "{heard}");
    Ok(())
}
