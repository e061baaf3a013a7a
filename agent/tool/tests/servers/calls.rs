//! Calls to a server that counts.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, json};
use testkit::mcp::Ending;
use tool::mcp::{Server, Transport};
use tool::{Effect, arguments};

use crate::world::{World, call, http};

/// Both generations of the protocol, over HTTP.
async fn both() -> [(testkit::mcp::Server, &'static str); 2] {
    let new = testkit::mcp::Server::start().await.unwrap();
    let old = testkit::mcp::Server::start_legacy().await.unwrap();
    [(new, "2026-07-28"), (old, "2025-11-25")]
}

#[tokio::test]
async fn a_tool_is_offered_under_its_servers_name_and_called_once() {
    for (counter, version) in both().await {
        let world = World::start([("kit", http(&counter.url()))]);
        assert!(world.servers.ready(Duration::from_mins(1)).await);
        let state = world.connected("kit").await;
        assert_eq!(state.protocol.as_deref(), Some(version));
        let own = ["count", "set", "read", "hold", "fail", "big", "binary", "slow"];
        assert_eq!(world.names(), own.map(|it| format!("kit__{it}")));
        for (name, effect) in [
            ("kit__count", Effect::Once),
            ("kit__set", Effect::Repeatable),
            ("kit__read", Effect::Reads),
        ] {
            assert_eq!(world.tool(name).spec().effect, effect, "{name}");
        }
        assert_eq!(world.said("kit__count", json!({"by": 3})).await, "the counter is 3");
        assert_eq!(world.said("kit__read", json!({"key": "a"})).await, "the value of a");
        assert_eq!(counter.count(), 3);
        let calls = counter.wait_for_calls(2).await.unwrap();
        assert_eq!(calls[0].arguments, Map::from_iter([("by".to_owned(), json!(3))]));
        assert!(calls.iter().all(|it| it.ending == Ending::Answered));
        world.drain().await;
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_refused_before_the_call() {
    let counter = testkit::mcp::Server::start().await.unwrap();
    let world = World::start([("kit", http(&counter.url()))]);
    world.connected("kit").await;
    let tool = world.tool("kit__read");
    for (text, told) in [
        ("{}", r#""key" is a required property"#),
        (r#"{"key": 1}"#, r#"at /key: the value is not of type "string""#),
        (r#"{"key": "a", "other": 1}"#, "allowed: key"),
    ] {
        let error = arguments(tool.spec(), text).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
    assert!(counter.calls().is_empty());
}

#[tokio::test]
async fn a_failure_of_the_tool_is_told_and_known() {
    for (counter, _) in both().await {
        let world = World::start([("kit", http(&counter.url()))]);
        world.connected("kit").await;
        let output = world.call("kit__fail", json!({"message": "no disk"})).await;
        assert_eq!(
            (output.text.as_str(), output.is_error, output.unknown),
            ("no disk", true, false)
        );
        // It was taken away while the agent still has it.
        let tool = world.tool("kit__count");
        counter.remove("count");
        let output = tool.call(call(Map::new())).await;
        assert!(output.is_error && !output.unknown, "{output:?}");
        assert_eq!(counter.count(), 0);
    }
}

#[tokio::test]
async fn a_call_whose_caller_goes_away_is_cancelled() {
    for (counter, _) in both().await {
        let world = World::start([("kit", http(&counter.url()))]);
        world.connected("kit").await;
        let tool = world.tool("kit__hold");
        let calling = tool.call(call(Map::new()));
        tokio::select! {
            output = calling => panic!("nobody has released it: {output:?}"),
            calls = counter.wait_for_calls(1) => assert_eq!(calls.unwrap()[0].ending, Ending::Open),
        }
        let cancelled = |calls: &[testkit::mcp::Call]| calls[0].ending == Ending::Cancelled;
        counter.wait_for("cancelled call", cancelled).await.unwrap();
        // The connection is as good as before.
        assert_eq!(world.said("kit__count", json!({})).await, "the counter is 1");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time_as_unknown() {
    for (counter, _) in both().await {
        let quick = Server { timeout: Duration::from_millis(300), ..http(&counter.url()) };
        let world = World::start([("kit", quick)]);
        world.connected("kit").await;
        let output = world.call("kit__hold", json!({})).await;
        assert!(output.unknown && output.is_error, "{output:?}");
        assert!(output.text.contains("not known whether the call ran"), "{output:?}");
        let cancelled = |calls: &[testkit::mcp::Call]| calls[0].ending == Ending::Cancelled;
        counter.wait_for("cancelled call", cancelled).await.unwrap();
    }
}

#[tokio::test]
async fn progress_extends_a_call_but_not_for_ever() {
    for (counter, version) in both().await {
        let quick = Server { timeout: Duration::from_millis(500), ..http(&counter.url()) };
        let world = World::start([("kit", quick)]);
        world.connected("kit").await;
        // Three times the timeout, with a word in between.
        let text = world.said("kit__slow", json!({"steps": 15, "every_ms": 100})).await;
        assert_eq!(text, "15 steps", "{version}");
    }
    let counter = testkit::mcp::Server::start().await.unwrap();
    let quick = Server { timeout: Duration::from_millis(300), ..http(&counter.url()) };
    let world = World::start([("kit", quick)]);
    world.connected("kit").await;
    let output = world.call("kit__slow", json!({"steps": 10_000, "every_ms": 100})).await;
    assert!(output.is_error && !output.unknown, "it only reads: {output:?}");
    assert!(output.text.contains("no answer"), "{output:?}");
}

#[tokio::test]
async fn a_connection_lost_in_a_call_is_unknown_and_the_call_is_not_made_again() {
    for (counter, _) in both().await {
        let world = World::start([("kit", http(&counter.url()))]);
        world.connected("kit").await;
        let tool = world.tool("kit__hold");
        let calling = tool.call(call(Map::new()));
        let cutting = async {
            counter.wait_for_calls(1).await.unwrap();
            counter.refuse();
        };
        let (output, ()) = tokio::join!(calling, cutting);
        assert!(output.unknown && output.is_error, "{output:?}");
        counter.resume();
        world.connected("kit").await;
        counter.release();
        assert_eq!(world.said("kit__count", json!({})).await, "the counter is 1");
        let tools: Vec<_> = counter.calls().into_iter().map(|it| it.tool).collect();
        assert_eq!(tools, ["hold", "count"]);
    }
}

#[tokio::test]
async fn a_call_while_the_server_is_away_is_known_not_to_have_run() {
    let counter = testkit::mcp::Server::start().await.unwrap();
    let world = World::start([("kit", http(&counter.url()))]);
    world.connected("kit").await;
    let tool = world.tool("kit__count");
    counter.refuse();
    world.wait_for("kit", "loss", |it| !it.connected()).await;
    let output = tool.call(call(Map::new())).await;
    assert!(output.is_error && !output.unknown, "{output:?}");
    assert!(output.text.contains("was not called"), "{output:?}");
    assert_eq!(counter.count(), 0);
}

#[tokio::test]
async fn a_large_result_is_cut_and_a_huge_one_breaks_off() {
    for (counter, _) in both().await {
        let world = World::start([("kit", http(&counter.url()))]);
        world.connected("kit").await;
        let text = world.said("kit__big", json!({"bytes": 3 << 20})).await;
        assert!(text.len() < (1 << 20) + 64, "{}", text.len());
        assert!(text.ends_with("bytes left out)"));
        let output = world.call("kit__big", json!({"bytes": 100 << 20})).await;
        assert!(output.is_error && output.text.contains("too large"), "{output:?}");
        let text = world.said("kit__binary", json!({"bytes": 300})).await;
        assert_eq!(text, "[image, image/png, 300 bytes, not shown]");
    }
}

#[tokio::test]
async fn configured_headers_are_sent_and_never_shown() {
    let counter = testkit::mcp::Server::start().await.unwrap();
    let secret = SecretString::from("Bearer s3cret");
    let headers = BTreeMap::from([("authorization".to_owned(), secret)]);
    let mut config = http(&counter.url());
    config.transport = Transport::Http { url: counter.url(), headers };
    let world = World::start([("kit", config)]);
    world.connected("kit").await;
    world.said("kit__count", json!({})).await;
    assert_eq!(counter.calls()[0].authorization.as_deref(), Some("Bearer s3cret"));
    assert!(!format!("{:?}", world.servers).contains("s3cret"));
}
