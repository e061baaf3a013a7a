//! What providers do wrong, seen through the whole agent, in both protocols: a
//! failure with its code, or another try, and never half a character.

use std::time::Duration;

use agent::{Config, Protocol};
use proto::AskRequest;
use proto::ask_event::Kind;
use serde_json::json;
use testkit::model::{BodyKind, Call, Ending, Script, ToolStyle};

use crate::tools::{allowing, calls, deciding, decision, heard, pending, results, with_tools};
use crate::world::{Answer, World, question, records, script};

const PROTOCOLS: [Protocol; 2] = [Protocol::OpenAi, Protocol::DashScope];

/// Makes the provider speak another protocol.
fn speak(protocol: Protocol, config: &mut Config) {
    for provider in config.providers.values_mut() {
        provider.protocol = protocol;
        if protocol == Protocol::DashScope {
            let base = provider.base_url.as_ref().map(|it| it.replace("/v1", "/api/v1"));
            provider.base_url = base;
        }
    }
}

async fn world(protocol: Protocol) -> World {
    World::with(|config| speak(protocol, config), records().await).await
}

/// Asks a new agent; it and its answer.
async fn asked(protocol: Protocol, said: &Script) -> (World, Answer) {
    let world = world(protocol).await;
    let answer = world.answer(script(said)).await;
    (world, answer)
}

/// The message of the failure that ended a turn.
fn words(answer: &Answer) -> &str {
    let Kind::Failed(failed) = answer.end() else { panic!("not failed: {:?}", answer.end()) };
    &failed.message
}

#[tokio::test]
async fn a_key_that_is_refused_is_not_tried_again_and_not_told() {
    for protocol in PROTOCOLS {
        let refused = Script {
            status: Some(401),
            error_message: Some("the key sk-very-secret is not known".to_owned()),
            ..Script::default()
        };
        let (world, answer) = asked(protocol, &refused).await;
        assert_eq!(answer.failure(), ("model_auth", false), "{protocol:?}");
        assert!(!format!("{answer:?}").contains("sk-very-secret"), "{protocol:?}: {answer:?}");
        assert_eq!(world.model.calls().len(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_provider_that_names_a_time_is_asked_again_then_and_not_before() {
    for protocol in PROTOCOLS {
        let later = Script {
            status: Some(429),
            retry_after: Some(1),
            times: Some(1),
            text: Some("now".to_owned()),
            ..Script::default()
        };
        let (world, answer) = asked(protocol, &later).await;
        assert!(answer.completed(), "{protocol:?}: {:?}", answer.end());
        assert_eq!(answer.text(), "now");
        let calls = world.model.calls();
        assert_eq!(calls.len(), 2, "{protocol:?}");
        let waited = calls[1].at.saturating_sub(calls[0].at);
        assert!(waited >= Duration::from_secs(1), "{protocol:?}: {waited:?}");
    }
}

#[tokio::test]
async fn a_time_that_nobody_can_wait_for_fails_at_once() {
    for protocol in PROTOCOLS {
        let never = Script { status: Some(429), retry_after: Some(86_400), ..Script::default() };
        let (world, answer) = asked(protocol, &never).await;
        assert_eq!(answer.failure(), ("model_rate_limited", true), "{protocol:?}");
        assert_eq!(world.model.calls().len(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_is_tried_again_and_told_without_markup() {
    for protocol in PROTOCOLS {
        let page = Script { status: Some(500), body: BodyKind::Html, ..Script::default() };
        let (world, answer) = asked(protocol, &page).await;
        assert_eq!(answer.failure(), ("model_unavailable", true), "{protocol:?}");
        assert!(!words(&answer).contains(['<', '>']), "{protocol:?}: {}", words(&answer));
        assert_eq!(world.model.calls().len(), 3, "{protocol:?}: one call and two retries");
        let once = Script { times: Some(1), text: Some("back".to_owned()), ..page };
        let (_world, answer) = asked(protocol, &once).await;
        assert_eq!((answer.text().as_str(), answer.completed()), ("back", true), "{protocol:?}");
    }
}

#[tokio::test]
async fn an_answer_cut_inside_a_character_keeps_whole_ones_and_the_next_turn_knows_them() {
    for protocol in PROTOCOLS {
        for bytes in [1, 2] {
            let cut = Script {
                text: Some("三四五六七".to_owned()),
                cut_after: Some(3),
                cut_bytes: Some(bytes),
                ..Script::default()
            };
            let (world, answer) = asked(protocol, &cut).await;
            assert_eq!(answer.failure(), ("model_cut", true), "{protocol:?} {bytes}");
            assert_eq!(answer.text(), "三四五", "{protocol:?} {bytes}");
            assert_eq!(world.model.calls().len(), 1, "what was shown is not said again");
            assert!(world.answer(question("And then?")).await.completed());
            assert!(shown(&world.model.calls()[1]).contains("三四五"), "{protocol:?} {bytes}");
        }
    }
}

/// Everything that a call told the model.
fn shown(call: &Call) -> String {
    call.body.to_string()
}

#[tokio::test]
async fn comments_without_end_are_no_words() {
    for protocol in PROTOCOLS {
        for (text, code) in [(None, "first_token_timeout"), (Some("Well"), "token_timeout")] {
            let short = Duration::from_millis(400);
            let hurried = |config: &mut Config| {
                speak(protocol, config);
                config.times.between_tokens = short;
                if text.is_none() {
                    config.times.first_token = short;
                }
            };
            let world = World::with(hurried, records().await).await;
            let text = text.map(str::to_owned);
            let endless = Script { text: text.clone(), comments: true, ..Script::default() };
            let answer = world.answer(script(&endless)).await;
            assert_eq!(answer.failure(), (code, true), "{protocol:?}");
            assert_eq!(answer.text(), text.unwrap_or_default(), "{protocol:?}");
            let call = world.model.wait_for_hangup().await.unwrap();
            assert_eq!(call.ending, Ending::HungUp);
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_say_why_it_ends_is_not_complete() {
    for protocol in PROTOCOLS {
        let some = || Some("Half of".to_owned());
        let open = Script { text: some(), no_finish: true, ..Script::default() };
        let (_world, answer) = asked(protocol, &open).await;
        assert_eq!(answer.failure(), ("model_cut", true), "{protocol:?}");
        assert_eq!(answer.text(), "Half of", "{protocol:?}");
        // Its calls may be torn.
        let calls = calls(&[("a", "t__count", json!({}))]);
        let (world, server) = counting(protocol).await;
        let torn = Script { tool_calls: calls, ..open };
        let answer = world.answer(script(&torn)).await;
        assert_eq!(answer.failure(), ("model_cut", true), "{protocol:?}");
        assert_eq!(server.calls().len(), 0, "{protocol:?}");
    }
}

/// An agent that may count without being asked.
async fn counting(protocol: Protocol) -> (World, testkit::mcp::Server) {
    with_tools(|config| {
        speak(protocol, config);
        allowing(config, "t__count");
    })
    .await
}

#[tokio::test]
async fn a_line_without_end_is_left_before_it_is_read() {
    for protocol in PROTOCOLS {
        let line = Script { big_line: Some(10 * 1024 * 1024), ..Script::default() };
        let (world, answer) = asked(protocol, &line).await;
        assert_eq!(answer.failure().0, "model_error", "{protocol:?}: {:?}", answer.end());
        assert_eq!(answer.text(), "", "{protocol:?}");
        world.model.wait_for_hangup().await.unwrap();
        assert!(world.answer(question("Still there?")).await.completed(), "{protocol:?}");
    }
}

/// Counts, and then goes wrong in this way.
fn counts_and(then: Script) -> AskRequest {
    script(&Script {
        text: Some("Counting.".to_owned()),
        tool_calls: calls(&[("a", "t__count", json!({"by": 1}))]),
        then: vec![then],
        ..Script::default()
    })
}

#[tokio::test]
async fn a_failure_after_a_tool_ran_keeps_its_result_for_the_next_turn() {
    for protocol in PROTOCOLS {
        for (then, code, tries) in [
            (Script { status: Some(401), ..Script::default() }, "model_auth", 1),
            (Script { status: Some(503), ..Script::default() }, "model_unavailable", 3),
            (
                Script {
                    text: Some("It is".to_owned()),
                    error_after: Some(1),
                    ..Script::default()
                },
                "model_unavailable",
                1,
            ),
        ] {
            let (world, server) = counting(protocol).await;
            let answer = world.answer(counts_and(then)).await;
            assert_eq!(answer.failure().0, code, "{protocol:?}");
            assert!(answer.text().starts_with("Counting."), "{protocol:?}");
            assert_eq!(results(&answer).len(), 1, "{protocol:?} {code}");
            assert_eq!(world.model.calls().len(), 1 + tries, "{protocol:?} {code}");
            assert_eq!(server.count(), 1, "{protocol:?} {code}: a model's retry is no tool's");
            assert!(world.answer(question("How many?")).await.completed(), "{protocol:?} {code}");
            if protocol == Protocol::OpenAi {
                assert_eq!(heard(&world, 1 + tries, "a"), "the counter is 1");
            } else {
                assert!(shown(&world.model.calls()[1 + tries]).contains("the counter is 1"));
            }
            assert_eq!(server.count(), 1, "{protocol:?} {code}");
        }
    }
}

#[tokio::test]
async fn a_failure_after_a_decided_call_ran_neither_loses_nor_repeats_it() {
    for protocol in PROTOCOLS {
        let (world, server) = with_tools(|config| speak(protocol, config)).await;
        let asked = counts_and(Script { status: Some(401), ..Script::default() });
        let waiting = pending(&world.answer(asked.clone()).await);
        let decide = || deciding(&asked, vec![decision(&waiting[0], "accept")]);
        let answer = world.answer(decide()).await;
        assert_eq!(answer.failure().0, "model_auth", "{protocol:?}");
        assert_eq!((results(&answer).len(), server.count()), (1, 1), "{protocol:?}");
        let again = world.answer(decide()).await;
        assert_eq!(again.failure(), ("decision_refused", false), "{protocol:?}");
        assert!(world.answer(question("How many?")).await.completed(), "{protocol:?}");
        let told = shown(world.model.calls().last().unwrap());
        assert!(told.contains("the counter is 1"), "{protocol:?}: {told}");
        assert_eq!(server.count(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_later_step_is_tried_again_like_the_first() {
    for protocol in PROTOCOLS {
        let (world, server) = counting(protocol).await;
        let once = Script {
            status: Some(503),
            times: Some(2),
            text: Some(" Done.".to_owned()),
            ..Script::default()
        };
        let answer = world.answer(counts_and(once)).await;
        assert!(answer.completed(), "{protocol:?}: {:?}", answer.end());
        assert_eq!(answer.text(), "Counting. Done.");
        assert_eq!((world.model.calls().len(), server.count()), (4, 1), "{protocol:?}");
    }
}

#[tokio::test]
async fn calls_torn_by_a_limit_are_not_made_and_the_limit_is_named() {
    for protocol in PROTOCOLS {
        for finish in ["length", "content_filter"] {
            for arguments in [r#"{"by": 1"#, r#"{"by": 1}"#] {
                let (world, server) = counting(protocol).await;
                let mut torn = calls(&[("a", "t__count", json!({})), ("b", "t__count", json!({}))]);
                arguments.clone_into(&mut torn[1].arguments);
                let said = Script {
                    text: Some("Let me".to_owned()),
                    tool_calls: torn,
                    finish: Some(finish.to_owned()),
                    ..Script::default()
                };
                let answer = world.answer(script(&said)).await;
                let Kind::Completed(completed) = answer.end() else {
                    panic!("{protocol:?} {finish}: {:?}", answer.end());
                };
                assert_eq!(completed.finish_reason, finish, "{protocol:?}");
                assert_eq!(answer.text(), "Let me");
                let told = answer.kinds().any(|it| matches!(it, Kind::ToolCall(_)));
                assert!(!told && server.calls().is_empty(), "{protocol:?} {finish} {arguments}");
                assert!(world.answer(question("Go on.")).await.completed());
            }
        }
    }
}

#[tokio::test]
async fn arguments_that_are_no_json_are_not_called_and_the_model_hears_why() {
    for protocol in PROTOCOLS {
        for style in [ToolStyle::Pieces, ToolStyle::Whole] {
            let (world, server) = counting(protocol).await;
            let mut torn = calls(&[("a", "t__count", json!({})), ("b", "t__count", json!({}))]);
            r#"{"by": 1"#.clone_into(&mut torn[0].arguments);
            let said = Script {
                tool_calls: torn,
                tool_style: style,
                then: vec![Script { echo_tools: true, ..Script::default() }],
                ..Script::default()
            };
            let answer = world.answer(script(&said)).await;
            assert!(answer.completed(), "{protocol:?}: {:?}", answer.end());
            let errors: Vec<_> = results(&answer).iter().map(|it| it.is_error).collect();
            assert_eq!(errors, [true, false], "{protocol:?}: {:?}", results(&answer));
            assert_eq!(server.calls().len(), 1, "{protocol:?}");
            assert!(answer.text().contains(&results(&answer)[0].content[..20]), "{answer:?}");
        }
    }
}
