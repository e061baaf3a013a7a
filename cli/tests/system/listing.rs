//! A user's conversations as a list, and what was said in each, with everything
//! in one process.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::process::Weir;
use tokio::time::{Duration, Instant, sleep};

use crate::stage::{Client, is_end, tokens};
use crate::tools::{Surroundings, call, configured};

/// Longer than a worker takes to write down what it has done.
const PATIENCE: Duration = Duration::from_secs(20);

async fn read(client: &Client, path: &str, query: &[(&str, &str)]) -> Result<Value> {
    let query = [&[("userId", "test_user")], query].concat();
    let response = client.get(path).query(&query).send().await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    Ok(response.json().await?)
}

/// One field of each session of a list.
fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let sessions = list["sessions"].as_array().into_iter().flatten();
    sessions.map(|it| it[name].as_str().unwrap_or_default()).collect()
}

/// The list once it says so.
async fn until(client: &Client, name: &str, expected: &[&str]) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = read(client, "/v1/sessions", &[]).await?;
        if column(&list, name) == expected {
            return Ok(list);
        }
        ensure!(Instant::now() < deadline, "{name} is not {expected:?}: {list}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// How each turn of a session stands.
async fn statuses(client: &Client, session: &str) -> Result<Vec<String>> {
    let told = read(client, &format!("/v1/sessions/{session}/turns"), &[]).await?;
    let turns = told["turns"].as_array().context("turns")?.iter();
    turns.map(|it| Ok(it["status"].as_str().context("a status")?.to_owned())).collect()
}

async fn ask(client: &Client, session: &str, question: &str) -> Result<()> {
    client.ask(session, question).await?.read_until(is_end).await.map(drop)
}

/// Asks for something without end, and stops it once it has begun to speak.
async fn stop(client: &Client, session: &str) -> Result<()> {
    let held = Script { tokens: Some(9), hold_after: Some(2), ..Script::default() };
    let mut said = client.ask(session, &held.question()).await?;
    said.read_until(|it| it.is("text")).await?;
    client.cancel(session, None).await?;
    said.read_until(is_end).await.map(drop)
}

#[tokio::test]
async fn conversations_are_listed_read_renamed_and_deleted() -> Result<()> {
    let around = Surroundings::start().await?;
    let file = around.configure("")?;
    let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ephemeral"];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let client = Client::of(&weir)?;
    let waits = Script {
        tool_calls: vec![call("a", "t__count", &json!({ "by": 1 }))],
        ..Script::default()
    };
    let breaks = Script { tokens: Some(9), error_after: Some(3), ..Script::default() };
    ask(&client, "done", "Say this back.").await?;
    ask(&client, "waits", &waits.question()).await?;
    ask(&client, "broken", &breaks.question()).await?;
    stop(&client, "stopped").await?;

    let endings = ["cancelled", "failed", "interrupted", "completed"];
    let list = until(&client, "ending", &endings).await?;
    assert_eq!(column(&list, "sessionId"), ["stopped", "broken", "waits", "done"]);
    assert_eq!(column(&list, "status"), ["idle", "idle", "interrupted", "idle"]);
    assert_eq!(column(&list, "title")[3], "Say this back.");
    let done = &list["sessions"][3];
    assert!(done["lastAnswer"].as_str().is_some_and(|it| !it.is_empty()), "{done}");
    let first = read(&client, "/v1/sessions", &[("limit", "3")]).await?;
    let cursor = first["cursor"].as_str().context("a cursor")?;
    let rest = read(&client, "/v1/sessions", &[("limit", "3"), ("cursor", cursor)]).await?;
    assert_eq!(column(&rest, "sessionId"), ["done"]);

    for (session, ending) in [
        ("done", "completed"),
        ("waits", "interrupted"),
        ("broken", "failed"),
        ("stopped", "cancelled"),
    ] {
        assert_eq!(statuses(&client, session).await?, [ending], "{session}");
        ask(&client, session, &tokens(2, 0)).await?;
        // By now only the transcript knows it.
        assert_eq!(statuses(&client, session).await?, [ending, "completed"], "{session}");
    }

    let title = json!({"userId": "test_user", "title": "Mine"});
    let url = client.get("/v1/sessions/done").build()?.url().clone();
    let http = reqwest::Client::new();
    let renamed = http.patch(url).json(&title).send().await?;
    ensure!(renamed.status() == 200, "{}", renamed.text().await?);
    ask(&client, "done", "And this?").await?;
    let list = until(&client, "sessionId", &["done", "stopped", "broken", "waits"]).await?;
    assert_eq!(column(&list, "title")[0], "Mine", "a worker takes no title away");
    assert_eq!(client.erase("done").await?, 200);
    until(&client, "sessionId", &["stopped", "broken", "waits"]).await?;
    Ok(())
}
