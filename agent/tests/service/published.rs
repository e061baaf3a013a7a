//! One agent with servers as others publish them, all at once: what its model
//! asks for, what a human allows, and what really happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agent::mcp;
use serde_json::json;
use testkit::mcp::published::Published;
use testkit::model::Script;

use crate::tools::{calls, deciding, decision, pending, results};
use crate::world::{World, records, script};

fn server(published: anyhow::Result<Published>) -> mcp::Server {
    let Published { command, args, env } = published.unwrap();
    let env = env.into_iter().map(|(name, value)| (name, value.into())).collect();
    mcp::Server {
        transport: mcp::Transport::Stdio { command, args, env },
        timeout: Duration::from_secs(30),
        trusted: true,
        tools: Vec::new(),
    }
}

fn servers(folder: &Path) -> BTreeMap<String, mcp::Server> {
    let done = Command::new("git").arg("init").arg("--quiet").arg(folder).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    [
        ("everything", Published::everything()),
        ("files", Published::filesystem(folder)),
        ("graph", Published::memory(&folder.join("graph.json"))),
        ("time", Published::time()),
        ("git", Published::git(folder)),
    ]
    .into_iter()
    .map(|(name, published)| (name.to_owned(), server(published)))
    .collect()
}

#[tokio::test]
async fn a_turn_calls_five_published_servers_and_what_writes_waits_for_a_human() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let change = |config: &mut agent::Config| config.servers = servers(&folder);
    let world = World::with(change, records().await).await;
    let file = folder.join("note.txt");
    let entity = json!({"entities": [
        {"name": "Weir", "entityType": "project", "observations": ["streams answers"]}
    ]});
    let asked = script(&Script {
        tool_calls: calls(&[
            ("everything", "everything__echo", json!({"message": "hello there"})),
            ("read", "files__list_directory", json!({"path": folder})),
            ("write", "files__write_file", json!({"path": file, "content": "kept"})),
            ("graph", "graph__create_entities", entity),
            ("time", "time__get_current_time", json!({"timezone": "Asia/Shanghai"})),
            ("git", "git__git_status", json!({"repo_path": folder})),
        ]),
        then: vec![Script { echo_tools: true, ..Script::default() }],
        ..Script::default()
    });
    let answer = world.answer(asked.clone()).await;
    let waiting = pending(&answer);
    let names: Vec<_> = waiting.iter().map(|it| it.call_id.as_str()).collect();
    assert!(names.contains(&"write") && names.contains(&"graph"), "{names:?}");
    assert!(!names.contains(&"read"), "it only reads, and its server is trusted: {names:?}");
    assert!(!file.exists(), "nothing is written before a human allows it");
    let decided = waiting.iter().map(|it| decision(it, "accept")).collect();
    let done = world.answer(deciding(&asked, decided)).await;
    assert!(done.completed(), "{:?}", done.end());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    let told: Vec<_> = results(&answer).into_iter().chain(results(&done)).collect();
    assert_eq!(told.len(), 6);
    for (id, words) in [
        ("everything", "hello there"),
        ("read", ".git"),
        ("graph", "Weir"),
        ("time", "Asia/Shanghai"),
        ("git", "branch"),
    ] {
        let result = told.iter().find(|it| it.call_id == id).unwrap();
        assert!(!result.is_error && result.content.contains(words), "{id}: {result:?}");
        let heard = done.text();
        assert!(heard.contains(words), "the model heard {id}: {heard}");
    }
}
