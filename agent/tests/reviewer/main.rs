//! Temporary.
#![allow(warnings)]
#[path = "../service/tools.rs"]
mod tools;
#[path = "../service/world.rs"]
mod world;
mod sweep;

use std::time::Duration;
use proto::ask_event::Kind;
use proto::{AskRequest, Decision};
use serde_json::json;
use testkit::model::Script;
use tools::*;
use world::*;

fn counts(config: &mut agent::Config) {
    allowing(config, "t__count");
    allowing(config, "t__hold");
}
fn window(config: &mut agent::Config, tokens: u32) {
    config.providers.get_mut("openai").unwrap().window = tokens;
}
fn shown(world: &World, nth: usize) -> Vec<String> {
    let m = world.model.calls()[nth].body["messages"].clone();
    m.as_array().unwrap().iter().map(|it| {
        let c = it["content"].as_str().unwrap_or("").chars().take(60).collect::<String>();
        format!("{} {:?} calls={} id={}", it["role"], c, it["tool_calls"], it["tool_call_id"])
    }).collect()
}

#[tokio::test]
async fn r1_ended_turn_again() {
    let records = records().await;
    let (world, server) = shared(counts, &records).await;
    let one = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(one.clone()).await.completed());
    assert!(world.answer(question("next")).await.completed());
    assert_eq!(server.count(), 1);
    drop(world);
    let world = beside(counts, &records, &server).await;
    let again = world.answer(one).await;
    println!("R1 end {:?} count {}", again.end(), server.count());
    world.answer(question("last")).await;
    println!("R1 {:#?}", shown(&world, world.model.calls().len() - 1));
}

#[tokio::test]
async fn r2_zombie_first_step() {
    let records = records().await;
    let (a, server) = shared(counts, &records).await;
    let b = beside(counts, &records, &server).await;
    let one = script(&Script {
        tokens: Some(2), hold_after: Some(1),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let mut ea = a.ask(one.clone()).await.unwrap();
    next(&mut ea).await;
    b.model.release();
    assert!(b.answer(one.clone()).await.completed());
    assert!(b.answer(question("C")).await.completed());
    println!("R2 before {}", server.count());
    a.model.release();
    let mut rest = vec![];
    while let Some(it) = futures::StreamExt::next(&mut ea).await { rest.push(it.map(|e| e.kind)); }
    println!("R2 rest {:?}", rest.last());
    println!("R2 count {}", server.count());
    b.answer(question("D")).await;
    println!("R2 {:#?}", shown(&b, b.model.calls().len() - 1));
}

#[tokio::test]
async fn r3_resume_cut() {
    let records = records().await;
    let (world, server) = shared(|c| window(c, 10_000), &records).await;
    let one = script(&Script {
        text: Some("word ".repeat(6_000)),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let waiting = pending(&world.answer(one.clone()).await);
    let answer = world.answer(deciding(&one, vec![decision(&waiting[0], "accept")])).await;
    println!("R3 end {:?} {}", answer.end(), server.count());
    for n in 0..world.model.calls().len() { println!("R3 call {n} {:#?}", shown(&world, n)); }
}

#[tokio::test]
async fn r4_loop() {
    let records = records().await;
    let (world, server) = shared(|c| { counts(c); window(c, 8_000); c.times.turn = Duration::from_secs(4); }, &records).await;
    let zero = script(&Script {
        text: Some("word ".repeat(4_000)),
        tool_calls: calls(&[("a", "t__read", json!({"key": "x"}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(zero).await.completed());
    let one = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(one).await;
    println!("R4 end {:?} count {} model calls {}", answer.end(), server.count(), world.model.calls().len());
    for n in 2..world.model.calls().len().min(6) { println!("R4 call {n} {:#?}", shown(&world, n)); }
}

#[tokio::test]
async fn r5_denied_later() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let one = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let waiting = pending(&world.answer(one.clone()).await);
    drop(world);
    let world = beside(|c| { c.tools.rules.insert("t__count".into(), agent::Verdict::Deny); }, &records, &server).await;
    let answer = world.answer(deciding(&one, vec![decision(&waiting[0], "accept")])).await;
    println!("R5 end {:?} count {}", answer.end(), server.count());
}

#[tokio::test]
async fn r6_not_closed() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let one = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1})), ("b", "t__hold", json!({})), ("c", "t__count", json!({"by": 10}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let w = pending(&world.answer(one.clone()).await);
    let two = deciding(&one, vec![decision(&w[0], "accept"), decision(&w[1], "accept")]);
    let events = world.ask(two.clone()).await.unwrap();
    server.wait_for_calls(2).await.unwrap();
    assert!(world.cancel(&two).await);
    println!("R6 two {:?}", Answer::read(events).await.end());
    let n = world.answer(question("Never mind.")).await;
    println!("R6 never mind {:?}", n.end());
    let late = world.answer(deciding(&one, vec![decision(&w[2], "accept")])).await;
    println!("R6 late {:?} count {}", late.end(), server.count());
}

#[tokio::test]
async fn r7_rewind_on_failed_begin() {
    let records = records().await;
    let world = World::with(|_| {}, std::sync::Arc::clone(&records)).await;
    let session = proto::Session::parse("ann", "s").unwrap();
    let t = proto::Transcript { version: 99, ..Default::default() };
    records.put(broker::Bucket::Transcripts, &broker::Key::session(&session), prost::Message::encode_to_vec(&t).into(), broker::Expected::Absent).await.unwrap();
    let asked = AskRequest { resume_after: 5, resume_run: 77, ..question("hello") };
    let mut seen = (0, 0);
    for _ in 0..20 {
        let mut e = world.ask(asked.clone()).await.unwrap();
        let mut all = vec![];
        while let Some(it) = futures::StreamExt::next(&mut e).await { all.push(it.map(|e| (e.index, e.run, e.kind)).map_err(|s| s.code())); }
        if all.len() > 1 { seen.0 += 1; println!("R7 {all:?}"); } else { seen.1 += 1; }
    }
    println!("R7 with rewind {} without {}", seen.0, seen.1);
}

#[tokio::test]
async fn r8_ledger_too_long() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let each: Vec<_> = (0..12).map(|n| (["a","b","c","d","e","f","g","h","i","j","k","l"][n], "t__big", json!({"bytes": 40000}))).collect();
    let one = script(&Script {
        tool_calls: calls(&each),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(one).await;
    println!("R8 end {:?} results {:?}", answer.end(), results(&answer).iter().map(|r| r.content.len()).collect::<Vec<_>>());
    println!("R8 {:?}", results(&answer).first().map(|r| r.content.chars().take(200).collect::<String>()));
}

#[tokio::test]
async fn r9_tool_names() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let one = script(&Script {
        tool_calls: calls(&[("a", "functions.count now", json!({})), (&"x".repeat(100), "t__read", json!({"key":"k"}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(one).await;
    println!("R9 end {:?}", answer.end());
    println!("R9 {:#?}", shown(&world, 1));
}

#[tokio::test]
async fn r10_leak() {
    let records = records().await;
    let (world, server) = shared(|_| {}, &records).await;
    let one = script(&Script {
        tool_calls: calls(&[("b", "t__hold", json!({}))]),
        then: vec![Script { text: Some("Done.".into()), ..Script::default() }],
        ..Script::default()
    });
    let w = pending(&world.answer(one.clone()).await);
    let two = deciding(&one, vec![decision(&w[0], "accept")]);
    let events = world.ask(two.clone()).await.unwrap();
    server.wait_for_calls(1).await.unwrap();
    assert!(world.cancel(&two).await);
    println!("R10 two {:?}", Answer::read(events).await.end());
    for _ in 0..3 { world.answer(question("Never mind.")).await; }
    println!("R10 ledgers left {:?}", records.all(broker::Bucket::Ledgers).await.unwrap().len());
}

#[tokio::test]
async fn r11_empty_summary() {
    let records = records().await;
    let (world, server) = shared(|c| window(c, 8_000), &records).await;
    let zero = script(&Script { text: Some("word ".repeat(4_000)), ..Script::default() });
    assert!(world.answer(zero).await.completed());
    world.answer(question("What did you say?")).await;
    for n in 1..world.model.calls().len() { println!("R11 call {n} {:#?}", shown(&world, n)); println!("R11 system {}", world.model.calls()[n].body["messages"][0]["content"]); }
}
