//! Agents that die between any two steps of a turn: another one goes on from
//! the last step, and no tool with an effect is called twice.

use std::sync::Arc;

use broker::Records;
use proto::ask_event::Kind;
use proto::{AskEvent, AskRequest, Decision};
use serde_json::json;
use testkit::mcp::Server;
use testkit::model::Script;
use tonic::Code;

use crate::tools::{allowing, beside, calls, deciding, decision, heard, pending, results, shared};
use crate::world::{World, next, question, records, script};

/// An agent that may count without being asked, and hold.
fn counts(config: &mut agent::Config) {
    allowing(config, "t__count");
    allowing(config, "t__hold");
}

async fn stage() -> (Arc<dyn Records>, World, Server) {
    let records = records().await;
    let (world, server) = shared(counts, &records).await;
    (records, world, server)
}

/// Counts, then speaks and pauses after two words.
fn counts_and_speaks() -> AskRequest {
    script(&Script {
        text: Some("Counting.".to_owned()),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { tokens: Some(5), hold_after: Some(2), ..Script::default() }],
        ..Script::default()
    })
}

/// The same turn, for a caller that has heard all this.
fn rest(asked: &AskRequest, said: &[AskEvent]) -> AskRequest {
    let last = said.last().expect("something was said");
    AskRequest { resume_run: last.run, resume_after: last.index, ..asked.clone() }
}

/// What is left of a turn's events when rewinds have been obeyed.
fn kept(events: &[AskEvent]) -> Vec<&AskEvent> {
    let mut kept: Vec<&AskEvent> = Vec::new();
    for event in events {
        match &event.kind {
            Some(Kind::Rewind(rewind)) => kept.retain(|it| it.index <= rewind.to),
            _ => kept.push(event),
        }
    }
    kept
}

fn text(events: &[&AskEvent]) -> String {
    let said = events.iter().filter_map(|it| match &it.kind {
        Some(Kind::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    said.collect()
}

#[tokio::test]
async fn a_turn_goes_on_from_its_last_step_with_a_rewind_to_exactly_there() {
    let (records, world, server) = stage().await;
    let asked = counts_and_speaks();
    let mut events = world.ask(asked.clone()).await.unwrap();
    let mut said = Vec::new();
    while text(&said.iter().collect::<Vec<_>>()) != "Counting.t0 t1 " {
        said.push(next(&mut events).await);
    }
    let step = said.iter().find(|it| matches!(it.kind, Some(Kind::ToolResult(_)))).unwrap().index;
    drop((world, events));
    let world = beside(counts, &records, &server).await;
    world.model.release();
    let rest = world.answer(rest(&asked, &said)).await;
    let first = &rest.events[0];
    assert_eq!(first.kind, Some(Kind::Rewind(proto::Rewind { to: step })));
    assert_eq!(first.index, step);
    assert!(rest.completed(), "{:?}", rest.end());
    said.extend(rest.events);
    assert_eq!(text(&kept(&said)), "Counting.t0 t1 t2 t3 t4 ");
    assert_eq!(server.count(), 1);
    assert_eq!(world.model.calls().len(), 1, "the first step is not asked again");
    assert!(heard(&world, 0, "a").contains('1'));
    let fresh = world.answer(asked).await;
    assert_eq!(text(&kept(&fresh.events)), "Counting.t0 t1 t2 t3 t4 ");
}

#[tokio::test]
async fn a_call_that_was_under_way_is_put_before_a_human_and_never_repeated() {
    for answer in ["accept", "reject", "respond"] {
        let (records, world, server) = stage().await;
        let asked = script(&Script {
            tool_calls: calls(&[("a", "t__hold", json!({"name": "x"}))]),
            then: vec![Script { echo_tools: true, ..Script::default() }],
            ..Script::default()
        });
        let events = world.ask(asked.clone()).await.unwrap();
        server.wait_for_calls(1).await.unwrap();
        drop((world, events));
        let world = beside(counts, &records, &server).await;
        let interrupted = world.answer(asked.clone()).await;
        let waiting = pending(&interrupted);
        assert_eq!(waiting[0].reason, "outcome_unknown");
        assert_eq!(server.calls().len(), 1, "it may have run, and is not repeated");
        let told = if answer == "accept" { "" } else { "it did run" };
        let decided = Decision { message: told.to_owned(), ..decision(&waiting[0], answer) };
        server.release();
        let done = world.answer(deciding(&asked, vec![decided])).await;
        assert!(done.completed(), "{:?}", done.end());
        assert_eq!(server.calls().len(), if answer == "accept" { 2 } else { 1 });
        assert!(done.text().contains(told), "{}", done.text());
    }
}

#[tokio::test]
async fn a_call_that_only_reads_is_simply_made_again() {
    let (records, world, server) = stage().await;
    let asked = script(&Script {
        tool_calls: calls(&[
            ("a", "t__read", json!({"key": "x"})),
            ("b", "t__slow", json!({"steps": 100_000, "every_ms": 5})),
        ]),
        ..Script::default()
    });
    let mut events = world.ask(asked.clone()).await.unwrap();
    server.wait_for_calls(2).await.unwrap();
    while !matches!(next(&mut events).await.kind, Some(Kind::ToolResult(_))) {}
    drop((world, events));
    let world = beside(counts, &records, &server).await;
    let _events = world.ask(asked).await.unwrap();
    let calls = server.wait_for_calls(3).await.unwrap();
    let tools: Vec<_> = calls.iter().map(|it| it.tool.as_str()).collect();
    assert_eq!(tools[2], "slow", "what had its result is not asked again: {tools:?}");
}

#[tokio::test]
async fn an_agent_that_lost_its_turn_to_another_stops_without_a_word() {
    let (records, old, server) = stage().await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__hold", json!({})), ("b", "t__count", json!({}))]),
        ..Script::default()
    });
    let mut events = old.ask(asked.clone()).await.unwrap();
    server.wait_for_calls(1).await.unwrap();
    let new = beside(counts, &records, &server).await;
    let interrupted = new.answer(asked).await;
    assert_eq!(pending(&interrupted)[0].reason, "outcome_unknown");
    assert_eq!(server.count(), 1, "the call behind it is made by the new one");
    server.release();
    let lost = loop {
        match futures::StreamExt::next(&mut events).await.expect("no silent end") {
            Ok(event) => {
                let said = event.kind.expect("a kind");
                assert!(!matches!(said, Kind::ToolResult(_)), "{said:?}");
            }
            Err(status) => break status,
        }
    };
    assert_eq!(lost.code(), Code::Unavailable);
    assert_eq!(server.calls().len(), 2, "{:?}", server.calls());
}

#[tokio::test]
async fn a_decision_under_way_is_gone_on_with_and_counts_once() {
    let records = records().await;
    let (world, server) = shared(|config| allowing(config, "t__hold"), &records).await;
    let asked = script(&Script {
        tool_calls: calls(&[
            ("a", "t__count", json!({"by": 1})),
            ("b", "t__count", json!({"by": 1})),
        ]),
        then: vec![Script { tokens: Some(5), hold_after: Some(2), ..Script::default() }],
        ..Script::default()
    });
    let waiting = pending(&world.answer(asked.clone()).await);
    let decided = deciding(&asked, waiting.iter().map(|it| decision(it, "accept")).collect());
    let mut events = world.ask(decided.clone()).await.unwrap();
    while !matches!(next(&mut events).await.kind, Some(Kind::Text(_))) {}
    drop((world, events));
    let world = beside(|_| {}, &records, &server).await;
    world.model.release();
    let answer = world.answer(decided).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(results(&answer).len(), 2);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn an_ended_turn_leaves_its_ledger_only_until_the_next_one() {
    let (records, world, _server) = stage().await;
    let ledgers = async || {
        let found = records.all(broker::Bucket::Ledgers).await.unwrap();
        found.len()
    };
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({}))]),
        then: vec![Script { text: Some("Done.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(asked).await.completed());
    assert_eq!(ledgers().await, 1);
    assert!(world.answer(question("hello")).await.completed());
    assert_eq!(ledgers().await, 0);
}

/// Asks, and stops behind the model's first words.
pub(crate) async fn begun(world: &World, asked: &AskRequest) -> tonic::Streaming<AskEvent> {
    let mut events = world.ask(asked.clone()).await.unwrap();
    while !matches!(next(&mut events).await.kind, Some(Kind::Text(_))) {}
    events
}

/// Waits until a turn ends without a word.
pub(crate) async fn lost(mut events: tonic::Streaming<AskEvent>) {
    let status = loop {
        match futures::StreamExt::next(&mut events).await.expect("no silent end") {
            Ok(event) => assert!(!matches!(event.kind, Some(Kind::ToolCall(_))), "{event:?}"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn an_agent_that_wakes_when_its_turn_and_the_next_are_over_calls_nothing() {
    let (records, old, server) = stage().await;
    let asked = script(&Script {
        text: Some("Let me count.".to_owned()),
        hold_after: Some(1),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Counted.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let events = begun(&old, &asked).await;
    let new = beside(counts, &records, &server).await;
    new.model.release();
    assert!(new.answer(asked).await.completed());
    // Removes the ledger of the turn before it.
    assert!(new.answer(question("And now?")).await.completed());
    old.model.release();
    lost(events).await;
    assert_eq!(server.count(), 1, "{:?}", server.calls());
    assert_eq!(records.all(broker::Bucket::Ledgers).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_agent_that_wakes_when_its_turn_is_over_does_not_write_it_again() {
    let records = records().await;
    let old = World::with(|_| {}, Arc::clone(&records)).await;
    let said =
        Script { text: Some("one two".to_owned()), hold_after: Some(1), ..Script::default() };
    let asked = script(&said);
    let events = begun(&old, &asked).await;
    let new = World::with(|_| {}, Arc::clone(&records)).await;
    new.model.release();
    assert!(new.answer(asked).await.completed());
    assert!(new.answer(question("And now?")).await.completed());
    old.model.release();
    lost(events).await;
    assert!(new.answer(question("Last?")).await.completed());
    let shown = new.model.calls()[2].body["messages"].clone();
    let asked = shown.as_array().unwrap().iter().filter(|it| it["role"] == "user");
    let asked: Vec<_> = asked.map(|it| it["content"].as_str().unwrap().to_owned()).collect();
    assert_eq!(asked, [said.question(), "And now?".to_owned(), "Last?".to_owned()]);
}

#[tokio::test]
async fn a_turn_that_is_asked_again_when_later_ones_have_ended_does_nothing() {
    let (records, world, server) = stage().await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(asked.clone()).await.completed());
    assert!(world.answer(question("hello")).await.completed());
    drop(world);
    let world = beside(counts, &records, &server).await;
    assert_eq!(world.answer(asked).await.failure(), ("turn_over", false));
    assert_eq!(server.count(), 1);
    assert!(world.model.calls().is_empty());
}

#[tokio::test]
async fn who_has_something_of_a_turn_keeps_it_when_the_past_cannot_be_read() {
    let records = records().await;
    let world = World::with(|_| {}, Arc::clone(&records)).await;
    let session = proto::Session::parse("ann", "s").unwrap();
    let newer = proto::Transcript { version: 99, ..proto::Transcript::default() };
    let key = broker::Key::session(&session);
    let value = prost::Message::encode_to_vec(&newer).into();
    let absent = broker::Expected::Absent;
    records.put(broker::Bucket::Transcripts, &key, value, absent).await.unwrap();
    let asked = AskRequest { resume_after: 5, resume_run: 77, ..question("hello") };
    let mut events = world.ask(asked).await.unwrap();
    let first = futures::StreamExt::next(&mut events).await.unwrap();
    assert_eq!(first.unwrap_err().code(), Code::Unavailable, "nothing is taken back");
    assert_eq!(world.answer(question("hello")).await.failure(), ("store_unavailable", false));
}

#[tokio::test]
async fn a_stopped_resumption_leaves_no_ledger_behind() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let asked =
        script(&Script { tool_calls: calls(&[("b", "t__hold", json!({}))]), ..Script::default() });
    let waiting = pending(&world.answer(asked.clone()).await);
    let decided = deciding(&asked, vec![decision(&waiting[0], "accept")]);
    let events = world.ask(decided.clone()).await.unwrap();
    server.wait_for_calls(1).await.unwrap();
    assert!(world.cancel(&decided).await);
    let stopped = crate::world::Answer::read(events).await;
    assert!(matches!(stopped.end(), Kind::Cancelled(_)), "{:?}", stopped.end());
    assert!(world.answer(question("Never mind.")).await.completed());
    assert_eq!(records.all(broker::Bucket::Ledgers).await.unwrap().len(), 0);
}
