//! The roles as an operator runs them: on a server from deploy/nats, each as a
//! user of its own that may do its part and no more.

use anyhow::Result;
use testkit::nats::{Server, Shipped};
use testkit::process::Weir;
use tokio::process::Command;

use crate::stage::{up, weir};

/// A command that opens the shipped servers as a user.
fn as_user(shipped: &Shipped, user: &str, arguments: &[&str]) -> Command {
    let mut command = weir(arguments);
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
