//! What a worker counts and measures.

use std::time::Duration;

use broker::Admission;
use broker_worker::metrics::METRICS;
use process::Lifecycle;
use process::metrics::{Recorder, install};
use proto::{Resumed, Started, event};
use testkit::prometheus::Scrape;
use tonic::Code;

use crate::agent::{Line, completed, text};
use crate::shop::Shop;

fn scrape(recorder: &Recorder) -> Scrape {
    Scrape::parse(&recorder.text()).unwrap()
}

fn is(told: f64, expected: f64) -> bool {
    (told - expected).abs() < f64::EPSILON
}

#[tokio::test]
async fn a_turn_is_counted_from_its_question_to_its_stored_end() {
    let recorder = install("worker", &[METRICS]);
    let first = vec![text(1, "Hel"), Line::Break(Code::Unavailable)];
    let shop = Shop::new(vec![first, vec![text(2, "lo"), completed(3)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until_end(&turn).await;
    shop.until_empty().await;
    let counted = scrape(&recorder);
    assert!(is(counted.sum("weir_attempts_total", &[("step", "begin")]), 1.0));
    assert!(is(counted.sum("weir_turns_total", &[("ending", "completed")]), 1.0));
    assert!(is(counted.sum("weir_turns_total", &[]), 1.0));
    assert!(is(counted.sum("weir_queue_wait_seconds_count", &[]), 1.0));
    assert!(is(counted.sum("weir_agent_retries_total", &[]), 1.0));
    assert!(is(counted.sum("weir_append_events_total", &[]), 4.0));
    let stored = counted.sum("weir_appends_total", &[("outcome", "stored")]);
    assert!(is(stored, counted.sum("weir_append_duration_seconds_count", &[])) && stored >= 2.0);
    assert!(is(counted.sum("weir_worker_slots", &[]), 256.0));
    assert!(is(counted.sum("weir_worker_turns_running", &[]), 0.0));
    let (session, turn) = (shop.session.id.to_string(), turn.to_string());
    for sample in counted.samples() {
        let mut values = sample.labels.values();
        assert!(!values.any(|it| *it == session || *it == turn), "{sample:?}");
    }
}

#[tokio::test]
async fn a_failure_is_counted_by_its_code_and_one_that_an_agent_made_up_is_other() {
    let recorder = install("worker", &[METRICS]);
    let shop = Shop::new(vec![vec![Line::Refuse("model: is not offered")]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until_end(&turn).await;
    shop.until_empty().await;
    let strange = proto::Failed { code: "made-up".to_owned(), ..proto::Failed::default() };
    let strange = proto::AskEvent {
        index: 1,
        kind: Some(proto::ask_event::Kind::Failed(strange)),
        ..proto::AskEvent::default()
    };
    let other = Shop::new(vec![vec![Line::Say(strange)]]).await;
    let turn = other.submit(Admission::IfEmpty).await;
    other.work();
    other.until_end(&turn).await;
    other.until_empty().await;
    let counted = scrape(&recorder);
    let failed = |code| counted.sum("weir_turns_failed_total", &[("code", code)]);
    assert!(is(failed("invalid_request"), 1.0) && is(failed("other"), 1.0));
    assert!(is(counted.sum("weir_turns_total", &[("ending", "failed")]), 2.0));
}

#[tokio::test]
async fn what_is_refused_of_a_worker_that_was_taken_over_is_counted() {
    let recorder = install("worker", &[METRICS]);
    let held = vec![text(1, "a"), Line::Pause(Duration::from_millis(50)), text(2, "b"), Line::Hold];
    let shop = Shop::new(vec![held]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let life = Lifecycle::new();
    shop.work_until(&life);
    shop.until_asked(1).await;
    shop.say(&turn, 2, event::Kind::Resumed(Resumed {})).await;
    shop.until_hung_up().await;
    let counted = scrape(&recorder);
    assert!(is(counted.sum("weir_appends_fenced_total", &[]), 1.0));
    assert!(counted.sum("weir_appends_total", &[("outcome", "refused")]) >= 1.0);
    assert!(is(counted.sum("weir_turns_total", &[]), 0.0), "who was taken over ends nothing");
    life.abort();
}

#[tokio::test]
async fn what_an_earlier_worker_left_is_taken_over_and_counted() {
    let recorder = install("worker", &[METRICS]);
    let shop = Shop::new(vec![vec![text(1, "a"), completed(2)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let begun = event::Kind::Started(Started { input: "why?".into(), ..Started::default() });
    shop.say(&turn, 0, begun).await;
    shop.work();
    shop.until_end(&turn).await;
    shop.until_empty().await;
    let counted = scrape(&recorder);
    assert!(is(counted.sum("weir_attempts_total", &[("step", "take_over")]), 1.0));
    assert!(is(counted.sum("weir_queue_wait_seconds_count", &[]), 0.0), "it had begun before");
}
