//! A worker on a real broker in memory, with an agent that says what the test
//! wants.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod agent;
mod hostile;
mod measured;
mod queues;
mod records;
mod shop;
mod waits;

use std::time::Duration;

use broker::{Admission, Bucket, Key, Sequence};
use process::Lifecycle;
use proto::{CancelRequested, Ending, Event, Resumed, Started, Status, event};
use tonic::Code;

use agent::{Line, completed, text};
use shop::Shop;

fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().filter_map(|it| it.kind.as_ref()).map(event::Kind::name).collect()
}

fn spoken(events: &[Event]) -> String {
    events
        .iter()
        .filter_map(|it| match &it.kind {
            Some(event::Kind::Text(text)) => Some(text.as_str()),
            Some(_) | None => None,
        })
        .collect()
}

/// The text that is left of it for a reader who takes back what is to be taken
/// back.
fn shown(events: &[Event]) -> String {
    let mut pieces: Vec<(u32, &str)> = Vec::new();
    for it in events {
        match &it.kind {
            Some(event::Kind::Text(text)) => pieces.push((it.index, text)),
            Some(event::Kind::Rewind(back)) => pieces.retain(|piece| piece.0 <= back.to),
            Some(_) | None => {}
        }
    }
    pieces.into_iter().map(|it| it.1).collect()
}

/// The code with which a turn failed.
fn failure(events: &[Event]) -> String {
    match events.last().and_then(|it| it.kind.clone()) {
        Some(event::Kind::Failed(failed)) => failed.code,
        other => panic!("{other:?} is no failure"),
    }
}

#[tokio::test]
async fn a_turn_is_relayed_in_order_and_its_job_leaves_the_queue() {
    let shop = Shop::new(vec![vec![text(1, "Hel"), text(2, "lo"), completed(3)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!(kinds(&events).first(), Some(&"started"));
    assert_eq!(kinds(&events).last(), Some(&"completed"));
    assert_eq!(spoken(&events), "Hello");
    assert_eq!((state.last_index, state.ending()), (3, Ending::Completed));
    shop.until_empty().await;
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_where_it_broke() {
    // A server that closes in good order makes the transport say `internal`.
    for code in [Code::Unavailable, Code::Internal, Code::Unknown] {
        let first = vec![text(1, "a"), text(2, "b"), Line::Break(code)];
        let again = vec![text(2, "b"), text(3, "c"), completed(4)];
        let shop = Shop::new(vec![first, again]).await;
        let turn = shop.submit(Admission::IfEmpty).await;
        shop.work();
        let (events, _) = shop.until_end(&turn).await;
        assert_eq!(spoken(&events), "abc");
        let calls = shop.calls();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].resume_after, 2);
    }
}

#[tokio::test]
async fn a_call_the_agent_refuses_is_a_failed_turn_with_its_reason() {
    let shop = Shop::new(vec![vec![Line::Refuse("model: is not offered")]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    let Some(event::Kind::Failed(failed)) = &events.last().unwrap().kind else { panic!() };
    assert_eq!(
        (failed.code.as_str(), failed.message.as_str()),
        ("invalid_request", "model: is not offered")
    );
    assert_eq!(state.status(), Status::Idle);
    shop.until_empty().await;
}

#[tokio::test]
async fn a_turn_cancelled_before_it_began_never_reaches_the_agent() {
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!(kinds(&events), ["cancel_requested", "started", "cancelled"]);
    assert!(state.cancels.is_empty());
    assert!(shop.calls().is_empty());
    shop.until_empty().await;
}

#[tokio::test]
async fn a_cancel_while_the_agent_is_silent_ends_the_turn_and_keeps_the_text() {
    let shop = Shop::new(vec![vec![text(1, "kept"), Line::Hold]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "kept").await;
    shop.say(&turn, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!(kinds(&events), ["started", "text", "cancel_requested", "cancelled"]);
    assert_eq!(shop.cancels(), [turn.to_string()]);
}

#[tokio::test]
async fn a_fenced_worker_stops_without_a_word_to_log_or_queue() {
    let shop = Shop::new(vec![vec![text(1, "a"), Line::Hold, text(2, "b"), completed(3)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    shop.until(|events| spoken(events) == "a").await;
    shop.say(&turn, 7, event::Kind::Resumed(Resumed {})).await;
    shop.until_hung_up().await;
    assert_eq!(shop.last().await.entry.attempt, 7);
    assert_eq!(shop.broker.queue.pending(&shop.session).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_later_attempt_asks_from_the_last_stored_index() {
    let shop = Shop::new(vec![vec![text(5, "e"), completed(6)]]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, event::Kind::Started(Started::default())).await;
    shop.say_event(&turn, 0, Event { index: 4, kind: Some(event::Kind::Text("abcd".into())) })
        .await;
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!(kinds(&events), ["started", "text", "resumed", "text", "completed"]);
    assert_eq!(spoken(&events), "abcde");
    assert_eq!(shop.calls()[0].resume_after, 4);
}

#[tokio::test]
async fn a_hopeless_job_is_sealed_and_filed() {
    let shop = Shop::new(vec![]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.say(&turn, 0, event::Kind::Started(Started::default())).await;
    for _ in 0..4 {
        shop.say(&turn, 0, event::Kind::Resumed(Resumed {})).await;
    }
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    let Some(event::Kind::Failed(failed)) = &events.last().unwrap().kind else { panic!() };
    assert_eq!(failed.code, "attempts_exhausted");
    let key = Key::session(&shop.session).child(&turn.to_string());
    let letter = shop.broker.records.get(Bucket::DeadLetters, &key).await.unwrap();
    assert!(letter.is_some());
    assert!(shop.calls().is_empty());
    shop.until_empty().await;
}

#[tokio::test]
async fn a_running_turn_without_a_job_is_ended_as_lost_before_the_next_begins() {
    let shop = Shop::new(vec![vec![completed(1)]]).await;
    let lost = proto::TurnId::new();
    shop.say(&lost, 1, event::Kind::Started(Started::default())).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    shop.work();
    let (events, _) = shop.until_end(&turn).await;
    assert_eq!(kinds(&events), ["started", "failed", "started", "completed"]);
    let Some(event::Kind::Failed(failed)) = &events[1].kind else { panic!() };
    assert_eq!(failed.code, "lost");
}

#[tokio::test]
async fn turns_of_a_session_run_one_after_the_other() {
    let shop =
        Shop::new(vec![vec![text(1, "one"), Line::Hold], vec![text(1, "two"), completed(2)]]).await;
    let first = shop.submit(Admission::Enqueue).await;
    shop.work();
    shop.until(|events| spoken(events) == "one").await;
    let second = shop.submit(Admission::Enqueue).await;
    shop.say(&first, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    let (events, _) = shop.until_end(&second).await;
    assert_eq!(
        kinds(&events),
        ["started", "text", "cancel_requested", "cancelled", "started", "text", "completed"]
    );
    shop.until_empty().await;
    assert_eq!(shop.broker.queue.first(&shop.session).await.unwrap(), None::<Sequence>);
}

#[tokio::test]
async fn a_worker_that_drains_hands_its_turn_over_without_waiting_for_the_lease() {
    let first = vec![text(1, "a"), text(2, "b"), Line::Hold];
    let second = vec![text(3, "c"), completed(4)];
    let shop = Shop::new(vec![first, second]).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    let process = Lifecycle::new();
    shop.work_until(&process);
    shop.until(|events| spoken(events) == "ab").await;
    process.drain();
    process.wait(Duration::from_secs(10)).await.unwrap();
    shop.work();
    let (events, state) = shop.until_end(&turn).await;
    assert_eq!(spoken(&events), "abc");
    assert_eq!((state.attempt, state.ending()), (2, Ending::Completed));
    assert_eq!(shop.calls()[1].resume_after, 2);
}

#[tokio::test]
async fn handing_over_again_and_again_does_not_make_a_job_hopeless() {
    let mut script = vec![vec![Line::Hold]; 7];
    script.push(vec![completed(1)]);
    let shop = Shop::new(script).await;
    let turn = shop.submit(Admission::IfEmpty).await;
    for times in 1..=7 {
        let process = Lifecycle::new();
        shop.work_until(&process);
        shop.until_asked(times).await;
        process.drain();
        process.wait(Duration::from_secs(10)).await.unwrap();
    }
    shop.work();
    let (_, state) = shop.until_end(&turn).await;
    assert_eq!(state.ending(), Ending::Completed);
}

#[tokio::test]
async fn a_parked_turn_goes_on_although_its_worker_has_one_slot_and_waits_with_it() {
    let shop = Shop::new(vec![vec![text(1, "one"), Line::Hold], vec![completed(1)]]).await;
    let first = shop.submit(Admission::Enqueue).await;
    shop.work_on(1);
    shop.until(|events| spoken(events) == "one").await;
    let second = shop.submit(Admission::Enqueue).await;
    shop.work_on(1);
    shop.say(&first, 0, event::Kind::CancelRequested(CancelRequested {})).await;
    let (_, state) = shop.until_end(&second).await;
    assert_eq!(state.ending(), Ending::Completed);
}
