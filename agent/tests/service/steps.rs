//! Turns of several steps: the model asks for tools, hears of them, goes on.

use agent::{Limits, Verdict};
use proto::ask_event::Kind;
use serde_json::{Value, json};
use testkit::mcp;
use testkit::model::Script;

use crate::tools::{allowing, calls, heard, results, shared, with_tools};
use crate::world::{World, question, records, script};

#[tokio::test]
async fn calls_that_only_read_run_at_once_and_the_model_hears_every_result() {
    let (world, server) = with_tools(|_| {}).await;
    let asked = script(&Script {
        text: Some("Let me look.".to_owned()),
        tool_calls: calls(&[
            ("a", "t__read", json!({"key": "one"})),
            ("b", "t__read", json!({"key": "two"})),
        ]),
        then: vec![Script { text: Some("Found both.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!(answer.text(), "Let me look.Found both.");
    assert_eq!(server.calls().len(), 2);
    let kinds: Vec<_> = answer.kinds().filter_map(name).collect();
    assert_eq!(kinds, ["text", "call a", "call b", "result", "result", "text", "end"]);
    let shown = &world.model.calls()[1].body["messages"];
    let roles: Vec<_> = shown.as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool"]);
    assert_eq!(shown[2]["tool_calls"][0]["id"], "a");
    assert_eq!(shown[3]["tool_call_id"], "a");
    assert_eq!(shown[4]["tool_call_id"], "b");
    let tools = world.model.calls()[0].body["tools"].clone();
    let named = |it: &&Value| it["function"]["name"] == "t__count";
    assert!(tools.as_array().unwrap().iter().any(|it| named(&it)), "{tools}");
}

/// Kinds by their names; one for each stretch of text.
fn name(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Text(text) => {
            let begins = text.starts_with("Let") || text.starts_with("Found");
            begins.then(|| "text".to_owned())
        }
        Kind::ToolCall(call) => Some(format!("call {}", call.call_id)),
        Kind::ToolResult(_) => Some("result".to_owned()),
        Kind::Completed(_) => Some("end".to_owned()),
        Kind::Reasoning(_)
        | Kind::Citation(_)
        | Kind::Usage(_)
        | Kind::Rewind(_)
        | Kind::Interrupted(_)
        | Kind::Failed(_)
        | Kind::Cancelled(_) => None,
    }
}

#[tokio::test]
async fn reading_calls_do_not_wait_for_each_other() {
    let (world, server) = with_tools(|config| allowing(config, "t__hold")).await;
    let asked = script(&Script {
        tool_calls: calls(&[
            ("a", "t__slow", json!({"steps": 3, "every_ms": 20})),
            ("b", "t__read", json!({"key": "x"})),
            ("c", "t__slow", json!({"steps": 3, "every_ms": 20})),
        ]),
        then: vec![Script::default()],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    let order: Vec<_> = results(&answer).into_iter().map(|it| it.call_id).collect();
    assert_eq!(order[0], "b", "what was ready first is told first");
    let calls = server.calls();
    let slow = calls.iter().filter(|it| it.tool == "slow");
    let ended = slow.clone().filter_map(|it| it.ended).min().unwrap();
    assert!(slow.clone().all(|it| it.at <= ended), "all began before one ended");
}

#[tokio::test]
async fn the_model_hears_why_a_call_is_not_made_and_the_turn_goes_on() {
    let (world, server) = with_tools(|config| {
        config.tools.rules.insert("t__fail".to_owned(), Verdict::Deny);
        config.limits.calls = 5;
    })
    .await;
    let asked = script(&Script {
        tool_calls: calls(&[
            ("a", "nothing", json!({})),
            ("b", "t__read", json!({"key": 7})),
            ("c", "t__read", json!({})),
            ("d", "t__fail", json!({})),
            ("d", "t__read", json!([])),
            ("f", "t__read", json!({"key": "x"})),
        ]),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    assert!(answer.completed());
    assert!(server.calls().is_empty(), "{:?}", server.calls());
    let results = results(&answer);
    for (at, id, words) in [
        (0, "a", "there is no tool `nothing`"),
        (1, "b", "string"),
        (2, "c", "key"),
        (3, "d", "does not allow"),
        (4, "d-2", "object"),
        (5, "f", "at most 5 calls"),
    ] {
        assert_eq!(results[at].call_id, id);
        assert!(results[at].is_error && results[at].content.contains(words), "{:?}", results[at]);
        assert!(answer.text().contains(words), "the model heard {words}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_failing_tool_is_heard_as_one_that_failed() {
    let (world, _server) = with_tools(|config| allowing(config, "t__fail")).await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__fail", json!({"message": "no such thing"}))]),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    assert!(results(&answer)[0].is_error);
    assert!(answer.text().contains("no such thing"), "{}", answer.text());
}

#[tokio::test]
async fn what_a_turn_may_use_is_bounded_and_each_bound_has_its_code() {
    let again = || Script {
        tool_calls: calls(&[("a", "t__read", json!({"key": "x"}))]),
        ..Script::default()
    };
    let asked = || script(&Script { then: vec![again(), again(), again()], ..again() });
    for (limits, code, made) in [
        (Limits { steps: 2, ..Limits::default() }, "step_limit", 2),
        (Limits { tokens: 1, ..Limits::default() }, "token_limit", 1),
    ] {
        let (world, server) = with_tools(|config| config.limits = limits).await;
        let answer = world.answer(asked()).await;
        assert_eq!(answer.failure(), (code, false));
        assert_eq!(server.calls().len(), made, "{code}");
    }
}

#[tokio::test]
async fn a_long_result_is_cut_for_the_model_and_the_log_alike() {
    let (world, _server) = with_tools(|config| config.limits.output = 1_000).await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__big", json!({"bytes": 5_000_000}))]),
        then: vec![Script { text: Some("Long.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked).await;
    let result = &results(&answer)[0];
    assert!(result.content.len() < 1_100, "{}", result.content.len());
    assert!(result.content.contains("cut: the first 1000 of"), "{}", result.content);
    assert_eq!(heard(&world, 1, "a"), result.content);
}

#[tokio::test]
async fn stopping_a_turn_stops_its_tool_and_the_next_turn_can_be_asked() {
    let (world, server) = with_tools(|config| allowing(config, "t__hold")).await;
    let asked =
        script(&Script { tool_calls: calls(&[("a", "t__hold", json!({}))]), ..Script::default() });
    let events = world.ask(asked.clone()).await.unwrap();
    server.wait_for_calls(1).await.unwrap();
    assert!(world.cancel(&asked).await);
    let answer = crate::world::Answer::read(events).await;
    assert!(matches!(answer.end(), Kind::Cancelled(_)), "{:?}", answer.end());
    let hung_up = |calls: &[mcp::Call]| calls[0].ending != mcp::Ending::Open;
    server.wait_for("the cancellation", hung_up).await.unwrap();
    let next = world.answer(question("And now?")).await;
    assert!(next.completed());
    assert!(heard(&world, 1, "a").contains("no result"), "{}", heard(&world, 1, "a"));
}

#[tokio::test]
async fn the_next_turn_knows_what_tools_said_in_the_one_before() {
    let (world, _server) = with_tools(|_| {}).await;
    let asked = script(&Script {
        tool_calls: calls(&[("a", "t__read", json!({"key": "x"}))]),
        then: vec![Script { text: Some("It is so.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let said = results(&world.answer(asked).await)[0].content.clone();
    assert!(world.answer(question("Sure?")).await.completed());
    assert_eq!(heard(&world, 2, "a"), said);
}

#[tokio::test]
async fn two_users_with_the_same_session_id_never_meet() {
    let records = records().await;
    let (world, _server) = shared(|_| {}, &records).await;
    let mut ann = question("I am Ann.");
    ann.user_id = "ann".to_owned();
    assert!(world.answer(ann).await.completed());
    let mut ben = question("Who am I?");
    ben.user_id = "ben".to_owned();
    assert!(world.answer(ben).await.completed());
    let shown = world.model.calls()[1].body["messages"].to_string();
    assert!(!shown.contains("Ann"), "{shown}");
}

#[tokio::test]
async fn calls_are_merged_however_a_server_sends_them() {
    use testkit::model::ToolStyle as Style;
    for style in [Style::Pieces, Style::Interleaved, Style::Blank, Style::Repeated, Style::Whole] {
        let (world, server) = with_tools(|_| {}).await;
        let asked = script(&Script {
            tool_calls: calls(&[
                ("a", "t__read", json!({"key": "one"})),
                ("b", "t__read", json!({"key": "two"})),
            ]),
            tool_style: style,
            then: vec![Script { text: Some("Both.".to_owned()), ..Script::default() }],
            ..Script::default()
        });
        let answer = world.answer(asked).await;
        assert!(answer.completed(), "{style:?}: {:?}", answer.end());
        let mut keys: Vec<_> =
            server.calls().iter().map(|it| it.arguments["key"].to_string()).collect();
        keys.sort();
        assert_eq!(keys, ["\"one\"", "\"two\""], "{style:?}");
    }
}

#[tokio::test]
async fn the_model_behind_is_asked_when_the_first_cannot_be_used() {
    let world = World::with(
        |config| {
            let broken = crate::world::openai(Some("k"), Some("http://127.0.0.1:1/v1"));
            let broken = broken.into_values().next().unwrap();
            config.providers.insert("broken".to_owned(), broken);
            config.model = Some("broken/x".to_owned());
            config.fallback = vec!["openai/script".to_owned()];
        },
        records().await,
    )
    .await;
    let answer = world.answer(question("hello")).await;
    assert!(answer.completed(), "{:?}", answer.end());
    let mut answered = String::new();
    for kind in answer.kinds() {
        if let Kind::Usage(usage) = kind {
            answered.clone_from(&usage.model);
        }
    }
    assert_eq!(answered, "openai/script");
}

#[tokio::test]
async fn an_id_that_a_forgotten_turn_had_does_not_hide_a_call() {
    let (world, server) = with_tools(|config| {
        allowing(config, "t__count");
        for provider in config.providers.values_mut() {
            provider.window = 8_000;
        }
    })
    .await;
    let first = script(&Script {
        text: Some("word ".repeat(4_000)),
        tool_calls: calls(&[("a", "t__read", json!({"key": "x"}))]),
        then: vec![Script { text: Some("Done.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    assert!(world.answer(first).await.completed());
    let second = script(&Script {
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![Script { text: Some("Counted.".to_owned()), ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(second).await;
    assert_eq!((answer.text().as_str(), server.count()), ("Counted.", 1));
}

#[tokio::test]
async fn a_turn_with_more_results_than_it_has_room_for_keeps_all_and_shortens_the_last() {
    let (world, server) = with_tools(|config| allowing(config, "t__big")).await;
    let each: Vec<_> = (0..8).map(|it| it.to_string()).collect();
    let big = || Script {
        tool_calls: calls(
            &each
                .iter()
                .map(|id| (id.as_str(), "t__big", json!({"bytes": 40_000})))
                .collect::<Vec<_>>(),
        ),
        ..Script::default()
    };
    let then = vec![big(), big(), Script { text: Some("Done.".to_owned()), ..Script::default() }];
    let answer = world.answer(script(&Script { then, ..big() })).await;
    assert!(answer.completed(), "{:?}", answer.end());
    assert_eq!((results(&answer).len(), server.calls().len()), (24, 24));
    let sizes: Vec<_> = results(&answer).iter().map(|it| it.content.len()).collect();
    assert!(sizes[0] > 32_000 && sizes[23] < 2_000, "{sizes:?}");
}
