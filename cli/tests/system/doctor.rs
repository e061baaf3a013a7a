//! `weir doctor` and `weir status` as their users meet them: each thing that can
//! be wrong is made wrong, found, and told with what to do; no secret is.

mod colours;
mod servers;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::model::FakeModel;
use testkit::nats::Server;
use testkit::process::{Output, Weir, command};
use testkit::proxy::Proxy;
use tokio::process::Command;

use crate::keys;
use crate::stage::{up, weir};
use servers::{Answering, NOT_FOUND, UNAUTHORIZED, old_nats};

/// What no output may hold.
const CANARY: &str = "canary-of-the-doctor";
/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";

/// A doctor that looks at nothing of this machine but a folder.
fn doctor(folder: &Path, more: &[&str]) -> Command {
    let data = folder.join("data");
    let mut command = weir(&["doctor", "--json", "--grpc", "127.0.0.1:1"]);
    if !more.contains(&"--http") {
        command.args(["--http", "127.0.0.1:1"]);
    }
    if !more.contains(&"--nats") {
        command.arg("--data").arg(data);
    }
    command.args(more);
    command
}

/// Its exit code and what it found.
struct Found {
    code: Option<i32>,
    all: Vec<Value>,
}

impl Found {
    async fn by(command: Command) -> Result<Self> {
        let (code, output) = Weir::run(command).await?;
        let Output { stdout, stderr, .. } = &output;
        let all = format!("{output:?}");
        assert!(!all.contains(CANARY), "{all}");
        assert!(stderr.is_empty(), "{stderr:?}");
        let parse = |it: &String| serde_json::from_str(it).with_context(|| it.clone());
        Ok(Self { code, all: stdout.iter().map(parse).collect::<Result<_>>()? })
    }

    /// The one finding of this check that says this.
    fn is(&self, check: &str, outcome: &str, detail: &str, advice: &str) {
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let found = self.all.iter().any(|it| {
            text(it, "check") == check
                && text(it, "outcome") == outcome
                && text(it, "detail").contains(detail)
                && text(it, "advice").contains(advice)
        });
        assert!(found, "no {check} {outcome} {detail:?} {advice:?} in {:#?}", self.all);
    }

    fn fails(&self, check: &str, detail: &str, advice: &str) {
        assert_eq!(self.code, Some(1), "{:#?}", self.all);
        self.is(check, "fail", detail, advice);
    }
}

#[tokio::test]
async fn a_healthy_system_is_told_as_one() -> Result<()> {
    let (folder, model) = (tempfile::tempdir()?, FakeModel::start().await?);
    let data = folder.path().join("data").display().to_string();
    let base = model.base_url();
    let flags = ["--data", &data, "--model", "openai/script", "--openai-base-url", &base];
    let running = up(&flags).await?;
    let (page, grpc) = (running.value("page")?, format!("http://{}", running.value("grpc")?));
    let mut command = weir(&["doctor", "--json", "--server", &page, "--agent", &grpc]);
    command.args(flags).env("OPENAI_API_KEY", CANARY);
    let found = Found::by(command).await?;
    assert_eq!(found.code, Some(0), "{:#?}", found.all);
    for (check, detail) in [
        ("gateway", "is ready"),
        ("clock", "s from the gateway's"),
        ("access", "authentication is off"),
        ("version", "here and there"),
        ("agents", "one, with openai/script"),
        ("store", "a running weir holds it; unfinished jobs: 0"),
        ("agent", "takes turns"),
        ("model", "openai/script: as --model"),
        ("provider", "(with a key) answers"),
    ] {
        found.is(check, "ok", detail, "");
    }
    assert_eq!(model.calls().len(), 0, "nothing was asked of the model");
    let mut elsewhere = weir(&["doctor", "--json", "--server", &page, "--grpc", "127.0.0.1:1"]);
    elsewhere.args(flags).env("OPENAI_API_KEY", CANARY);
    let found = Found::by(elsewhere).await?;
    assert!(!found.all.iter().any(|it| it["check"] == "agent"), "{:#?}", found.all);

    let (code, output) = Weir::run(weir(&["status", "--server", &page])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let told = output.stdout.join("\n");
    for word in
        ["gateway   ready", "broker    embedded", "durable   fsynced:", "unfinished jobs: 0"]
    {
        assert!(told.contains(word), "{told}");
    }
    let (code, output) = Weir::run(weir(&["status", "--json", "--server", &page])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let told: Value = serde_json::from_str(&output.stdout.concat())?;
    assert_eq!(told["ready"], true);
    assert_eq!(told["status"]["agents"][0]["models"][0], "openai/script", "{told}");
    assert_eq!(told["me"]["authentication"], false, "{told}");
    Ok(())
}

#[tokio::test]
async fn where_nothing_runs_it_is_told_how_to_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let found = Found::by(doctor(folder.path(), &[])).await?;
    assert_eq!(found.code, Some(0), "{:#?}", found.all);
    found.is("gateway", "note", "none runs at http://127.0.0.1:1", "weir up");
    found.is("agent", "note", "not running here (http://127.0.0.1:1)", "weir agent");
    found.is("model", "note", "extractive: no provider has a key", "OPENAI_API_KEY");
    found.is("store", "ok", "none yet", "");
    assert!(!folder.path().join("data").exists(), "it makes nothing");

    let named = doctor(folder.path(), &["--agent", NOWHERE]);
    Found::by(named).await?.fails("agent", "nothing answers at", "--agent");
    let named = doctor(folder.path(), &["--server", "http://127.0.0.1:2"]);
    Found::by(named).await?.fails("gateway", "nothing answers at", "--server");
    let (code, output) = Weir::run(weir(&["status", "--server", NOWHERE])).await?;
    assert_eq!(code, Some(1), "{output:?}");
    assert!(output.stderr.concat().contains("no gateway answers at"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_told_as_that() -> Result<()> {
    let (folder, stranger) = (tempfile::tempdir()?, Answering::start(NOT_FOUND).await?);
    let url = format!("http://me:{CANARY}@{}", stranger.address());
    let server = ["--server", &url, "--agent", &stranger.url()];
    let mut command = weir(&["doctor", "--json", "--ephemeral"]);
    command.args(server).current_dir(folder.path());
    let found = Found::by(command).await?;
    found.fails("gateway", "is not Weir (404", "--http");
    found.fails("agent", "cannot be used", "something else has that port");
    let (code, output) = Weir::run(weir(&["status", "--server", &stranger.url()])).await?;
    assert_eq!(code, Some(1), "{output:?}");
    assert!(output.stderr.concat().contains("is not Weir"), "{output:?}");
    for command in [&["ask", "Why?"][..], &["sessions"], &["tail", "s"]] {
        let command = weir(&[command, &["--server", &url]].concat());
        let (code, output) = Weir::run(command).await?;
        assert_eq!(code, Some(1), "{output:?}");
        let told = output.stderr.concat();
        assert!(told.contains("is not Weir (404") && !told.contains(CANARY), "{output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn each_trouble_with_nats_is_told_with_what_mends_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = Server::start().await?;
    let url = nats.url();
    let found = Found::by(doctor(folder.path(), &["--nats", &url])).await?;
    found.is("nats", "ok", "nats-server 2.", "");
    found.is("nats", "note", "stream JOBS is not there", "weir nats apply");
    let never = doctor(folder.path(), &["--nats", &url, "--nats-declare", "never"]);
    Found::by(never).await?.fails("nats", "stream JOBS is not there", "weir nats apply");

    let (code, output) = Weir::run(weir(&["nats", "apply", "--nats", &url])).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let found = Found::by(doctor(folder.path(), &["--nats", &url])).await?;
    found.is("nats", "ok", "streams, consumer and buckets are as they must be", "");
    found.is("durability", "ok", "disk: stored in a file on one server", "");
    let more = doctor(folder.path(), &["--nats", &url, "--durability", "fsynced"]);
    Found::by(more).await?.fails("nats", "durability fsynced is asked for", "--nats-monitor");
    let two = doctor(folder.path(), &["--nats", &url, "--replicas", "3"]);
    Found::by(two).await?.fails("nats", "must be at least 3", "weir nats apply");

    let far = Proxy::start(url.trim_start_matches("nats://").parse()?).await?;
    far.delay(Duration::from_millis(600));
    let slow = format!("nats://{}", far.address());
    let slow = Found::by(doctor(folder.path(), &["--nats", &slow])).await?;
    slow.is("nats", "warn", "to greet", "the network between here and there");
    slow.fails("nats", "does not answer", "look at its load");

    let gone = doctor(folder.path(), &["--nats", "nats://127.0.0.1:1"]);
    Found::by(gone).await?.fails("nats", "nothing answers at 127.0.0.1:1", "start nats-server");
    let page = Answering::start(NOT_FOUND).await?;
    let stranger = format!("nats://me:{CANARY}@{}", page.address());
    let silent = Found::by(doctor(folder.path(), &["--nats", &stranger])).await?;
    silent.is("nats", "note", "says nothing by itself", "hangs");
    Ok(())
}

#[tokio::test]
async fn a_login_a_version_and_a_missing_jetstream_are_told_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let accounts = "accounts { with { jetstream: enabled, users: [{user: a, password: right}] },
        without { users: [{user: b, password: right}] } }";
    let nats = Server::start_with(accounts).await?;
    let url = nats.url();
    let as_user = |user: &str, password: &str| {
        let mut command = doctor(folder.path(), &["--nats", &url, "--nats-user", user]);
        command.env("NATS_PASSWORD", password);
        command
    };
    let wrong = Found::by(as_user("a", CANARY)).await?;
    wrong.fails("nats", "authorization violation", "correct the login");
    let without = Found::by(as_user("b", "right")).await?;
    without.fails("nats", "has no JetStream here", "start it with -js");
    let right = Found::by(as_user("a", "right")).await?;
    right.is("nats", "note", "login accepted; stream JOBS is not there", "weir nats apply");

    let old = old_nats().await?;
    let found = Found::by(doctor(folder.path(), &["--nats", &old.nats_url()])).await?;
    found.is("nats", "ok", "nats-server 2.10.0", "");
    found.fails("nats", "must be at least 2.14.5", "install a newer nats-server");
    Ok(())
}

#[tokio::test]
async fn each_trouble_with_a_model_is_told_with_what_mends_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let model = FakeModel::start().await?;
    let (no_key, no_api) =
        (Answering::start(UNAUTHORIZED).await?, Answering::start(NOT_FOUND).await?);
    let silent = Answering::start("").await?;
    let (bare, v1) = (no_api.url(), format!("{}/v1", no_api.url()));
    let with_canary = format!("http://me:{CANARY}@{}/v1", no_key.address());
    for (base, name, outcome, detail, advice) in [
        (model.base_url(), "script", "ok", "answers, in", ""),
        (model.base_url(), "other", "warn", "does not list the model other", "--model"),
        (with_canary, "script", "fail", "the key is not accepted (401)", "OPENAI_API_KEY"),
        (bare.clone(), "script", "fail", "there is no API (404)", "/v1"),
        (v1, "script", "note", "has no list of models (404)", "ask it"),
        ("http://127.0.0.1:1/v1".to_owned(), "script", "fail", "no connection", "start the server"),
        (
            "http://no-such-host.invalid/v1".to_owned(),
            "script",
            "fail",
            "name of its host",
            "names",
        ),
        (silent.url(), "script", "fail", "no answer within 5s", "firewall"),
        (format!("https://{}", no_api.address()), "script", "fail", "TLS", "without TLS"),
    ] {
        let named = format!("openai/{name}");
        let mut command = doctor(folder.path(), &["--model", &named, "--openai-base-url", &base]);
        command.env("OPENAI_API_KEY", CANARY);
        let found = Found::by(command).await?;
        found.is("model", "ok", &named, "");
        found.is("provider", outcome, detail, advice);
    }
    for (key, outcome, detail) in [(CANARY, "ok", "answers, in"), ("", "note", "extractive")] {
        let mut command = doctor(folder.path(), &[]);
        command.env("DASHSCOPE_API_KEY", key);
        if !key.is_empty() {
            command.env("DASHSCOPE_BASE_URL", model.dashscope_url());
        }
        let check = if key.is_empty() { "model" } else { "provider" };
        Found::by(command).await?.is(check, outcome, detail, "");
    }
    Ok(())
}

#[tokio::test]
async fn files_and_folders_that_cannot_be_used_are_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = path("file");
    std::fs::write(&file, "")?;
    let below = format!("{file}/below");
    let mut command = weir(&["doctor", "--json", "--server", NOWHERE, "--data", &below]);
    command.args(["--knowledge", &path("missing")]);
    let found = Found::by(command).await?;
    found.fails("disk", "is no folder", "--data");
    assert!(!found.all.iter().any(|it| it["check"] == "store"), "{:#?}", found.all);
    found.fails("knowledge", "missing", "--knowledge");

    let (agent, edge, keys) = (path("agent.toml"), path("edge.toml"), path("keys.toml"));
    std::fs::write(&agent, "model = \"extractive\"\nnonsense = 1\n")?;
    std::fs::write(&edge, "nonsense = 1\n")?;
    let create = ["keys", "create", "--api-keys", &keys, "--user", "ada"];
    let (code, output) = Weir::run(weir(&create)).await?;
    assert_eq!(code, Some(0), "{output:?}");
    let flags = ["--config", &agent, "--gateway-config", &edge, "--api-keys", &keys];
    let found = Found::by(doctor(folder.path(), &flags)).await?;
    found.fails("agent file", "agent.toml:2: nonsense", "mend line 2 of ");
    found.fails("edge", "edge.toml", "edge.toml");
    found.is("API keys", "ok", "1, of which 0 have ended", "");

    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o666))?;
    std::fs::write(&agent, "[mcp.gone]\ncommand = \"no-such-program\"\n")?;
    let flags = ["--config", &agent, "--api-keys", &keys, "--http", "0.0.0.0:1"];
    let found = Found::by(doctor(folder.path(), &flags)).await?;
    found.is("API keys", "warn", "by others than its owner", "chmod 600");
    found.fails("tools", "gone: there is no program no-such-program", "install it");
    let open = Found::by(doctor(folder.path(), &["--http", "0.0.0.0:1"])).await?;
    open.fails("edge", "other machines must show who asks", "");
    Ok(())
}

#[tokio::test]
async fn a_key_is_told_by_whose_it_is_and_never_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("keys.toml");
    let key = keys::create(&file, "ada", &["--expires", "90d"]).await?;
    let running = up(&["--ephemeral", "--api-keys", &file.display().to_string()]).await?;
    let page = running.value("page")?;
    let as_whom = |key: Option<&str>| {
        let mut command = doctor(folder.path(), &["--server", &page]);
        command.envs(key.map(|it| ("WEIR_API_KEY", it.to_owned())));
        command
    };
    let nobody = Found::by(as_whom(None)).await?;
    nobody.is("access", "note", "wants to know who asks", "--api-key-file");
    let wrong = Found::by(as_whom(Some(CANARY))).await?;
    wrong.fails("access", "wants to know who asks", "show one that counts");
    let right = Found::by(as_whom(Some(&key))).await?;
    assert_eq!(right.code, Some(0), "{:#?}", right.all);
    right.is("access", "ok", "you are ada (user), until 20", "");
    assert!(!format!("{:?}", right.all).contains(&key));

    let (code, output) = Weir::run(weir(&["status", "--server", &page])).await?;
    assert_eq!(code, Some(1), "{output:?}");
    assert_eq!(output.stdout, [format!("gateway   ready, at {}", page.trim_end_matches('/'))]);
    let mut status = weir(&["status", "--server", &page]);
    status.env("WEIR_API_KEY", &key);
    let (code, output) = Weir::run(status).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout.concat().contains("you       ada (user), until 20"), "{output:?}");
    assert!(!format!("{output:?}").contains(&key));
    Ok(())
}

#[tokio::test]
async fn a_full_disk_fails_before_it_is_used() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().display().to_string();
    let script = "mount -t tmpfs -o size=8m tmpfs \"$1\" && exec \"$2\" doctor --json --data \"$1\" \
        --http 127.0.0.1:1 --grpc 127.0.0.1:1";
    let binary = env!("CARGO_BIN_EXE_weir");
    let own = ["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &disk, binary];
    let found = Found::by(command("unshare", own)).await?;
    found.fails("disk", " MiB free", "make room");
    Ok(())
}
