//! Asking in an earlier turn's place: what the model is shown, what is left when
//! agents die or wake in the middle of it, and who is refused.

use std::sync::Arc;

use proto::ask_event::Kind;
use proto::{AskRequest, TurnId};
use serde_json::json;
use testkit::mcp::Server;
use testkit::model::Script;
use tonic::Code;

use crate::asking::wrong;
use crate::crashes::{begun, lost};
use crate::tools::{allowing, beside, calls, deciding, decision, pending, shared, with_tools};
use crate::world::{World, message, next, question, records, script};

/// A question in the place of another one.
fn instead(of: &AskRequest, asked: AskRequest) -> AskRequest {
    AskRequest { replaces: of.turn_id.clone(), ..asked }
}

/// What the model was shown in its last call, without instructions.
fn shown(world: &World) -> Vec<String> {
    let body = world.model.calls().last().unwrap().body.clone();
    let messages = body["messages"].as_array().unwrap().iter();
    let spoken = messages.filter(|it| it["role"] != "system");
    spoken.map(|it| it["content"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Asks three questions, each answered with its own words; the requests.
async fn three(world: &World) -> Vec<AskRequest> {
    let mut asked = Vec::new();
    for nth in 1..=3 {
        let question = says(&format!("answer {nth}"));
        assert!(world.answer(question.clone()).await.completed());
        asked.push(question);
    }
    asked
}

fn says(text: &str) -> AskRequest {
    script(&Script { text: Some(text.to_owned()), ..Script::default() })
}

fn input(asked: &AskRequest) -> String {
    asked.messages.last().unwrap().content.clone()
}

#[tokio::test]
async fn the_model_sees_what_was_before_and_then_the_new_question() {
    let world = World::new().await;
    let asked = three(&world).await;
    let edited = instead(&asked[1], says("edited"));
    assert!(world.answer(edited.clone()).await.completed());
    assert_eq!(shown(&world), [&input(&asked[0]), "answer 1", &input(&edited)]);
    let again = instead(&edited, question("again"));
    assert!(world.answer(again).await.completed());
    assert_eq!(shown(&world), [&input(&asked[0]), "answer 1", "again"]);
    assert!(world.answer(question("next")).await.completed());
    let told = shown(&world);
    assert_eq!((told.len(), told[2].as_str(), told[4].as_str()), (5, "again", "next"));
    let gone = world.answer(instead(&asked[1], question("too late"))).await;
    assert_eq!(gone.failure(), ("unknown_turn", false));
}

#[tokio::test]
async fn a_turn_that_fails_before_it_said_anything_leaves_the_old_ones_and_its_place_is_known() {
    let world = World::new().await;
    let asked = three(&world).await;
    let failing = script(&Script { status: Some(400), ..Script::default() });
    let failed = instead(&asked[1], failing);
    assert!(matches!(world.answer(failed.clone()).await.end(), Kind::Failed(_)));
    assert!(world.answer(question("next")).await.completed());
    assert_eq!(shown(&world).len(), 7, "all that was said before");
    let unknown = world.answer(instead(&failed, question("retried"))).await;
    assert_eq!(unknown.failure(), ("unknown_turn", false));
    // As who has read the log asks it.
    let behind = Some(asked[0].turn_id.clone());
    let retried = AskRequest { behind, ..instead(&failed, question("retried")) };
    assert!(world.answer(retried).await.completed());
    assert_eq!(shown(&world), [&input(&asked[0]), "answer 1", "retried"]);
}

#[tokio::test]
async fn a_stopped_turn_replaces_with_what_it_had_said() {
    let world = World::new().await;
    let asked = three(&world).await;
    let half = Script { tokens: Some(5), stall_after: Some(2), ..Script::default() };
    let stopped = instead(&asked[0], script(&half));
    let mut events = world.ask(stopped.clone()).await.unwrap();
    crate::world::until(&mut events, 2).await;
    assert!(world.cancel(&stopped).await);
    crate::world::Answer::read(events).await;
    assert!(world.answer(question("next")).await.completed());
    assert_eq!(shown(&world), [&half.question(), "t0 t1 ", "next"]);
}

#[tokio::test]
async fn the_history_that_came_with_the_first_question_stays_unless_another_one_comes() {
    let world = World::new().await;
    let mut first = says("answer");
    first.messages.splice(..0, [message("user", "before"), message("assistant", "indeed")]);
    assert!(world.answer(first.clone()).await.completed());
    let edited = instead(&first, question("edited"));
    assert!(world.answer(edited.clone()).await.completed());
    assert_eq!(shown(&world), ["before", "indeed", "edited"]);
    let mut other = instead(&edited, question("other"));
    other.messages.insert(0, message("user", "anew"));
    assert!(world.answer(other).await.completed());
    assert_eq!(shown(&world), ["anew", "other"]);
}

#[tokio::test]
async fn the_history_outlives_an_agent_that_stored_the_new_first_turn_and_did_not_say_so() {
    let records = records().await;
    let world = World::with(|_| {}, Arc::clone(&records)).await;
    let mut first = says("answer");
    first.messages.splice(..0, [message("user", "before"), message("assistant", "indeed")]);
    assert!(world.answer(first.clone()).await.completed());
    let edited = instead(&first, question("edited"));
    assert!(world.answer(edited.clone()).await.completed());
    drop(world);
    for _ in 0..2 {
        // Asked once more by who did not hear its end.
        let world = World::with(|_| {}, Arc::clone(&records)).await;
        assert!(world.answer(edited.clone()).await.completed());
        assert_eq!(shown(&world), ["before", "indeed", "edited"]);
    }
    let world = World::with(|_| {}, records).await;
    assert!(world.answer(question("next")).await.completed());
    assert_eq!(shown(&world)[..3], ["before", "indeed", "edited"]);
}

/// Counts once; then says how it went, with a pause behind the first words.
fn counts() -> AskRequest {
    script(&Script {
        text: Some("Counting.".to_owned()),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { tokens: Some(4), hold_after: Some(2), ..Script::default() }],
        ..Script::default()
    })
}

async fn stage() -> (Arc<dyn broker::Records>, World, Server) {
    let records = records().await;
    let (world, server) = shared(|it| allowing(it, "t__count"), &records).await;
    (records, world, server)
}

#[tokio::test]
async fn another_agent_goes_on_with_the_new_turn_where_the_first_one_died() {
    let (records, world, server) = stage().await;
    let asked = three(&world).await;
    let edited = instead(&asked[1], counts());
    let mut events = world.ask(edited.clone()).await.unwrap();
    let mut said = Vec::new();
    while said.iter().filter(|it: &&proto::AskEvent| matches!(it.kind, Some(Kind::Text(_)))).count()
        < 2
    {
        said.push(next(&mut events).await);
    }
    drop((world, events));
    let world = beside(|it| allowing(it, "t__count"), &records, &server).await;
    world.model.release();
    let last = said.last().unwrap();
    let rest = AskRequest { resume_run: last.run, resume_after: last.index, ..edited };
    assert!(world.answer(rest.clone()).await.completed());
    assert_eq!(server.count(), 1);
    assert_eq!(shown(&world)[..2], [input(&asked[0]), "answer 1".to_owned()]);
    drop(world);
    let world = beside(|it| allowing(it, "t__count"), &records, &server).await;
    world.model.release();
    // It was stored, and is asked once more by who did not hear its end.
    assert!(world.answer(rest).await.completed());
    assert!(world.answer(question("next")).await.completed());
    let told = shown(&world);
    assert_eq!(told.iter().filter(|it| **it == "answer 1").count(), 1, "{told:?}");
    assert!(!told.iter().any(|it| it.starts_with("answer 2") || it.starts_with("answer 3")));
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_agent_that_wakes_when_its_turn_is_replaced_calls_nothing_and_writes_nothing() {
    let (records, old, server) = stage().await;
    let first = says("first");
    assert!(old.answer(first.clone()).await.completed());
    let sleeping = script(&Script {
        text: Some("Let me count.".to_owned()),
        hold_after: Some(1),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Counted.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let events = begun(&old, &sleeping).await;
    let new = beside(|it| allowing(it, "t__count"), &records, &server).await;
    new.model.release();
    assert!(new.answer(sleeping.clone()).await.completed());
    let edited = instead(&sleeping, question("edited"));
    assert!(new.answer(edited).await.completed());
    old.model.release();
    lost(events).await;
    assert_eq!(server.count(), 1, "{:?}", server.calls());
    assert!(new.answer(question("next")).await.completed());
    let told = shown(&new);
    assert_eq!((told.len(), told[1].as_str(), told[2].as_str()), (5, "first", "edited"));
    // Nor does an agent begin it anew that knows nothing of it.
    let third = beside(|it| allowing(it, "t__count"), &records, &server).await;
    assert_eq!(third.answer(sleeping).await.failure(), ("turn_over", false));
    assert_eq!(server.count(), 1);
    assert_eq!(records.all(broker::Bucket::Ledgers).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_turn_that_waits_is_replaced_with_all_that_resumed_it_and_nobody_can_decide_any_more() {
    for replaces_the_resuming_one in [false, true] {
        let (world, server) = with_tools(|_| {}).await;
        let first = says("first");
        assert!(world.answer(first.clone()).await.completed());
        let each = ["a", "b"].map(|id| (id, "t__count", json!({"by": 1})));
        let waits = script(&Script { tool_calls: calls(&each), ..Script::default() });
        let waiting = pending(&world.answer(waits.clone()).await);
        let resumed = deciding(&waits, vec![decision(&waiting[0], "accept")]);
        assert_eq!(pending(&world.answer(resumed.clone()).await).len(), 1);
        let place = if replaces_the_resuming_one { &resumed } else { &waits };
        let edited = instead(place, question("edited"));
        assert!(world.answer(edited).await.completed());
        assert_eq!(shown(&world), [&input(&first), "first", "edited"]);
        let late = deciding(&waits, vec![decision(&waiting[1], "accept")]);
        assert_eq!(world.answer(late).await.failure(), ("decision_refused", false));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_turn_that_decided_and_was_stopped_without_a_word_is_replaced_with_the_question() {
    let (world, server) = with_tools(|_| {}).await;
    let first = says("first");
    assert!(world.answer(first.clone()).await.completed());
    let held = calls(&[("a", "t__hold", json!({}))]);
    let waits = script(&Script { tool_calls: held, ..Script::default() });
    let waiting = pending(&world.answer(waits.clone()).await);
    let resumed = deciding(&waits, vec![decision(&waiting[0], "accept")]);
    let events = world.ask(resumed.clone()).await.unwrap();
    server.wait_for_calls(1).await.unwrap();
    assert!(world.cancel(&resumed).await);
    let stopped = crate::world::Answer::read(events).await;
    assert!(matches!(stopped.end(), Kind::Cancelled(_)), "{:?}", stopped.end());
    assert!(world.answer(instead(&resumed, question("edited"))).await.completed());
    assert_eq!(shown(&world), [&input(&first), "first", "edited"]);
}

#[tokio::test]
async fn a_summary_of_what_is_replaced_is_not_shown_to_the_new_turn_nor_to_later_ones() {
    let change = |config: &mut agent::Config| {
        for provider in config.providers.values_mut() {
            provider.window = 6_000;
        }
    };
    let world = World::with(change, records().await).await;
    let mut asked = Vec::new();
    for nth in 0..24 {
        let long = question(&format!("question {nth} {}", "word ".repeat(300)));
        assert!(world.answer(long.clone()).await.completed());
        asked.push(long);
    }
    let in_short = |nth: usize| world.model.calls()[nth].body.to_string().contains("in short");
    let calls = world.model.calls().len();
    assert!(in_short(calls - 1), "the conversation is summarized by now");
    assert!(world.answer(instead(&asked[2], question("edited"))).await.completed());
    assert!(world.answer(question("next")).await.completed());
    assert!(!in_short(calls) && !in_short(calls + 1));
    let told = shown(&world);
    assert_eq!((told.len(), told[4].as_str()), (7, "edited"));
}

#[tokio::test]
async fn a_wrong_place_is_named() {
    let world = World::new().await;
    let own = question("x");
    let other = TurnId::new().to_string();
    let turn = || AskRequest { replaces: other.clone(), ..question("x") };
    let resume = Some(proto::Resume::default());
    for (request, fields) in [
        (AskRequest { replaces: "x".into(), ..question("x") }, vec!["replaces"]),
        (AskRequest { replaces: own.turn_id.to_uppercase(), ..own.clone() }, vec!["replaces"]),
        (AskRequest { behind: Some(String::new()), ..question("x") }, vec!["behind"]),
        (AskRequest { behind: Some("x".into()), ..turn() }, vec!["behind"]),
        (
            AskRequest { resume, messages: Vec::new(), ..turn() },
            vec!["resume.turnId", "resume.decisions", "replaces"],
        ),
    ] {
        let refused = world.ask(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert_eq!(wrong(&refused), fields, "{refused:?}");
    }
    assert_eq!(world.answer(turn()).await.failure(), ("unknown_turn", false));
}
