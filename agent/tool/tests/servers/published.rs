//! Servers as others publish them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::mcp::published::{Everything, Published};
use tool::Effect;
use tool::mcp::Server;

use crate::world::{World, http, stdio};

fn started(published: &Published) -> Server {
    let args: Vec<_> = published.args.iter().map(String::as_str).collect();
    let env: Vec<_> = published.env.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    stdio(&published.command, &args, &env)
}

async fn world(name: &str, published: anyhow::Result<Published>) -> World {
    let world = World::start([(name, started(&published.unwrap()))]);
    world.connected(name).await;
    world
}

#[tokio::test]
async fn time_converts_between_zones() {
    let world = world("time", Published::time()).await;
    let asked = json!({
        "source_timezone": "Asia/Shanghai", "time": "09:30", "target_timezone": "UTC",
    });
    let told: Value = serde_json::from_str(&world.said("time__convert_time", asked).await).unwrap();
    let target = told["target"]["datetime"].as_str().unwrap();
    assert!(target.contains("T01:30:00"), "{told}");
    // A zone that there is not is its error, not ours.
    let asked = json!({"timezone": "Mars/Olympus"});
    let output = world.call("time__get_current_time", asked).await;
    assert!(output.is_error && !output.unknown, "{output:?}");
    world.drain().await;
}

#[tokio::test]
async fn git_tells_the_status_and_the_history() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let git = |args: &[&str]| {
        let author = ["-c", "user.name=A", "-c", "user.email=a@b.example"];
        let done = Command::new("git").arg("-C").arg(path).args(author).args(args).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    git(&["init", "--quiet"]);
    std::fs::write(folder.path().join("one.txt"), "1").unwrap();
    git(&["add", "one.txt"]);
    git(&["commit", "--quiet", "-m", "The first one"]);
    std::fs::write(folder.path().join("two.txt"), "2").unwrap();
    let world = world("git", Published::git(folder.path())).await;
    let status = world.said("git__git_status", json!({"repo_path": path})).await;
    assert!(status.contains("two.txt") && !status.contains("one.txt"), "{status}");
    let log = world.said("git__git_log", json!({"repo_path": path})).await;
    assert!(log.contains("The first one"), "{log}");
    world.drain().await;
}

#[tokio::test]
async fn filesystem_reads_and_writes_its_folder_and_no_other() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = |folder: &Path| folder.join("a.txt").to_str().unwrap().to_owned();
    std::fs::write(outside.path().join("a.txt"), "secret").unwrap();
    let world = world("files", Published::filesystem(inside.path())).await;
    let write = json!({"path": file(inside.path()), "content": "你好"});
    world.said("files__write_file", write).await;
    let read = world.said("files__read_text_file", json!({"path": file(inside.path())})).await;
    assert_eq!(read.lines().next(), Some("你好"), "{read}");
    assert_eq!(std::fs::read_to_string(file(inside.path())).unwrap(), "你好");
    let read = world.call("files__read_text_file", json!({"path": file(outside.path())})).await;
    assert!(read.is_error && !read.text.contains("secret"), "{read:?}");
    assert_eq!(world.tool("files__read_text_file").spec().effect, Effect::Reads);
    assert_ne!(world.tool("files__edit_file").spec().effect, Effect::Reads);
    world.drain().await;
}

#[tokio::test]
async fn memory_keeps_what_it_is_told_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let world = world("memory", Published::memory(&folder.path().join("graph.json"))).await;
    let known = json!({"entities": [
        {"name": "Weir", "entityType": "backend", "observations": ["keeps a durable log"]},
    ]});
    world.said("memory__create_entities", known).await;
    let process = world.connected("memory").await.process.unwrap();
    let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let other = |it: &tool::mcp::State| it.process.is_some_and(|it| it != process);
    world.wait_for("memory", "new process", other).await;
    let found = world.said("memory__search_nodes", json!({"query": "durable"})).await;
    assert!(found.contains("keeps a durable log"), "{found}");
    world.drain().await;
}

#[tokio::test]
async fn everything_is_understood_over_standard_streams() {
    everything(&world("every", Published::everything()).await).await;
}

#[tokio::test]
async fn everything_is_understood_over_http() {
    let server = Everything::start().await.unwrap();
    let world = World::start([("every", http(&server.url()))]);
    world.connected("every").await;
    everything(&world).await;
}

async fn everything(world: &World) {
    let echo = world.said("every__echo", json!({"message": "grüß dich"})).await;
    assert_eq!(echo, "Echo: grüß dich");
    let sum = world.said("every__get-sum", json!({"a": 2, "b": 40})).await;
    assert!(sum.contains("42"), "{sum}");
    let weather = world.said("every__get-structured-content", json!({"location": "Chicago"})).await;
    let weather: Value = serde_json::from_str(&weather).unwrap();
    assert!(weather["temperature"].is_number(), "told once, as JSON: {weather}");
    let links = world.said("every__get-resource-links", json!({"count": 2})).await;
    assert_eq!(links.matches("[resource ").count(), 2, "{links}");
    let image = world.said("every__get-tiny-image", json!({})).await;
    assert!(image.contains("[image, image/png, ") && image.len() < 500, "{image}");
    references(world).await;
    let names = world.names();
    assert!(names.iter().all(|it| !it.contains("sampling") && !it.contains("elicitation")));
}

async fn references(world: &World) {
    let asked = json!({"resourceType": "Text", "resourceId": 1});
    let resource = world.said("every__get-resource-reference", asked).await;
    assert!(resource.contains("[resource demo://"), "{resource}");
    let asked = json!({"duration": 1, "steps": 4});
    let long = world.said("every__trigger-long-running-operation", asked).await;
    assert!(long.contains("completed"), "{long}");
}

#[tokio::test]
async fn progress_of_a_published_server_extends_a_call() {
    let everything = started(&Published::everything().unwrap());
    let quick = Server { timeout: Duration::from_secs(2), ..everything };
    let world = World::start([("every", quick)]);
    world.connected("every").await;
    let asked = json!({"duration": 5, "steps": 10});
    let long = world.said("every__trigger-long-running-operation", asked).await;
    assert!(long.contains("completed"), "{long}");
}
