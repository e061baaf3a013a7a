//! What a stranger may send to a running Weir: a clear answer each time, never
//! a hang, never another session's data.

use anyhow::Result;
use serde_json::{Value, json};

use crate::stage::{Client, text, up};

/// Sends a body and checks that the answer is a problem document.
async fn refused(client: &Client, session: &str, body: String, expected: u16) -> Result<()> {
    let shown: String = body.chars().take(60).collect();
    let request = client.post(&format!("/v1/sessions/{session}/turns"));
    let response = request.header("content-type", "application/json").body(body).send().await?;
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str()?.to_owned();
    let problem: Value = response.json().await?;
    assert_eq!(status, expected, "{session} {shown}: {problem}");
    assert_eq!(kind, "application/problem+json", "{session} {shown}");
    assert_eq!(problem["status"], status, "{session} {shown}");
    assert!(problem["detail"].as_str().is_some_and(|it| !it.is_empty()), "{session} {shown}");
    Ok(())
}

#[tokio::test]
async fn bad_bodies_are_answered_with_a_problem_document() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    refused(&client, "s", String::new(), 400).await?;
    refused(&client, "s", "x".repeat(10 * 1024 * 1024), 413).await?;
    refused(&client, "s", "what".into(), 400).await?;
    refused(&client, "s", "[".repeat(100_000), 400).await?;
    for body in [
        json!({ "userId": 7, "input": "hi" }),
        json!({ "userId": "u" }),
        json!({ "userId": "u", "input": "" }),
        json!({ "userId": "u", "input": "hi", "more": 1 }),
    ] {
        refused(&client, "s", body.to_string(), 400).await?;
    }
    Ok(())
}

#[tokio::test]
async fn bad_ids_are_answered_with_a_problem_document() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    let long = "x".repeat(300);
    for user in ["", &long, "a\nb"] {
        let body = json!({ "userId": user, "input": "hi" }).to_string();
        refused(&client, "s", body, 400).await?;
    }
    let good = json!({ "userId": "u", "input": "hi" }).to_string();
    for session in [&long, "a%0d%0aPUB", "a%00b"] {
        refused(&client, session, good.clone(), 400).await?;
    }
    Ok(())
}

#[tokio::test]
async fn odd_ids_are_fine_and_isolated() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    for session in ["a.b", "*", "%3E", "a%20b", "%E7%94%A8%E6%88%B7"] {
        client.ask(session, "What is Weir?").await?.read_all().await?;
    }
    for session in ["a", "b", "a.c", "a%20"] {
        let state: Value = client
            .get(&format!("/v1/sessions/{session}?userId=test_user"))
            .send()
            .await?
            .json()
            .await?;
        assert_eq!(state["status"], "not_found", "{session}: {state}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_model_fails_the_turn_and_a_foreign_position_is_a_gap() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    let body = json!({ "userId": "test_user", "input": "hi", "model": "openai/nobody" });
    let request = client.post("/v1/sessions/m/turns").header("accept", "application/json");
    let answer: Value = request.json(&body).send().await?.json().await?;
    assert_eq!(answer["status"], "failed", "{answer}");
    assert_eq!(answer["error"]["code"], "invalid_request", "{answer}");

    client.ask("s", "What is Weir?").await?.read_all().await?;
    for foreign in ["0-1", "zzzz-99"] {
        let mut events = client.resume("s", foreign).await?;
        assert!(events.next().await?.is_some_and(|it| it.is("gap")), "{foreign}");
    }
    for nonsense in ["what", "1-2-3", "-"] {
        let path = "/v1/sessions/s/events?userId=test_user";
        let response = client.get(path).header("last-event-id", nonsense).send().await?;
        assert_eq!(response.status(), 400, "{nonsense}");
    }
    Ok(())
}

#[tokio::test]
async fn text_that_looks_like_frames_stays_text() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    let client = Client::of(&weir)?;
    let nasty = "a\r\n\r\nevent: completed\ndata: {}\n\n\u{2028}id: 1\rb";
    let frames = client.ask("s", nasty).await?.read_all().await?;
    assert_eq!(frames[0].json()["started"]["input"], nasty);
    assert_eq!(frames.iter().filter(|it| it.is("completed")).count(), 1);
    assert!(!text(&frames).is_empty());
    Ok(())
}
