//! Agents with tools, and what tests look for in their turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::{Config, Verdict, mcp};
use broker::Records;
use proto::ask_event::Kind;
use proto::{AskRequest, Decision, PendingCall, Resume, ToolResult, TurnId};
use serde_json::Value;
use testkit::mcp::Server;
use testkit::model::ToolCall;

use crate::world::{Answer, World, question, records};

/// An agent with the tools of a server that it knows as `t` and trusts.
pub(crate) async fn with_tools(change: impl FnOnce(&mut Config)) -> (World, Server) {
    shared(change, &records().await).await
}

/// The same over a store that others use, too.
pub(crate) async fn shared(
    change: impl FnOnce(&mut Config),
    records: &Arc<dyn Records>,
) -> (World, Server) {
    let server = Server::start().await.unwrap();
    let world = beside(change, records, &server).await;
    (world, server)
}

/// One more agent over the same store and the same server.
pub(crate) async fn beside(
    change: impl FnOnce(&mut Config),
    records: &Arc<dyn Records>,
    server: &Server,
) -> World {
    let url = server.url();
    let change = |config: &mut Config| {
        let transport = mcp::Transport::Http { url, headers: BTreeMap::new() };
        let timeout = Duration::from_secs(20);
        let server = mcp::Server { transport, timeout, trusted: true, tools: Vec::new() };
        config.servers.insert("t".to_owned(), server);
        change(config);
    };
    World::with(change, Arc::clone(records)).await
}

/// Allows a tool that would be reviewed.
pub(crate) fn allowing(config: &mut Config, tool: &str) {
    config.tools.rules.insert(tool.to_owned(), Verdict::Allow);
}

pub(crate) fn calls(calls: &[(&str, &str, Value)]) -> Vec<ToolCall> {
    let call = |(id, name, arguments): &(&str, &str, Value)| ToolCall {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        arguments: arguments.to_string(),
    };
    calls.iter().map(call).collect()
}

/// The results that a turn told, in their order.
pub(crate) fn results(answer: &Answer) -> Vec<ToolResult> {
    let mut results = Vec::new();
    for kind in answer.kinds() {
        if let Kind::ToolResult(result) = kind {
            results.push(result.clone());
        }
    }
    results
}

/// What the model was shown, in its n-th call, as the result of a tool's call.
pub(crate) fn heard(world: &World, nth: usize, id: &str) -> String {
    let shown = world.model.calls()[nth].body["messages"].clone();
    let found = shown.as_array().unwrap().iter().find(|it| it["tool_call_id"] == id);
    let found = found.unwrap_or_else(|| panic!("no result of {id} in {shown}"));
    found["content"].as_str().unwrap().to_owned()
}

/// The calls that a turn ended with.
pub(crate) fn pending(answer: &Answer) -> Vec<PendingCall> {
    let Kind::Interrupted(interrupted) = answer.end() else {
        panic!("not interrupted: {:?}", answer.end());
    };
    interrupted.calls.clone()
}

/// A decision about a call as it was shown.
pub(crate) fn decision(call: &PendingCall, kind: &str) -> Decision {
    Decision {
        call_id: call.call_id.clone(),
        arguments_hash: call.arguments_hash.clone(),
        r#type: kind.to_owned(),
        ..Decision::default()
    }
}

/// A new turn of the same session that brings these decisions.
pub(crate) fn deciding(interrupted: &AskRequest, decisions: Vec<Decision>) -> AskRequest {
    AskRequest {
        turn_id: TurnId::new().to_string(),
        messages: Vec::new(),
        resume: Some(Resume { turn_id: interrupted.turn_id.clone(), decisions }),
        user_id: interrupted.user_id.clone(),
        session_id: interrupted.session_id.clone(),
        ..question("")
    }
}
