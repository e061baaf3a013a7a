//! What an agent counts and measures.

use std::time::Duration;

use agent::metrics::METRICS;
use process::metrics::{Recorder, install};
use serde_json::json;
use testkit::model::Script;
use testkit::prometheus::Scrape;
use tokio::time::Instant;

use crate::tools::{calls, with_tools};
use crate::world::{World, again, next, script};

const MODEL: [(&str, &str); 2] =
    [("gen_ai_provider_name", "openai"), ("gen_ai_request_model", "script")];

fn recorder() -> Recorder {
    install("agent", &[METRICS])
}

/// Waits until what is told satisfies `seen`.
async fn told(recorder: &Recorder, what: &str, seen: impl Fn(&Scrape) -> bool) -> Scrape {
    let began = Instant::now();
    loop {
        let scrape = Scrape::parse(&recorder.text()).unwrap();
        if seen(&scrape) {
            return scrape;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "never {what}: {}", recorder.text());
        tokio::task::yield_now().await;
    }
}

fn is(told: f64, expected: f64) -> bool {
    (told - expected).abs() < f64::EPSILON
}

fn ended(ending: &'static str) -> impl Fn(&Scrape) -> bool {
    let count = "gen_ai_invoke_agent_duration_seconds_count";
    move |it| is(it.sum(count, &[("ending", ending)]), 1.0)
}

#[tokio::test]
async fn a_turn_with_a_tool_is_measured_under_the_conventions_names() {
    let recorder = recorder();
    let (world, _server) = with_tools(|_| {}).await;
    let asked = script(&Script {
        tool_calls: calls(&[("c1", "t__read", json!({"key": "one"}))]),
        then: vec![Script { text: Some("Found it.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked.clone()).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let told = told(&recorder, "a completed turn", ended("completed")).await;
    let chats = "gen_ai_client_operation_duration_seconds_count";
    assert!(is(told.sum(chats, &MODEL), 2.0), "one for the call, one for the answer");
    assert!(is(told.sum(chats, &[("error_type", "")]), 2.0));
    let first = "gen_ai_client_operation_time_to_first_chunk_seconds_count";
    assert!(is(told.sum(first, &MODEL), 2.0));
    for kind in ["input", "output"] {
        let labels = [("gen_ai_token_type", kind)];
        assert!(told.sum("gen_ai_client_token_usage_sum", &labels) > 0.0, "{kind}");
    }
    let tool = [("gen_ai_tool_name", "t__read"), ("error_type", "")];
    assert!(is(told.sum("gen_ai_execute_tool_duration_seconds_count", &tool), 1.0));
    for sample in told.samples() {
        let mut values = sample.labels.values();
        let secret = [&asked.user_id, &asked.session_id, &asked.turn_id];
        assert!(!values.any(|it| secret.contains(&it)), "{sample:?}");
    }
}

#[tokio::test]
async fn running_turns_re_attaches_and_cancelled_questions_are_counted() {
    let recorder = recorder();
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(10_000), every_ms: 5, ..Script::default() });
    let mut one = world.ask(asked.clone()).await.unwrap();
    next(&mut one).await;
    let mut two = world.ask(again(&asked, 0)).await.unwrap();
    next(&mut two).await;
    let running = |it: &Scrape| is(it.sum("weir_agent_turns_running", &[]), 1.0);
    let runs = told(&recorder, "a running turn", running).await;
    assert!(is(runs.sum("weir_agent_reattaches_total", &[]), 1.0));
    assert!(world.cancel(&asked).await);
    let cancelled = told(&recorder, "a cancelled turn", ended("cancelled")).await;
    let chats = "gen_ai_client_operation_duration_seconds_count";
    assert!(is(cancelled.sum(chats, &[("error_type", "cancelled")]), 1.0));
    assert!(is(cancelled.sum("weir_agent_turns_running", &[]), 0.0));
}

#[tokio::test]
async fn a_model_that_a_request_made_up_is_other() {
    let recorder = recorder();
    let world = World::new().await;
    let mut asked = script(&Script { tokens: Some(1), ..Script::default() });
    asked.model = "openai/made-up".to_owned();
    world.answer(asked).await;
    let told = told(&recorder, "a turn", |it| {
        it.sum("gen_ai_invoke_agent_duration_seconds_count", &[]) > 0.0
    });
    let told = told.await;
    let chats = "gen_ai_client_operation_duration_seconds_count";
    assert!(is(told.sum(chats, &[("gen_ai_request_model", "other")]), 1.0));
    assert!(!recorder.text().contains("made-up"));
}
