//! One turn: its stream, those who come late or come back, and its end.

use std::time::Duration;

use proto::ask_event::Kind;
use testkit::model::Script;
use tonic::Code;

use crate::world::{Answer, World, again, next, question, records, script, texts, until};

fn tokens(range: std::ops::Range<usize>) -> String {
    let each: Vec<_> = range.map(|it| format!("t{it} ")).collect();
    each.concat()
}

#[tokio::test]
async fn an_answer_is_streamed_with_indices_from_one_and_ends_once() {
    let world = World::new().await;
    let answer = world
        .answer(script(&Script {
            tokens: Some(5),
            reasoning: Some("let me think".to_owned()),
            every_ms: 1,
            ..Script::default()
        }))
        .await;
    assert_eq!(answer.text(), tokens(0..5));
    let last = answer.events.last().unwrap().index;
    assert!(answer.events.iter().map(|it| it.index).is_sorted());
    assert_eq!(last, 3 + 5 + 1 + 1, "reasoning, text, usage, end");
    let mut reasoning = String::new();
    let mut usages = Vec::new();
    for kind in answer.kinds() {
        if let Kind::Reasoning(text) = kind {
            reasoning.push_str(text);
        }
        if let Kind::Usage(usage) = kind {
            usages.push(usage.model.as_str());
        }
    }
    assert_eq!(reasoning, "let me think");
    assert_eq!(usages, ["openai/script"]);
    assert!(answer.completed());
}

#[tokio::test]
async fn attaching_again_at_every_index_gives_exactly_the_rest_while_it_runs_and_after() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(30), hold_after: Some(20), ..Script::default() });
    let mut first = world.ask(asked.clone()).await.unwrap();
    until(&mut first, 20).await;
    let mut running = Vec::new();
    for index in 0..=20 {
        running.push(world.ask(again(&asked, index)).await.unwrap());
    }
    world.model.release();
    for (index, events) in running.into_iter().enumerate() {
        let answer = Answer::read(events).await;
        assert_eq!(answer.text(), tokens(index..30));
        assert!(answer.completed());
    }
    let whole = Answer::read(first).await;
    let last = whole.events.last().unwrap().index;
    for index in 0..30 {
        let answer = world.answer(again(&asked, index)).await;
        assert_eq!(answer.text(), tokens(index as usize..30));
        assert!(answer.completed());
    }
    let nothing = world.answer(again(&asked, last)).await;
    assert!(nothing.events.is_empty());
    assert_eq!(world.model.calls().len(), 1);
}

#[tokio::test]
async fn a_reader_that_comes_late_gets_what_it_missed_as_one_event() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(60), hold_after: Some(50), ..Script::default() });
    let mut first = world.ask(asked.clone()).await.unwrap();
    until(&mut first, 50).await;
    let mut late = world.ask(again(&asked, 7)).await.unwrap();
    let event = next(&mut late).await;
    assert_eq!((event.index, event.kind), (50, Some(Kind::Text(tokens(7..50)))));
    drop(first);
    world.model.release();
    assert_eq!(Answer::read(late).await.text(), tokens(50..60));
}

#[tokio::test]
async fn a_turn_runs_on_without_readers_and_nothing_is_lost() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(40), hold_after: Some(10), ..Script::default() });
    let mut first = world.ask(asked.clone()).await.unwrap();
    let before = texts(&until(&mut first, 10).await);
    drop(first);
    world.model.release();
    let rest = world.answer(again(&asked, 10)).await;
    assert_eq!(before + &rest.text(), tokens(0..40));
    assert_eq!(world.model.calls().len(), 1);
}

#[tokio::test]
async fn a_turn_nobody_reads_for_the_grace_drops_its_call_and_runs_anew_when_asked() {
    let short = Duration::from_millis(30);
    let world = World::with(|config| config.grace = short, records().await).await;
    let asked = script(&Script { tokens: Some(5), hold_after: Some(3), ..Script::default() });
    let mut events = world.ask(asked.clone()).await.unwrap();
    until(&mut events, 3).await;
    drop(events);
    world.model.wait_for_hangup().await.unwrap();
    world.model.release();
    let answer = world.answer(again(&asked, 3)).await;
    assert_eq!(answer.events[0].index, 0);
    assert_eq!(answer.events[0].kind, Some(Kind::Rewind(proto::Rewind { to: 0 })));
    assert_eq!(answer.text(), tokens(0..5));
    assert!(answer.completed(), "nobody asked to stop it");
}

#[tokio::test]
async fn a_turn_that_is_not_known_takes_back_what_was_shown_of_it() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(3), ..Script::default() });
    let answer = world.answer(again(&asked, 41)).await;
    assert_eq!(answer.events[0].index, 0);
    assert_eq!(answer.events[0].kind, Some(Kind::Rewind(proto::Rewind { to: 0 })));
    assert_eq!(answer.text(), tokens(0..3));
    let rest = world.answer(again(&asked, 1)).await;
    assert_eq!(rest.text(), tokens(1..3), "who knows no runs is believed as far as it can be");
}

#[tokio::test]
async fn a_cancel_ends_the_turn_and_its_call_at_once_and_keeps_the_text() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(5), stall_after: Some(3), ..Script::default() });
    let mut events = world.ask(asked.clone()).await.unwrap();
    let shown = texts(&until(&mut events, 3).await);
    assert!(world.cancel(&asked).await);
    assert!(matches!(Answer::read(events).await.end(), Kind::Cancelled(_)));
    world.model.wait_for_hangup().await.unwrap();
    assert!(!world.cancel(&asked).await, "it does not run any more");
    let replayed = world.answer(asked).await;
    assert_eq!(replayed.text(), shown);
    world.answer(question("hello")).await;
    let told = world.model.calls()[1].body["messages"].clone();
    assert_eq!(told[2]["content"], shown, "{told}");
}

#[tokio::test]
async fn two_callers_of_one_turn_share_one_call_and_see_the_same() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(20), every_ms: 1, ..Script::default() });
    let (one, two) = tokio::join!(world.answer(asked.clone()), world.answer(asked));
    assert_eq!(one.text(), tokens(0..20));
    assert_eq!(two.text(), tokens(0..20));
    assert_eq!(world.model.calls().len(), 1);
}

#[tokio::test]
async fn a_drain_lets_running_turns_end_and_takes_no_new_ones() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(9), hold_after: Some(3), ..Script::default() });
    let mut events = world.ask(asked).await.unwrap();
    until(&mut events, 3).await;
    world.life.drain();
    let refused = world.ask(question("hello")).await.unwrap_err();
    assert!(matches!(refused.code(), Code::Unavailable | Code::Unknown), "{refused:?}");
    world.model.release();
    let rest = Answer::read(events).await;
    assert_eq!(rest.text(), tokens(3..9));
    assert!(rest.completed());
    let ended = world.life.wait(Duration::from_secs(20)).await.unwrap();
    assert_eq!(ended, process::Outcome::Drained);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_turn_that_nobody_reads() {
    let world = World::new().await;
    let asked = script(&Script { tokens: Some(9), stall_after: Some(3), ..Script::default() });
    let mut events = world.ask(asked).await.unwrap();
    until(&mut events, 3).await;
    drop(events);
    world.life.drain();
    let ended = world.life.wait(Duration::from_secs(20)).await.unwrap();
    assert_eq!(ended, process::Outcome::Drained);
    world.model.wait_for_hangup().await.unwrap();
}

#[tokio::test]
async fn an_endless_answer_ends_as_failed() {
    let world = World::new().await;
    let answer = world
        .answer(script(&Script {
            text: Some("x".repeat(32 * 1024)),
            tokens: Some(2_000),
            ..Script::default()
        }))
        .await;
    assert_eq!(answer.failure(), ("too_long", false));
    world.model.wait_for_hangup().await.unwrap();
}
