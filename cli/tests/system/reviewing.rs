//! Calls that wait for a human, over deaths of everything in between; and users
//! who share a session's name and nothing else.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::process::Weir;

use crate::stage::{Client, is_end, text, weir};
use crate::tools::{Surroundings, call, configured, decision, ids};

const SESSION: &str = "s";

/// Everything in one process, on disk.
struct Home {
    around: Surroundings,
    weir: Weir,
}

impl Home {
    async fn start() -> Result<Self> {
        let around = Surroundings::start().await?;
        around.configure("")?;
        let weir = up(&around).await?;
        Ok(Self { around, weir })
    }

    /// kill -9, and a start with what is on disk.
    async fn restart(&mut self) -> Result<()> {
        self.weir.kill().await?;
        self.weir = up(&self.around).await?;
        Ok(())
    }

    fn client(&self) -> Result<Client> {
        Client::of(&self.weir)
    }

    /// `weir decide`: its exit code, and what it wrote.
    async fn decide(&self, more: &[&str]) -> Result<(Option<i32>, String)> {
        let page = self.weir.value("page")?;
        let flags = ["decide", "--server", &page, "--user", "test_user", SESSION];
        let (code, output) = Weir::run(weir(&[&flags[..], more].concat())).await?;
        Ok((code, format!("{}\n{}", output.stdout.join("\n"), output.stderr.join("\n"))))
    }
}

async fn up(around: &Surroundings) -> Result<Weir> {
    let data = around.folder().join("data").display().to_string();
    let file = around.folder().join("agent.toml").display().to_string();
    let flags = ["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", &data];
    Weir::start(configured(&flags, &file, "sk-one")).await
}

/// Asks for these numbers to be counted, each in a call of its own, and tells
/// what came of it.
fn counting(calls: &[(&str, u64)]) -> String {
    let calls = calls.iter().map(|(id, by)| call(id, "t__count", &json!({ "by": by })));
    Script {
        text: Some("I would count.".to_owned()),
        tool_calls: calls.collect(),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    }
    .question()
}

/// The status of decisions about calls as a device once saw them, and the type
/// of the problem.
async fn refusal(
    client: &Client,
    seen: &Value,
    decisions: &[Value],
) -> Result<(u16, Option<String>)> {
    let turn = seen["interruptedTurnId"].as_str().context("a turn")?;
    let response = client.decide(SESSION, turn, decisions).send().await?;
    let status = response.status().as_u16();
    let problem: Value = response.json().await?;
    Ok((status, problem["type"].as_str().map(str::to_owned)))
}

/// Decides, and reads the turn that this starts to its end.
async fn decided(client: &Client, seen: &Value, decisions: &[Value]) -> Result<Value> {
    let turn = seen["interruptedTurnId"].as_str().context("a turn")?;
    let response = client.decide(SESSION, turn, decisions).send().await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    Ok(response.json().await?)
}

#[tokio::test]
async fn what_waits_for_a_human_outlives_every_kill_and_each_decision_counts_once() -> Result<()> {
    let mut home = Home::start().await?;
    let question = counting(&[("a", 1), ("b", 10), ("c", 100), ("d", 1_000)]);
    let asked = home.client()?.ask(SESSION, &question).await?.read_until(is_end).await?;
    let told = asked.last().context("an end")?.json();
    assert_eq!(ids(&told["interrupted"]["calls"]), ["a", "b", "c", "d"], "{told}");
    home.restart().await?;

    let device = home.client()?;
    let seen = device.session(SESSION).await?;
    assert_eq!(seen["status"], "interrupted");
    assert_eq!(seen["pending"], told["interrupted"]["calls"]);
    assert_eq!(home.around.server.calls().len(), 0, "nobody was asked before a human");
    let (code, shown) = home.decide(&[]).await?;
    assert_eq!(code, Some(0), "{shown}");
    assert!(["a", "b", "c", "d"].iter().all(|it| shown.contains(&format!("{it}: "))), "{shown}");

    let accept = |at: usize| decision(&seen["pending"][at], "accept", &json!({}));
    let answer = decided(&device, &seen, &[accept(0)]).await?;
    assert_eq!((&answer["status"], home.around.server.count()), (&json!("interrupted"), 1));
    assert_eq!(ids(&answer["interrupt"]["calls"]), ["b", "c", "d"]);
    home.restart().await?;

    // A second device that saw the calls before the first one decided.
    let stale = refusal(&home.client()?, &seen, &[accept(0)]).await?;
    assert_eq!(stale, (409, Some("urn:weir:problem:already_decided".to_owned())));
    let edit = decision(&seen["pending"][1], "edit", &json!({ "arguments": "{\"by\":20}" }));
    let both = refusal(&home.client()?, &seen, &[edit, accept(0)]).await?;
    assert_eq!(both.0, 409, "what comes with a stale decision does not count either");
    let mut altered = accept(1);
    altered["argumentsHash"] = seen["pending"][2]["argumentsHash"].clone();
    let altered = refusal(&home.client()?, &seen, &[altered]).await?;
    assert_eq!(altered, (409, Some("urn:weir:problem:call_altered".to_owned())));
    assert_eq!(home.around.server.count(), 1);

    let edit = ["--edit", "b", "{\"by\":20}"];
    let others = ["--reject", "c", "--message", "too dear", "--respond", "d", "forty-two"];
    let (code, shown) = home.decide(&[&edit[..], &others].concat()).await?;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("too dear") && shown.contains("forty-two"), "{shown}");
    assert_eq!(home.around.server.count(), 21, "{:?}", home.around.server.calls());
    home.restart().await?;

    let seen_now = home.client()?.session(SESSION).await?;
    assert_eq!((&seen_now["status"], &seen_now["pending"]), (&json!("idle"), &Value::Null));
    let late = refusal(&home.client()?, &seen, &[accept(3)]).await?;
    assert_eq!(late.0, 409, "{late:?}");
    assert_eq!(home.around.server.calls().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_decision_whose_answer_was_lost_is_repeated_under_its_key_and_made_once() -> Result<()> {
    let mut home = Home::start().await?;
    let question = counting(&[("a", 1)]);
    home.client()?.ask(SESSION, &question).await?.read_until(is_end).await?;
    let seen = home.client()?.session(SESSION).await?;
    let turn = seen["interruptedTurnId"].as_str().context("a turn")?;
    let accept = decision(&seen["pending"][0], "accept", &json!({}));
    let mut answers = Vec::new();
    for _ in 0..3 {
        let request = home.client()?.decide(SESSION, turn, std::slice::from_ref(&accept));
        let response = request.header("idempotency-key", "once").send().await?;
        ensure!(response.status() == 200, "{}", response.text().await?);
        answers.push(response.text().await?);
        home.restart().await?;
    }
    assert!(answers[0].contains("the counter is 1"), "{answers:?}");
    assert!(answers.iter().all(|it| *it == answers[0]), "{answers:?}");
    assert_eq!(home.around.server.count(), 1);
    Ok(())
}

/// Asks for a thing to be remembered, and then for a call that waits.
fn remembering(thing: &str) -> String {
    Script {
        tool_calls: vec![call("keep", "remember", &json!({ "text": thing }))],
        then: vec![Script {
            tool_calls: vec![call("wait", "t__hold", &json!({ "name": thing }))],
            ..Script::default()
        }],
        ..Script::default()
    }
    .question()
}

#[tokio::test]
async fn users_of_sessions_with_the_same_name_never_meet() -> Result<()> {
    let mut home = Home::start().await?;
    for (user, thing) in [("ann", "Ann drinks green tea."), ("ben", "Ben drinks black coffee.")] {
        let client = home.client()?.user(user);
        let asked = client.ask(SESSION, &remembering(thing)).await?.read_until(is_end).await?;
        assert!(asked.last().is_some_and(|it| it.is("interrupted")), "{asked:?}");
    }
    home.restart().await?;
    let (ann, ben) = (home.client()?.user("ann"), home.client()?.user("ben"));
    for (client, own, other) in [(&ann, "green tea", "coffee"), (&ben, "coffee", "green tea")] {
        let shown = client.session(SESSION).await?.to_string();
        assert!(shown.contains(own) && !shown.contains(other), "{shown}");
        let memories = client.memories().await?.to_string();
        assert!(memories.contains(own) && !memories.contains(other), "{memories}");
    }
    let of_ann = ann.session(SESSION).await?;
    let accept = decision(&of_ann["pending"][0], "accept", &json!({}));
    let stolen = refusal(&ben, &of_ann, &[accept]).await?;
    assert_eq!(stolen, (404, Some("urn:weir:problem:nothing_pending".to_owned())));
    let id = ann.memories().await?["memories"][0]["id"].as_str().context("an id")?.to_owned();
    assert_eq!(ben.forget(&id).await?, 404);

    let before = home.around.model.calls().len();
    let question = "What does one drink: green tea or black coffee?";
    for client in [&ann, &ben] {
        let said = text(&client.ask(SESSION, question).await?.read_until(is_end).await?);
        assert!(said.contains("(user message 2)"), "{said}");
    }
    let calls = home.around.model.calls();
    let (one, two) = (calls[before].body.to_string(), calls[before + 1].body.to_string());
    assert!(one.contains("Ann drinks green tea.") && !one.contains("Ben"), "{one}");
    assert!(two.contains("Ben drinks black coffee.") && !two.contains("Ann"), "{two}");
    assert_eq!(ann.forget(&id).await?, 204);
    assert_eq!(ann.memories().await?["memories"], json!([]));
    assert_eq!(home.around.server.calls().len(), 0, "nobody has decided");
    Ok(())
}
