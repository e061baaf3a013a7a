//! Asking in an earlier turn's place, over the whole system: what the model is
//! asked, what a page that is loaded anew is told, and what is left when parts die
//! in the middle of it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::{FakeModel, Script};
use testkit::process::Weir;
use testkit::sse::Sse;

use crate::stage::{Client, Fleet, is_end, weir};
use crate::tools::{Surroundings, call, configured, decision};

const SESSION: &str = "s";

/// Everything in one process, in memory.
async fn up(model: &FakeModel) -> Result<Weir> {
    let mut command = weir(&["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.args(["--ephemeral", "--model", "openai/script"]);
    command.env("OPENAI_BASE_URL", model.base_url());
    Weir::start(command).await
}

/// Asks in a turn's place.
async fn instead(
    client: &Client,
    replaces: &str,
    (input, admission): (&str, &str),
) -> Result<reqwest::Response> {
    let body = json!({
        "userId": "test_user", "input": input, "replaces": replaces, "admission": admission,
    });
    let request = client.post(&format!("/v1/sessions/{SESSION}/turns"));
    Ok(request.header("accept", "text/event-stream").json(&body).send().await?)
}

/// The same, to the end of the turn: its id.
async fn replaced(client: &Client, replaces: &str, input: &str) -> Result<String> {
    let response = instead(client, replaces, (input, "reject")).await?;
    let frames = Sse::open(response).await?.read_until(is_end).await?;
    ensure!(frames.last().is_some_and(|it| it.is("completed")), "{frames:?}");
    let started = frames.iter().find(|it| it.is("started")).context("a beginning")?.json();
    assert_eq!(started["started"]["replaces"], replaces, "{started}");
    Ok(started["turnId"].as_str().context("an id")?.to_owned())
}

/// The same, of a turn that fails.
async fn fails(client: &Client, replaces: &str, input: &str) -> Result<String> {
    let response = instead(client, replaces, (input, "reject")).await?;
    let frames = Sse::open(response).await?.read_until(is_end).await?;
    let end = frames.last().context("an end")?;
    ensure!(end.is("failed"), "{frames:?}");
    Ok(end.json()["turnId"].as_str().context("an id")?.to_owned())
}

/// Asks and reads to the end: the turn's id, and the kind of its end.
async fn asked(client: &Client, input: &str) -> Result<(String, String)> {
    let frames = client.ask(SESSION, input).await?.read_until(is_end).await?;
    let end = frames.last().context("an end")?;
    let turn = end.json()["turnId"].as_str().context("an id")?.to_owned();
    Ok((turn, end.event.clone().unwrap_or_default()))
}

/// The status of a refusal, and the last part of its type.
async fn refused(response: reqwest::Response) -> Result<(u16, String)> {
    let status = response.status().as_u16();
    let problem: Value = response.json().await?;
    let kind = problem["type"].as_str().context("a type")?;
    Ok((status, kind.rsplit(':').next().unwrap_or_default().to_owned()))
}

/// What the model was shown in its last call: what the users said.
fn shown(model: &FakeModel) -> Vec<String> {
    let body = model.calls().last().map(|it| it.body.clone()).unwrap_or_default();
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    let asked = messages.iter().filter(|it| it["role"] == "user");
    asked.filter_map(|it| it["content"].as_str().map(str::to_owned)).collect()
}

/// What a page that is loaded now is told: each turn's status and question.
async fn loaded(client: &Client) -> Result<Vec<(String, String)>> {
    let request = client.get(&format!("/v1/sessions/{SESSION}/turns"));
    let response = request.query(&[("userId", "test_user")]).send().await?;
    let page: Value = response.error_for_status()?.json().await?;
    let turns = page["turns"].as_array().context("turns")?.iter();
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    Ok(turns.map(|it| (text(&it["status"]), text(&it["messages"][0]["content"]))).collect())
}

fn completed(questions: &[&str]) -> Vec<(String, String)> {
    questions.iter().map(|it| ("completed".to_owned(), (*it).to_owned())).collect()
}

#[tokio::test]
async fn an_edited_question_and_one_asked_again_stand_where_the_old_ones_stood() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let client = Client::of(&weir)?;
    let mut turns = Vec::new();
    for question in ["One?", "Two?", "Three?"] {
        turns.push(asked(&client, question).await?.0);
    }
    let edited = replaced(&client, &turns[1], "Two, edited?").await?;
    assert_eq!(shown(&model), ["One?", "Two, edited?"]);
    assert_eq!(loaded(&client).await?, completed(&["One?", "Two, edited?"]));

    let again = replaced(&client, &edited, "Two, edited?").await?;
    assert_ne!(again, edited);
    assert_eq!(shown(&model), ["One?", "Two, edited?"]);
    assert_eq!(loaded(&client).await?, completed(&["One?", "Two, edited?"]));

    let asked_before = model.calls().len();
    for gone in [&turns[1], &turns[2], &edited] {
        let late = instead(&client, gone, ("Late?", "reject")).await?;
        assert_eq!(refused(late).await?, (404, "unknown_turn".to_owned()));
    }
    assert_eq!(model.calls().len(), asked_before);

    let (one, two) = tokio::try_join!(
        instead(&client, &again, ("Mine?", "reject")),
        instead(&client, &again, ("No, mine?", "reject")),
    )?;
    let mut won = 0;
    for response in [one, two] {
        if response.status() != 200 {
            let (status, code) = refused(response).await?;
            let late = [(409, "turn_in_progress"), (404, "unknown_turn")];
            ensure!(late.contains(&(status, &code)), "{status} {code}");
            continue;
        }
        let frames = Sse::open(response).await?.read_until(is_end).await?;
        ensure!(frames.last().is_some_and(|it| it.is("completed")), "{frames:?}");
        won += 1;
    }
    assert_eq!(won, 1);
    asked(&client, "And now?").await?;
    let told = shown(&model);
    assert_eq!((told.len(), told[0].as_str(), told[2].as_str()), (3, "One?", "And now?"));
    Ok(())
}

#[tokio::test]
async fn an_edit_that_fails_leaves_what_was_there_and_can_be_tried_again_in_its_place() -> Result<()>
{
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let client = Client::of(&weir)?;
    let failing = Script { status: Some(400), ..Script::default() }.question();
    let (first, end) = asked(&client, &failing).await?;
    assert_eq!(end, "failed");
    let first = replaced(&client, &first, "One?").await?;
    assert_eq!(shown(&model), ["One?"]);
    let (second, _) = asked(&client, "Two?").await?;

    let failed = fails(&client, &first, &failing).await?;
    let mut left = completed(&["One?", "Two?"]);
    left.push(("failed".to_owned(), failing.clone()));
    assert_eq!(loaded(&client).await?, left);
    asked(&client, "Three?").await?;
    assert_eq!(shown(&model), ["One?", "Two?", "Three?"]);
    let gone = instead(&client, &failed, ("?", "reject")).await?;
    assert_eq!(refused(gone).await?.0, 404, "it was never part of the conversation");

    replaced(&client, &second, "Rather?").await?;
    assert_eq!(loaded(&client).await?, completed(&["One?", "Rather?"]));
    let failed = fails(&client, &first, &failing).await?;
    let failed = fails(&client, &failed, &failing).await?;
    let response = instead(&client, &failed, ("One, at last?", "reject")).await?;
    let said = Sse::open(response).await?.read_until(is_end).await?;
    let started = said.iter().find(|it| it.is("started")).context("a beginning")?.json();
    assert_eq!(started["started"]["replaces"], first, "that one was still there");
    assert_eq!(shown(&model), ["One, at last?"]);
    assert_eq!(loaded(&client).await?, completed(&["One, at last?"]));
    Ok(())
}

#[tokio::test]
async fn a_running_turn_is_stopped_and_replaced_by_one_request() -> Result<()> {
    let model = FakeModel::start().await?;
    let weir = up(&model).await?;
    let client = Client::of(&weir)?;
    asked(&client, "One?").await?;
    let endless = Script { tokens: Some(9), stall_after: Some(2), ..Script::default() }.question();
    let mut running = client.ask(SESSION, &endless).await?;
    let told = running.read_until(|it| it.is("text")).await?;
    let turn = told[0].json()["turnId"].as_str().context("an id")?.to_owned();
    let busy = instead(&client, &turn, ("Rather?", "reject")).await?;
    assert_eq!(refused(busy).await?, (409, "turn_in_progress".to_owned()));
    let response = instead(&client, &turn, ("Rather?", "interrupt")).await?;
    let frames = Sse::open(response).await?.read_until(is_end).await?;
    assert!(frames.last().is_some_and(|it| it.is("completed")), "{frames:?}");
    assert!(running.read_until(is_end).await?.last().is_some_and(|it| it.is("cancelled")));
    assert_eq!(shown(&model), ["One?", "Rather?"]);
    assert_eq!(loaded(&client).await?, completed(&["One?", "Rather?"]));
    Ok(())
}

#[tokio::test]
async fn a_turn_that_waits_for_a_human_is_replaced_and_its_calls_are_never_made() -> Result<()> {
    let around = Surroundings::start().await?;
    let file = around.configure("")?;
    let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ephemeral"];
    let weir = Weir::start(configured(&flags, &file, "sk-one")).await?;
    let client = Client::of(&weir)?;
    let counting = Script {
        tool_calls: vec![call("a", "t__count", &json!({ "by": 1 }))],
        ..Script::default()
    };
    let (turn, end) = asked(&client, &counting.question()).await?;
    assert_eq!(end, "interrupted");
    let seen = client.session(SESSION).await?;
    replaced(&client, &turn, "Never mind?").await?;
    assert_eq!(shown(&around.model), ["Never mind?"]);
    let accept = decision(&seen["pending"][0], "accept", &json!({}));
    let late = client.decide(SESSION, &turn, &[accept]).send().await?;
    assert_eq!(refused(late).await?.0, 409);
    assert_eq!(around.server.count(), 0);
    assert_eq!(client.session(SESSION).await?["pending"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_new_turn_comes_to_its_end_once_when_agent_and_worker_die_in_the_middle_of_it()
-> Result<()> {
    let mut fleet = Fleet::start().await?;
    let client = fleet.client(0)?;
    let mut turns = Vec::new();
    for question in ["One?", "Two?", "Three?"] {
        turns.push(asked(&client, question).await?.0);
    }
    let edited = Script { tokens: Some(6), hold_after: Some(3), ..Script::default() }.question();
    let mut reader = Sse::open(instead(&client, &turns[1], (&edited, "reject")).await?).await?;
    reader.read_until(|it| it.is("text")).await?;
    let address = fleet.agent.value("grpc")?;
    fleet.agent.kill().await?;
    fleet.workers[0].kill().await?;
    let running = ("running".to_owned(), edited.clone());
    assert_eq!(loaded(&client).await?, [completed(&["One?"]), vec![running]].concat());
    fleet.model.release();
    let mut agent = weir(&["agent", "--grpc", &address, "--model", "openai/script"]);
    agent.env("NATS_URL", fleet.nats.url()).env("OPENAI_BASE_URL", fleet.model.base_url());
    fleet.agent = Weir::start(agent).await?;
    let rest = reader.read_until(is_end).await?;
    assert!(rest.last().is_some_and(|it| it.is("completed")), "{rest:?}");
    assert_eq!(shown(&fleet.model), ["One?", &edited]);
    for gateway in [0, 1] {
        let told = loaded(&fleet.client(gateway)?).await?;
        assert_eq!(told, completed(&["One?", &edited]));
    }
    asked(&client, "And now?").await?;
    assert_eq!(shown(&fleet.model), ["One?", &edited, "And now?"]);
    Ok(())
}
