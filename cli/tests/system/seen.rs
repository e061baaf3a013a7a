//! What operators see of the real processes: metrics, health, the log of
//! requests; and what nobody may see there.

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use serde_json::json;
use testkit::model::FakeModel;
use testkit::nats::Server;
use testkit::process::{Output, Weir};
use testkit::prometheus::Scrape;
use testkit::sse::Sse;
use tokio::time::{Duration, Instant, timeout};

use crate::stage::{Client, is_end, tokens, up, weir};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);
const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];
const TURNS: &str = "/v1/sessions/{session}/turns";

async fn get(weir: &Weir, page: &str) -> Result<(StatusCode, String)> {
    let response = reqwest::get(format!("{}{page}", weir.value("admin")?)).await?;
    Ok((response.status(), response.text().await?))
}

async fn scrape(weir: &Weir) -> Result<Scrape> {
    let (status, text) = get(weir, "metrics").await?;
    ensure!(status == StatusCode::OK, "{text}");
    Scrape::parse(&text)
}

/// Waits until a number has grown by so much since `before`.
async fn grown(
    weir: &Weir,
    before: &Scrape,
    (name, labels): (&str, &[(&str, &str)]),
) -> Result<Scrape> {
    let (began, was) = (Instant::now(), before.sum(name, labels));
    loop {
        let now = scrape(weir).await?;
        if now.sum(name, labels) > was {
            return Ok(now);
        }
        ensure!(began.elapsed() < PATIENCE, "{name} {labels:?} stays at {was}");
        tokio::task::yield_now().await;
    }
}

async fn until_ready(weir: &Weir, expected: StatusCode) -> Result<String> {
    let began = Instant::now();
    loop {
        let (status, text) = get(weir, "readyz").await?;
        if status == expected {
            return Ok(text);
        }
        ensure!(began.elapsed() < PATIENCE, "still {status}: {text}");
        tokio::task::yield_now().await;
    }
}

struct Roles {
    nats: Server,
    _model: FakeModel,
    gateway: Weir,
    worker: Weir,
    agent: Weir,
}

impl Roles {
    async fn start() -> Result<Self> {
        let (nats, model) = (Server::start().await?, FakeModel::start().await?);
        let url = nats.url();
        let mut agent = weir(&["agent", "--grpc", "127.0.0.1:0", "--model", "openai/script"]);
        agent.args(ADMIN).env("NATS_URL", &url).env("OPENAI_BASE_URL", model.base_url());
        let agent = Weir::start(agent).await?;
        let grpc = format!("http://{}", agent.value("grpc")?);
        let mut worker = weir(&["worker", "--nats", &url, "--agent", &grpc]);
        worker.args(ADMIN);
        let mut gateway = weir(&["gateway", "--nats", &url, "--http", "127.0.0.1:0"]);
        gateway.args(ADMIN);
        let (worker, gateway) = tokio::try_join!(Weir::start(worker), Weir::start(gateway))?;
        Ok(Self { nats, _model: model, gateway, worker, agent })
    }
}

#[tokio::test]
async fn a_turn_moves_the_metrics_of_all_three_roles_and_names_nobody() -> Result<()> {
    let roles = Roles::start().await?;
    let (gateway, worker, agent) = (&roles.gateway, &roles.worker, &roles.agent);
    let before =
        tokio::try_join!(scrape(gateway), scrape(worker), scrape(agent)).context("at first")?;
    let client = Client::of(gateway)?.user("user-marker");
    client.ask("session-marker", &tokens(20, 1)).await?.read_until(is_end).await?;

    let ended = [("route", TURNS), ("status", "200"), ("ended", "complete")];
    let requests = ("weir_http_requests_total", &ended[..]);
    let gateway = grown(gateway, &before.0, requests).await?;
    let turns = ("weir_turns_total", &[("ending", "completed")][..]);
    let worker = grown(worker, &before.1, turns).await?;
    let turns = ("gen_ai_invoke_agent_duration_seconds_count", &[("ending", "completed")][..]);
    let agent = grown(agent, &before.2, turns).await?;
    for (scrape, role, moved) in [
        (&gateway, "gateway", &["weir_stream_events_total", "weir_http_response_bytes_total"][..]),
        (&worker, "worker", &["weir_queue_wait_seconds_count", "weir_appends_total"][..]),
        (&agent, "agent", &["gen_ai_client_operation_duration_seconds_count"][..]),
    ] {
        assert!(scrape.has("weir_build_info", &[("role", role)]), "{role}");
        assert!(scrape.sum("process_open_fds", &[]) > 3.0, "{role}");
        for name in moved {
            assert!(scrape.sum(name, &[]) > 0.0, "{role}: {name}");
        }
        for sample in scrape.samples() {
            let named = sample.labels.values().any(|it| it.contains("marker"));
            assert!(!named, "{role}: {sample:?}");
        }
    }
    assert!(gateway.has("weir_queue_depth", &[]));
    assert!(!worker.has("weir_queue_depth", &[]), "each role tells what is its own");
    assert!(!agent.has("weir_worker_slots", &[]), "each role tells what is its own");
    Ok(())
}

#[tokio::test]
async fn a_process_is_ready_only_while_it_reaches_its_broker_and_alive_all_the_time() -> Result<()>
{
    let mut roles = Roles::start().await?;
    for weir in [&roles.gateway, &roles.worker, &roles.agent] {
        until_ready(weir, StatusCode::OK).await?;
    }
    roles.nats.kill().await?;
    for weir in [&roles.gateway, &roles.worker, &roles.agent] {
        let why = until_ready(weir, StatusCode::SERVICE_UNAVAILABLE).await?;
        assert!(why.starts_with("broker: ") || why.starts_with("records: "), "{why}");
        assert_eq!(get(weir, "healthz").await?.0, StatusCode::OK);
        assert_eq!(get(weir, "metrics").await?.0, StatusCode::OK);
    }
    roles.nats.restart().await?;
    for weir in [&roles.gateway, &roles.worker, &roles.agent] {
        until_ready(weir, StatusCode::OK).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_process_that_drains_says_so_until_it_ends() -> Result<()> {
    let mut weir = up(&[&ADMIN[..], &["--ephemeral"]].concat()).await?;
    until_ready(&weir, StatusCode::OK).await?;
    let admin = weir.value("admin")?;
    assert_eq!(reqwest::get(format!("{admin}v1/status")).await?.status(), StatusCode::NOT_FOUND);
    let page = weir.value("page")?;
    let public = reqwest::get(format!("{page}metrics")).await?;
    assert_eq!(public.status(), StatusCode::NOT_FOUND, "never on the public edge");
    // It holds up nothing.
    let _idle =
        tokio::net::TcpStream::connect(admin.trim_start_matches("http://").trim_end_matches('/'))
            .await?;
    weir.terminate()?;
    assert_eq!(weir.exit().await?.code(), Some(0));
    assert!(reqwest::get(format!("{admin}healthz")).await.is_err());
    Ok(())
}

#[tokio::test]
async fn without_the_flag_there_is_no_admin_address() -> Result<()> {
    let weir = up(&["--ephemeral"]).await?;
    assert!(weir.value("admin").is_err());
    Ok(())
}

/// How many requests the log tells of.
fn requests(output: &Output) -> usize {
    output.stderr.iter().filter(|it| it.contains("gateway::access: request")).count()
}

#[tokio::test]
async fn the_log_tells_each_request_and_no_secret_that_came_with_it() -> Result<()> {
    let mut command =
        weir(&["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--ephemeral"]);
    command.args(ADMIN).env("RUST_LOG", "debug");
    let mut weir = Weir::start(command).await?;
    let client = Client::of(&weir)?;
    let body = json!({ "userId": "u", "input": "What is Weir?" });
    let ask = client
        .post("/v1/sessions/s/turns?ticket=canary-in-query&access_token=canary-in-query")
        .header("authorization", "Bearer canary-in-authorization")
        .header("cookie", "session=canary-in-cookie")
        .header("x-request-id", "asked-1")
        .header("user-agent", "probe/1\u{9b}31m")
        .header("accept", "text/event-stream")
        .json(&body)
        .send()
        .await?;
    let frames = Sse::open(ask).await?.read_until(is_end).await?;
    let turn = frames.last().map(|it| it.json()["turnId"].clone()).context("an end")?;
    let nowhere = client.get("/canary-in-path?ticket=canary-in-query").send().await?;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    weir.wait_for("line for each request", |it| requests(it) >= 2).await?;
    weir.terminate()?;
    weir.exit().await?;

    let output = weir.output();
    let all = [output.stdout, output.stderr].concat();
    assert!(all.iter().any(|it| it.contains("DEBUG")), "the log says much");
    for line in &all {
        assert!(!line.contains("canary"), "{line}");
        assert!(!line.contains('\u{9b}') && !line.contains('\u{1b}'), "{line:?}");
    }
    let asked = all.iter().find(|it| it.contains("request.id=\"asked-1\""));
    let asked = asked.context("the line of the question")?;
    for part in [
        " INFO ",
        "gateway::access: request",
        "http.method=\"POST\"",
        &format!("http.route=\"{TURNS}\""),
        "http.status=200",
        "ended=\"complete\"",
        &format!("turn.id={}", turn.as_str().context("a turn's id")?),
        "agent=\"probe/1",
        "client=127.0.0.1",
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    assert!(all.iter().any(|it| it.contains("http.route=\"unmatched\"")));
    Ok(())
}

#[tokio::test]
async fn other_machines_may_read_the_admin_address_only_when_somebody_said_so() -> Result<()> {
    // An address for documents: it is nobody's, and cannot be listened on.
    let start = ["agent", "--ephemeral", "--grpc", "127.0.0.1:0", "--admin", "192.0.2.1:0"];
    let flag = "--admin-without-authentication";
    for (more, says) in [(&[][..], flag), (&[flag][..], "cannot listen on 192.0.2.1")] {
        let refused = timeout(PATIENCE, weir(&[&start, more].concat()).output()).await??;
        let said = String::from_utf8(refused.stderr)?;
        assert!(!refused.status.success() && said.contains(says), "{said}");
    }
    Ok(())
}
