//! The roles as an operator runs them: on a server from deploy/nats, each as a
//! user of its own that may do its part and no more.

use anyhow::{Context as _, Result};
use broker::nats::{Config, Declare, Security, open};
use broker::{Bucket, Key};
use prost::Message as _;
use proto::{Ending, Session, SessionRecord};
use serde_json::{Value, json};
use testkit::model::Script;
use testkit::nats::{Server, Shipped};
use testkit::process::Weir;
use tokio::process::Command;

use crate::stage::{Client, is_end, text, up, weir};
use crate::tools::{Surroundings, call, configured, decision, ids};

/// A command that opens the shipped servers as a user.
fn as_user(shipped: &Shipped, user: &str, arguments: &[&str]) -> Command {
    entitled(shipped, user, weir(arguments))
}

/// The same for a command that is there already.
fn entitled(shipped: &Shipped, user: &str, mut command: Command) -> Command {
    command
        .env("NATS_URL", shipped.bare_url())
        .env("NATS_USER", user)
        .env("NATS_PASSWORD", shipped.password(user))
        .env("NATS_CA", shipped.authority().ca())
        .env("WEIR_NATS_MONITOR", shipped.monitors().join(","));
    command
}

/// The one line with which a command refuses to start.
async fn refusal(command: Command) -> Result<String> {
    let (code, output) = Weir::run(command).await?;
    assert_eq!(code, Some(1), "{output:?}");
    Ok(output.stderr.last().cloned().unwrap_or_default())
}

#[tokio::test]
async fn roles_that_may_not_declare_serve_what_the_operator_declared() -> Result<()> {
    let shipped = Shipped::one().await?;
    let (never, fsynced) = (["--nats-declare", "never"], ["--durability", "fsynced"]);
    let http = ["gateway", "--http", "127.0.0.1:0"];
    let gateway = |more: &[&str]| as_user(&shipped, "gateway", &[&http, more].concat());

    let why = refusal(gateway(&never)).await?;
    assert!(why.contains("stream JOBS is not there"), "{why}");
    let why = refusal(gateway(&[])).await?;
    assert!(why.contains("$JS.API.STREAM.CREATE"), "{why}");
    let why = refusal(as_user(&shipped, "operator", &["nats", "check"])).await?;
    assert!(why.contains("stream JOBS is not there"), "{why}");

    for changed in [true, false] {
        let apply = as_user(&shipped, "operator", &["nats", "apply"]);
        let (code, output) = Weir::run(apply).await?;
        assert_eq!(code, Some(0), "{output:?}");
        let created = output.stdout.iter().any(|it| it.contains("stream JOBS: created"));
        assert_eq!(created, changed, "{output:?}");
    }
    let check = as_user(&shipped, "operator", &["nats", "check", "--durability", "fsynced"]);
    let (code, output) = Weir::run(check).await?;
    assert_eq!(code, Some(0), "{output:?}");

    let agent = ["agent", "--grpc", "127.0.0.1:0"];
    let agent = as_user(&shipped, "agent", &[&agent[..], &never, &fsynced].concat());
    let agent = Weir::start(agent).await?;
    let endpoint = format!("http://{}", agent.value("grpc")?);
    let worker = ["worker", "--agent", &endpoint];
    let worker = as_user(&shipped, "worker", &[&worker[..], &never, &fsynced].concat());
    let _worker = Weir::start(worker).await?;
    let gateway = Weir::start(gateway(&[never, fsynced].concat())).await?;
    let page = gateway.value("page")?;
    let (code, output) =
        Weir::run(weir(&["ask", "--server", &page, "How do I add more workers?"])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout.join(" ").contains("worker"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_login_or_a_server_that_is_not_right_is_one_clear_line() -> Result<()> {
    let shipped = Shipped::one().await?;
    let mut wrong = as_user(&shipped, "operator", &["nats", "check"]);
    wrong.env("NATS_PASSWORD", "canary");
    let why = refusal(wrong).await?;
    assert!(why.contains("authorization violation") && !why.contains("canary"), "{why}");

    let mut strange = as_user(&shipped, "operator", &["nats", "check"]);
    strange.env_remove("NATS_CA");
    let why = refusal(strange).await?;
    assert!(why.contains("UnknownIssuer"), "{why}");

    let mut twice = as_user(&shipped, "operator", &["nats", "check"]);
    twice.env("NATS_URL", shipped.url("operator"));
    let why = refusal(twice).await?;
    assert!(why.contains("one login") && !why.contains("password"), "{why}");
    Ok(())
}

#[tokio::test]
async fn a_durability_that_is_not_given_or_not_known_is_refused_at_start() -> Result<()> {
    let server = Server::start().await?;
    let url = server.url();
    let flags = ["nats", "apply", "--nats", &url, "--durability"];
    let demand = |more: &[&str]| weir(&[&flags[..], more].concat());
    let monitor = ["fsynced", "--nats-monitor", &server.monitor()];
    for (more, says) in [
        (&["fsynced"][..], "cannot be known"),
        (&monitor, "reaches the disk up to 120s after"),
        (&["replicated"], "kept on 1 machine"),
    ] {
        let why = refusal(demand(more)).await?;
        assert!(why.contains(says), "{why}");
    }
    let (code, output) = Weir::run(demand(&["disk"])).await?;
    assert_eq!(code, Some(0), "{output:?}");

    let why = refusal(weir(&["up", "--ephemeral", "--durability", "disk"])).await?;
    assert!(why.contains("kept in memory"), "{why}");
    let why = refusal(weir(&["up", "--ephemeral", "--log-bytes", "64MiB"])).await?;
    assert!(why.contains("--log-bytes needs --nats"), "{why}");
    drop(up(&["--durability", "fsynced"]).await?);
    Ok(())
}

/// The declared servers' roles, each with its rights alone; the agent is the
/// last.
async fn roles(shipped: &Shipped, file: &str) -> Result<[Weir; 3]> {
    let apply = as_user(shipped, "operator", &["nats", "apply"]);
    let (code, output) = Weir::run(apply).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let never = ["--nats-declare", "never"];
    let agent = ["agent", "--grpc", "127.0.0.1:0", never[0], never[1]];
    let mut agent = entitled(shipped, "agent", configured(&agent, file, "sk-one"));
    // It says aloud only what costs somebody something.
    agent.env("RUST_LOG", "warn,agent=debug,broker=debug");
    let agent = Weir::start(agent).await?;
    let endpoint = format!("http://{}", agent.value("grpc")?);
    let worker = ["worker", "--agent", &endpoint, never[0], never[1]];
    let worker = Weir::start(as_user(shipped, "worker", &worker)).await?;
    let gateway = ["gateway", "--http", "127.0.0.1:0", never[0], never[1]];
    let gateway = Weir::start(as_user(shipped, "gateway", &gateway)).await?;
    Ok([gateway, worker, agent])
}

/// What the list of conversations shows of a session, once its turn has ended
/// there.
async fn record_that_ended(shipped: &Shipped, id: &str) -> Result<SessionRecord> {
    let ca = Some(shipped.authority().ca());
    let security = Security { ca, ..Security::default() };
    let operator = Config::new(shipped.url("operator"));
    let config = Config { declare: Declare::Never, security, ..operator };
    let broker = open(config).await?;
    let session = Session::parse("test_user", id).map_err(|why| anyhow::anyhow!("{why:?}"))?;
    let ended = async {
        loop {
            let found = broker.records.get(Bucket::Sessions, &Key::session(&session)).await?;
            let record = found.map(|it| SessionRecord::decode(it.value)).transpose()?;
            if let Some(record) = record.filter(|it| it.ending() != Ending::Unspecified) {
                return Ok(record);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await?
}

#[tokio::test]
async fn tools_reviews_and_memories_need_no_more_rights_than_are_shipped() -> Result<()> {
    let (shipped, around) = tokio::try_join!(Shipped::one(), Surroundings::start())?;
    let [gateway, worker, agent] = roles(&shipped, &around.configure("")?).await?;
    let client = Client::of(&gateway)?;
    let script = Script {
        tool_calls: vec![
            call("read", "t__read", &json!({ "key": "x" })),
            call("keep", "remember", &json!({ "text": "Ann counts in tens." })),
            call("count", "t__count", &json!({ "by": 10 })),
        ],
        then: vec![Script {
            text: Some("So.".to_owned()),
            tool_calls: vec![call("mine", "recall", &json!({ "query": "tens" }))],
            ..Script::default()
        }],
        ..Script::default()
    };
    let asked = client.ask("s", &script.question()).await?.read_until(is_end).await?;
    let told = asked.last().context("an end")?.json();
    let calls = &told["interrupted"]["calls"];
    assert_eq!(ids(calls), ["count"], "{asked:?}");
    let shown = client.session("s").await?;
    assert_eq!(shown["pending"], *calls);
    let turn = shown["interruptedTurnId"].as_str().context("a turn")?;
    let decide = || client.decide("s", turn, &[decision(&calls[0], "accept", &json!({}))]);
    let answer: Value = decide().send().await?.error_for_status()?.json().await?;
    assert_eq!((&answer["status"], around.server.count()), (&json!("completed"), 10), "{answer}");
    assert_eq!(decide().send().await?.status(), 409);

    // The next turn removes what the ones before it had left behind.
    client.ask("s", "What do I count in?").await?.read_until(is_end).await?;
    let heard = around.model.calls().last().context("a call")?.body.to_string();
    assert!(heard.contains("- Ann counts in tens."), "{heard}");

    let added = json!({ "userId": "test_user", "text": "Likes tea." });
    assert_eq!(client.post("/v1/memories").json(&added).send().await?.status(), 201);
    let memories = client.memories().await?["memories"].clone();
    assert_eq!(memories.as_array().map(Vec::len), Some(2), "{memories}");
    for memory in memories.as_array().into_iter().flatten() {
        assert_eq!(client.forget(memory["id"].as_str().context("an id")?).await?, 204);
    }
    assert_eq!(client.memories().await?["memories"], json!([]));

    assert_eq!(client.erase("s").await?, 200);
    assert_eq!(client.session("s").await?["status"], "not_found");
    let fresh = text(&client.ask("s", "hello").await?.read_until(is_end).await?);
    assert_eq!(fresh, testkit::model::echo("hello", 1), "nothing is left of what was erased");
    let record = record_that_ended(&shipped, "s").await?;
    assert_eq!((record.title.as_str(), record.answer), ("hello", fresh));
    for process in [&gateway, &worker, &agent] {
        let said = process.output().stderr.join("\n");
        let denied = ["WARN", "ERROR", "ermission", "a ledger is left"];
        assert!(!denied.iter().any(|it| said.contains(it)), "{said}");
    }
    Ok(())
}
