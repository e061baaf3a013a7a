//! kill -9 of the agent, of the worker, of both and of the store at every point
//! between two steps of a turn with tools: each turn comes to its end, and what
//! a tool did is counted outside of everything that dies.

mod processes;
mod talk;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::process::Output;
use testkit::proxy::Direction;

use crate::stage::{Client, is_end};
use crate::tools::{call, decision};
use processes::Stage;
use talk::{Talk, made};

/// What a turn says, step by step, and after its review.
const SAID: [&str; 4] = ["Let me see. ", "Counted that. ", "May I? ", "All done. "];

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    Worker,
    Both,
    /// The agent, which hangs and wakes when another one has had its turns.
    Hung,
    /// The nats-server; what it had stored is there again.
    Store,
}

impl Victim {
    /// The agent is among the dead, or might as well be.
    fn agent(self) -> bool {
        matches!(self, Self::Agent | Self::Both | Self::Hung)
    }

    fn worker(self) -> bool {
        matches!(self, Self::Worker | Self::Both)
    }
}

/// Where a turn stands when somebody dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The model says its first words.
    FirstText,
    /// A call that only reads is under way.
    Reading,
    /// After a call with an effect the model speaks again.
    Speaking,
    /// A call with an effect is under way.
    Effect,
    /// A call waits for a human.
    Review,
    /// A human has accepted a call, which is under way.
    Decided,
}

const POINTS: [Point; 6] = [
    Point::FirstText,
    Point::Reading,
    Point::Speaking,
    Point::Effect,
    Point::Review,
    Point::Decided,
];

/// What a turn does: it reads, counts, does something more with an effect, asks
/// a human for the last thing, and has done. It stops at the point.
fn script(point: Point, tag: &str) -> Script {
    let at = |it: Point| (it == point).then_some(1);
    let says = |text: &str, calls| Script {
        text: Some(text.to_owned()),
        tool_calls: calls,
        ..Script::default()
    };
    // Through the proxy an answer can be held back.
    let reads = if point == Point::Reading { "r__read" } else { "t__read" };
    let early = !matches!(point, Point::Review | Point::Decided);
    let acts = if early {
        call("act", "t__hold", &json!({ "name": tag }))
    } else {
        call("act", "t__set", &json!({ "key": tag, "value": "x" }))
    };
    let number: u64 = tag.parse().unwrap_or_default();
    let counts = vec![call("count", "t__count", &json!({ "by": number }))];
    let asks = vec![call("ask", "h__hold", &json!({ "name": format!("{tag} asked") }))];
    Script {
        hold_after: at(Point::FirstText),
        then: vec![
            Script { tool_calls: counts, ..Script::default() },
            Script { hold_after: at(Point::Speaking), ..says(SAID[1], vec![acts]) },
            says(SAID[2], asks),
            says(SAID[3], Vec::new()),
        ],
        ..says(SAID[0], vec![call("read", reads, &json!({ "key": tag }))])
    }
}
/// Brings a session to each of the points, kills, and looks at what became of
/// them.
async fn play(victim: Victim) -> Result<()> {
    let mut stage = Stage::start().await?;
    let sessions = stage.sessions(POINTS.len()).await?;
    let mut talks = Vec::new();
    stage.proxy.stall(Direction::Back);
    for ((session, point), tag) in sessions.into_iter().zip(POINTS).zip(1_000..) {
        talks.push(Talk::reach(&stage, session, point, tag).await?);
    }
    stage.kill(victim).await?;
    if victim == Victim::Hung {
        wake(&stage, &mut talks).await?;
    }
    futures::future::try_join_all(talks.iter_mut().map(Talk::finish)).await?;
    for talk in &mut talks {
        talk.check(&stage, victim).await?;
    }
    Ok(())
}

/// Wakes the first agent once the other one has had all its turns.
async fn wake(stage: &Stage, talks: &mut [Talk]) -> Result<()> {
    let under_way = |it: &&mut Talk| it.point != Point::Review;
    let ended = talks.iter_mut().filter(under_way).map(|it| it.hear(is_end));
    let many = futures::future::try_join_all(ended).await?.len();
    stage.agents[0].resume()?;
    let lost = |it: &&String| it.contains("superseded");
    let all = |it: &Output| it.stderr.iter().filter(lost).count() == many;
    stage.agents[0].wait_for("turns that are another's", all).await
}

#[tokio::test]
async fn an_agent_killed_between_any_two_steps_is_gone_on_from_there_by_another() -> Result<()> {
    play(Victim::Agent).await
}

#[tokio::test]
async fn a_worker_killed_between_any_two_steps_costs_nothing() -> Result<()> {
    play(Victim::Worker).await
}

#[tokio::test]
async fn agent_and_worker_killed_together_between_any_two_steps_lose_nothing() -> Result<()> {
    play(Victim::Both).await
}

#[tokio::test]
async fn an_agent_that_wakes_when_another_has_had_its_turns_does_nothing_more() -> Result<()> {
    play(Victim::Hung).await
}

#[tokio::test]
async fn a_store_killed_between_any_two_steps_is_waited_for() -> Result<()> {
    play(Victim::Store).await
}

#[tokio::test]
async fn a_turn_whose_agents_die_one_after_the_other_is_gone_on_each_time() -> Result<()> {
    let mut stage = Stage::start().await?;
    let session = stage.sessions(1).await?.remove(0);
    let mut talk = Talk::reach(&stage, session, Point::Speaking, 7).await?;
    stage.agents[0].kill().await?;
    stage.around.model.release();
    talk.hear(|it| it.json()["toolCall"]["callId"] == "act").await?;
    stage.around.server.wait_for("an effect", |calls| made(calls, "name", "7") == 1).await?;
    stage.start_agent(0).await?;
    stage.agents[1].kill().await?;
    stage.around.server.release();
    talk.finish().await?;
    assert_eq!(talk.ends(), ["outcome_unknown", "review", "completed"]);
    let text: String =
        talk.standing()?.iter().filter_map(|it| it["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(text, SAID.concat());
    assert_eq!(talk.heard.iter().filter(|it| it.is("rewind")).count(), 2);
    let calls = stage.around.server.calls();
    assert_eq!((made(&calls, "name", "7"), made(&calls, "name", "7 asked")), (1, 1));
    assert_eq!(stage.around.server.count(), 7);
    Ok(())
}

#[tokio::test]
async fn of_two_calls_the_one_whose_outcome_nobody_knows_waits_beside_the_undecided() -> Result<()>
{
    let mut stage = Stage::start().await?;
    let session = stage.sessions(1).await?.remove(0);
    let client = Client::of(&stage.gateway)?;
    let script = Script {
        tool_calls: vec![
            call("hold", "h__hold", &json!({ "name": "it" })),
            call("count", "h__count", &json!({ "by": 1 })),
        ],
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    };
    client.ask(&session, &script.question()).await?.read_until(is_end).await?;
    let shown = client.session(&session).await?;
    let turn = shown["interruptedTurnId"].as_str().context("a turn")?;
    let accept = decision(&shown["pending"][0], "accept", &json!({}));
    let mut deciding = client.events(&session, "now").await?;
    let decided = client.decide(&session, turn, &[accept]).header("prefer", "respond-async");
    assert_eq!(decided.send().await?.status(), 202);
    stage.around.server.wait_for_calls(1).await?;
    stage.kill(Victim::Agent).await?;
    deciding.read_until(is_end).await?;

    let shown = client.session(&session).await?;
    let waits: Vec<_> = shown["pending"].as_array().context("calls")?.iter().collect();
    let reason = |id: &str| waits.iter().find(|it| it["callId"] == id).map(|it| &it["reason"]);
    assert_eq!(reason("hold"), Some(&json!("outcome_unknown")), "{shown}");
    assert_eq!(reason("count"), Some(&json!("review")), "{shown}");
    let turn = shown["interruptedTurnId"].as_str().context("a turn")?;
    let both = waits.iter().map(|it| match it["callId"].as_str() {
        Some("hold") => decision(it, "respond", &json!({ "message": "It was held." })),
        _ => decision(it, "accept", &json!({})),
    });
    let both: Vec<_> = both.collect();
    let answer = client.decide(&session, turn, &both).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    assert_eq!(answer["status"], "completed", "{answer}");
    for words in ["It was held.", "the counter is 1"] {
        assert!(answer["text"].as_str().is_some_and(|it| it.contains(words)), "{words}: {answer}");
    }
    assert_eq!(stage.around.server.calls().len(), 2);
    Ok(())
}
