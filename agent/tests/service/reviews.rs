//! Humans decide on tool calls: the four answers, in parts, late, twice, wrong,
//! and after a restart of everything.

use std::time::Duration;

use proto::ask_event::Kind;
use proto::{AskRequest, Decision};
use serde_json::json;
use testkit::model::Script;

use crate::tools::{
    beside, calls, deciding, decision, heard, pending, results, shared, with_tools,
};
use crate::world::{question, records, script};

/// Asks for so many counts, which a human must allow.
fn counting(ids: &[&str]) -> AskRequest {
    let each: Vec<_> = ids.iter().map(|id| (*id, "t__count", json!({"by": 1}))).collect();
    script(&Script {
        text: Some("I would count.".to_owned()),
        tool_calls: calls(&each),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    })
}

#[tokio::test]
async fn a_call_under_review_waits_and_is_made_once_it_is_accepted() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = counting(&["a"]);
    let answer = world.answer(asked.clone()).await;
    let waiting = pending(&answer);
    assert_eq!(server.count(), 0);
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].name.as_str(), waiting[0].reason.as_str()), ("t__count", "review"));
    assert!(waiting[0].summary.contains("count"), "{}", waiting[0].summary);
    let accepted = deciding(&asked, vec![decision(&waiting[0], "accept")]);
    let answer = world.answer(accepted.clone()).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(server.count(), 1);
    assert_eq!(results(&answer)[0].call_id, "a");
    let heard = heard(&world, 1, "a");
    assert_eq!(heard, results(&answer)[0].content);
    let again = world.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert_eq!(again.failure(), ("decision_refused", false));
    assert_eq!(server.count(), 1, "a decision counts once");
    assert_eq!(world.answer(accepted).await.text(), answer.text(), "the same turn is the same");
}

#[tokio::test]
async fn each_of_the_four_answers_does_what_it_says() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = counting(&["a", "b", "c", "d"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    let decisions = vec![
        Decision { message: "forty-two".to_owned(), ..decision(&waiting[3], "respond") },
        decision(&waiting[0], "accept"),
        Decision { arguments: r#"{"by":10}"#.to_owned(), ..decision(&waiting[1], "edit") },
        Decision { message: "too dear".to_owned(), ..decision(&waiting[2], "reject") },
    ];
    let answer = world.answer(deciding(&asked, decisions)).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(server.count(), 11);
    assert!(heard(&world, 1, "b").contains(r#"changed the arguments to {"by":10}"#));
    assert!(heard(&world, 1, "c").contains("too dear"));
    assert_eq!(heard(&world, 1, "d"), "forty-two");
    let edited = answer.kinds().any(|it| {
        matches!(it, Kind::ToolCall(call) if call.call_id == "b" && call.arguments == r#"{"by":10}"#)
    });
    assert!(edited, "what is really done is told");
}

#[tokio::test]
async fn calls_may_be_decided_one_by_one_and_the_model_goes_on_after_the_last() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = counting(&["a", "b", "c"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    let first = deciding(&asked, vec![decision(&waiting[1], "accept")]);
    let answer = world.answer(first.clone()).await;
    let left: Vec<_> = pending(&answer).into_iter().map(|it| it.call_id).collect();
    assert_eq!(left, ["a", "c"]);
    assert_eq!(server.count(), 1, "what is decided is done at once");
    // Another device that has seen only the first turn.
    let second = deciding(&asked, vec![decision(&waiting[0], "reject")]);
    assert_eq!(pending(&world.answer(second).await).len(), 1);
    assert_eq!(world.model.calls().len(), 1, "the model waits for all of them");
    let third = deciding(&first, vec![decision(&waiting[2], "accept")]);
    let answer = world.answer(third).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(server.count(), 2);
    for id in ["a", "b", "c"] {
        assert!(!heard(&world, 1, id).contains("no result"), "{id}");
    }
}

#[tokio::test]
async fn a_decision_that_does_not_fit_is_refused_with_the_reason_and_nothing_is_done() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = counting(&["a", "b"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    let accept = |at: usize| decision(&waiting[at], "accept");
    let other_turn = AskRequest { turn_id: proto::TurnId::new().to_string(), ..asked.clone() };
    for (of, decisions) in [
        (&asked, vec![accept(0), Decision { arguments_hash: "0".repeat(64), ..accept(1) }]),
        (&asked, vec![accept(0), Decision { call_id: "z".to_owned(), ..accept(1) }]),
        (&asked, vec![Decision { arguments_hash: waiting[1].arguments_hash.clone(), ..accept(0) }]),
        (
            &asked,
            vec![Decision {
                arguments: r#"{"by":-1}"#.to_owned(),
                ..decision(&waiting[0], "edit")
            }],
        ),
        (&other_turn, vec![accept(0)]),
    ] {
        let answer = world.answer(deciding(of, decisions.clone())).await;
        assert_eq!(answer.failure(), ("decision_refused", false), "{decisions:?}");
        assert_eq!(server.count(), 0, "{decisions:?}");
    }
    let answer = world.answer(deciding(&asked, vec![accept(0), accept(1)])).await;
    assert!(answer.completed(), "what was refused has decided nothing: {:?}", answer.end());
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_decision_that_comes_too_late_is_refused() {
    let (world, server) = with_tools(|config| config.review_expires = Some(Duration::ZERO)).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    let late = world.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert_eq!(late.failure(), ("decision_expired", false));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_new_question_closes_what_waits_and_the_model_knows_that_it_was_not_made() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    assert!(world.answer(question("Never mind.")).await.completed());
    assert!(heard(&world, 1, "a").contains("no result"));
    let late = world.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert_eq!(late.failure(), ("decision_refused", false));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_review_outlives_every_process() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    drop(world);
    let later = beside(|_| {}, &records, &server).await;
    let answer = later.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(server.count(), 1);
    assert!(answer.text().contains('1'), "the model hears the result: {}", answer.text());
}

#[tokio::test]
async fn of_two_that_decide_at_once_one_counts() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let other = beside(|_| {}, &records, &server).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    let decide = || deciding(&asked, vec![decision(&waiting[0], "accept")]);
    let (one, two) = futures::join!(world.answer(decide()), other.answer(decide()));
    let completed = [&one, &two].iter().filter(|it| it.completed()).count();
    assert_eq!(completed, 1, "{:?} {:?}", one.end(), two.end());
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn the_resuming_turn_has_the_model_and_the_instructions_of_the_first() {
    let standard = |config: &mut agent::Config| config.model = Some("extractive".to_owned());
    let (world, _server) = with_tools(standard).await;
    let asked = AskRequest {
        model: "openai/script".to_owned(),
        system: "Speak like a pirate.".to_owned(),
        ..counting(&["a"])
    };
    let waiting = pending(&world.answer(asked.clone()).await);
    let answer = world.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let shown = &world.model.calls()[1].body;
    assert_eq!(shown["model"], "script");
    assert!(shown["messages"][0]["content"].as_str().unwrap().contains("pirate"), "{shown}");
}

#[tokio::test]
async fn what_the_operator_has_forbidden_since_is_not_made_and_the_decision_is_not_used_up() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    drop(world);
    let forbid = |config: &mut agent::Config| {
        config.tools.rules.insert("t__count".to_owned(), agent::Verdict::Deny);
    };
    let strict = beside(forbid, &records, &server).await;
    let decide = |kind| deciding(&asked, vec![decision(&waiting[0], kind)]);
    let refused = strict.answer(decide("accept")).await;
    assert_eq!(refused.failure(), ("decision_refused", false));
    assert_eq!(server.count(), 0);
    assert!(strict.answer(decide("reject")).await.completed());
}

#[tokio::test]
async fn a_decision_is_not_used_up_while_its_tool_is_away() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let asked = counting(&["a"]);
    let waiting = pending(&world.answer(asked.clone()).await);
    drop(world);
    server.refuse();
    let world = beside(|_| {}, &records, &server).await;
    let decide = || deciding(&asked, vec![decision(&waiting[0], "accept")]);
    assert_eq!(world.answer(decide()).await.failure(), ("decision_refused", false));
    drop(world);
    server.resume();
    let world = beside(|_| {}, &records, &server).await;
    let answer = world.answer(decide()).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn what_a_stopped_turn_left_undecided_is_closed_by_the_next_question() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = script(&Script {
        tool_calls: calls(&[
            ("a", "t__count", json!({"by": 1})),
            ("b", "t__hold", json!({})),
            ("c", "t__count", json!({"by": 10})),
        ]),
        ..Script::default()
    });
    let waiting = pending(&world.answer(asked.clone()).await);
    let some = waiting[..2].iter().map(|it| decision(it, "accept")).collect();
    let two = deciding(&asked, some);
    let events = world.ask(two.clone()).await.unwrap();
    server.wait_for_calls(2).await.unwrap();
    assert!(world.cancel(&two).await);
    assert!(!crate::world::Answer::read(events).await.completed());
    assert!(world.answer(question("Never mind.")).await.completed());
    let late = world.answer(deciding(&asked, vec![decision(&waiting[2], "accept")])).await;
    assert_eq!(late.failure(), ("decision_refused", false));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_resumed_turn_that_fills_the_window_alone_is_shown_with_its_question_and_its_result() {
    let small = |config: &mut agent::Config| {
        for provider in config.providers.values_mut() {
            provider.window = 10_000;
        }
    };
    let (world, _server) = with_tools(small).await;
    let asked = script(&Script {
        text: Some("word ".repeat(6_000)),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let waiting = pending(&world.answer(asked.clone()).await);
    let answer = world.answer(deciding(&asked, vec![decision(&waiting[0], "accept")])).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let shown = world.model.calls()[1].body["messages"].clone();
    let roles: Vec<_> = shown.as_array().unwrap().iter().map(|it| it["role"].clone()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
}
