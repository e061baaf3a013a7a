//! One turn followed through every process by its trace, as a collector sees it;
//! and what a collector that nobody reaches costs.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use testkit::collector::{Span, TraceCollector};
use testkit::model::{Call, Script};
use testkit::nats::Server;
use testkit::process::Weir;
use testkit::sse::{Frame, Sse};
use tokio::process::Command;

use crate::stage::{Client, is_end, said, text, tokens, weir};
use crate::tools::{KEY, Surroundings, call};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// What must not stand in any span.
const WORDS: [&str; 6] =
    ["q-canary", "a-canary", "arg-canary", "u-canary", "s-canary", "sk-canary"];

/// Three processes, each with the variables that say where traces go.
struct Roles {
    around: Surroundings,
    _nats: Server,
    agent: Weir,
    worker: Weir,
    gateway: Weir,
}

impl Roles {
    async fn start(variables: &[(&str, &str)]) -> Result<Self> {
        let around = Surroundings::start().await?;
        let (file, nats) = (around.configure("")?, Server::start().await?);
        let started = async |mut command: Command| {
            command.env("NATS_URL", nats.url()).envs(variables.iter().copied());
            Weir::start(command).await
        };
        let mut agent = weir(&["agent", "--grpc", "127.0.0.1:0", "--config", &file]);
        agent.env(KEY, "sk-canary");
        let agent = started(agent).await?;
        let url = format!("http://{}", agent.value("grpc")?);
        let worker = started(weir(&["worker", "--agent", &url])).await?;
        let gateway = started(weir(&["gateway", "--http", "127.0.0.1:0"])).await?;
        Ok(Self { around, _nats: nats, agent, worker, gateway })
    }

    /// Asks as a part of a trace, and reads the turn to its end.
    async fn ask(&self, script: &Script) -> Result<Vec<Frame>> {
        let client = Client::of(&self.gateway)?;
        let body = json!({ "userId": "u-canary", "input": script.question() });
        let asked = client.post("/v1/sessions/s-canary/turns").header("traceparent", PARENT);
        let asked = asked.header("tracestate", "vendor=1").header("accept", "text/event-stream");
        Sse::open(asked.json(&body).send().await?).await?.read_until(is_end).await
    }

    /// Stops all of them in good order; what they logged.
    async fn stop(mut self) -> Result<String> {
        let mut logged = Vec::new();
        let roles = [&mut self.gateway, &mut self.worker, &mut self.agent];
        for role in &roles {
            role.terminate()?;
        }
        for role in roles {
            let ended = role.exit().await?;
            logged.extend(role.output().stderr);
            ensure!(ended.code() == Some(0), "{ended:?} {logged:?}");
        }
        Ok(logged.join("\n"))
    }
}

/// Reads with a tool, then answers.
fn script() -> Script {
    let read = call("c1", "t__read", &json!({ "key": "arg-canary" }));
    let answer = Script { text: Some("a-canary".to_owned()), ..Script::default() };
    Script {
        // Spoken to nobody; it makes the question known again.
        text: Some("q-canary".to_owned()),
        tool_calls: vec![read],
        then: vec![answer],
        ..Script::default()
    }
}

/// The hops of a turn from the outside in: service, kind, name.
const HOPS: [(&str, &str, &str); 6] = [
    ("weir-gateway", "server", "POST /v1/sessions/{session}/turns"),
    ("weir-gateway", "producer", "publish jobs"),
    ("weir-worker", "consumer", "process jobs"),
    ("weir-worker", "client", "weir.v1.KnowledgeAgent/Ask"),
    ("weir-agent", "server", "weir.v1.KnowledgeAgent/Ask"),
    ("weir-agent", "internal", "invoke_agent weir"),
];

/// The spans of the hops, each one below the one before it.
fn descent(spans: &[Span]) -> Result<Vec<&Span>> {
    let mut hops: Vec<&Span> = Vec::new();
    let mut parent = &PARENT[36..52];
    for (service, kind, name) in HOPS {
        let hop =
            |it: &&Span| (it.service.as_str(), it.kind, it.name.as_str()) == (service, kind, name);
        let span = one(spans.iter().filter(hop)).with_context(|| format!("{kind} {name}"))?;
        ensure!(span.parent == parent, "{name} is not below {parent}: {span:?}");
        parent = &span.id;
        hops.push(span);
    }
    Ok(hops)
}

fn one<'a>(mut spans: impl Iterator<Item = &'a Span>) -> Result<&'a Span> {
    let first = spans.next().context("no such span")?;
    ensure!(spans.next().is_none(), "more than one");
    Ok(first)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Result<&'a Span> {
    one(spans.iter().filter(|it| it.name == name)).with_context(|| name.to_owned())
}

#[tokio::test]
async fn one_trace_has_a_turn_through_every_process_and_none_of_its_words() -> Result<()> {
    let collector = TraceCollector::start().await?;
    let url = collector.url();
    let roles = Roles::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await?;
    let frames = roles.ask(&script()).await?;
    let end = frames.last().context("a last frame")?;
    assert!(end.is("completed"), "{frames:?}");
    let turn = end.json()["turnId"].as_str().context("a turn")?.to_owned();
    let (asked, called) = (roles.around.model.calls(), roles.around.server.calls());
    roles.stop().await?;

    let all = collector.spans();
    let spans: Vec<_> = all.iter().filter(|it| it.trace == TRACE).cloned().collect();
    let hops = descent(&spans)?;
    let [server, publish, attempt, asking, serving, agent] = hops[..] else {
        panic!("there are as many as were looked for: {hops:?}");
    };
    for named in [server, publish, attempt, serving, agent] {
        assert_eq!(named.attribute("weir.turn_id"), turn, "{named:?}");
    }
    assert_eq!(server.attribute("http.response.status_code"), "200");
    assert_eq!(attempt.attribute("weir.attempt"), "1");
    assert_eq!(agent.attribute("weir.ending"), "completed");
    let tool = named(&spans, "execute_tool t__read")?;
    assert_eq!((&tool.parent, tool.attribute("gen_ai.tool.name")), (&agent.id, "t__read"));
    assert_eq!(called[0].traceparent, Some(format!("00-{TRACE}-{}-01", tool.id)));
    let chats = chats(&spans, agent, &asked)?;
    // What streams lasts as long as the answer does.
    for streamed in [server, asking, serving] {
        assert!(streamed.ended >= chats[1].ended, "{streamed:?} {chats:?}");
    }
    assert!(server.whole.contains(&turn), "{}", server.whole);
    tell_nothing(&all);
    assert!(spans.iter().all(|it| !it.failed), "{spans:?}");
    Ok(())
}

/// The questions to the model, each of which carried its own place.
fn chats<'a>(spans: &'a [Span], agent: &Span, asked: &[Call]) -> Result<Vec<&'a Span>> {
    let mut chats: Vec<_> = spans.iter().filter(|it| it.name == "chat script").collect();
    chats.sort_by_key(|it| it.began);
    assert_eq!((chats.len(), asked.len()), (2, 2));
    for (chat, asked) in chats.iter().zip(asked) {
        assert_eq!((chat.kind, &chat.parent), ("client", &agent.id));
        assert_eq!(chat.attribute("gen_ai.operation.name"), "chat");
        assert_eq!(chat.attribute("gen_ai.provider.name"), "mine");
        assert!(chat.attribute("gen_ai.usage.output_tokens").parse::<u32>()? > 0, "{chat:?}");
        let sent = asked.traceparent.as_deref().context("a model that was told of the trace")?;
        assert_eq!(sent, format!("00-{TRACE}-{}-01", chat.id));
    }
    Ok(chats)
}

fn tell_nothing(spans: &[Span]) {
    for span in spans {
        let found = WORDS.into_iter().find(|it| span.whole.contains(it));
        assert_eq!(found, None, "{span:?}");
    }
}

#[tokio::test]
async fn what_fails_says_its_code_in_every_process_and_none_of_its_words() -> Result<()> {
    let collector = TraceCollector::start().await?;
    let url = collector.url();
    let roles = Roles::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await?;
    let refuses = Script {
        status: Some(401),
        error_message: Some("q-canary of a-canary: sk-canary".to_owned()),
        ..Script::default()
    };
    let frames = roles.ask(&refuses).await?;
    let end = frames.last().context("a last frame")?;
    let code = end.json()["failed"]["code"].as_str().context("a code")?.to_owned();
    roles.stop().await?;
    let spans = collector.spans();
    for name in ["chat script", "invoke_agent weir"] {
        let span = named(&spans, name)?;
        assert!(span.failed && span.attribute("error.type") == code, "{code}: {span:?}");
    }
    assert_eq!(named(&spans, "invoke_agent weir")?.attribute("weir.ending"), "failed");
    tell_nothing(&spans);
    Ok(())
}

#[tokio::test]
async fn spans_are_posted_by_http_under_the_name_and_as_much_as_the_environment_says() -> Result<()>
{
    let collector = TraceCollector::start().await?;
    let url = collector.http_url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=sk-canary"),
        ("OTEL_SERVICE_NAME", "mine"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let roles = Roles::start(&variables).await?;
    // Its caller records; the other one has none who does.
    roles.ask(&script()).await?;
    Client::of(&roles.gateway)?.ask("unseen", &tokens(3, 0)).await?.read_all().await?;
    let logged = roles.stop().await?;
    let spans = collector.spans();
    assert!(spans.len() >= 9, "{spans:?}");
    assert!(spans.iter().all(|it| it.trace == TRACE && it.service == "mine"), "{spans:?}");
    assert!(!logged.contains("sk-canary"), "{logged}");
    Ok(())
}

#[tokio::test]
async fn without_a_collector_the_model_still_hears_of_the_callers_trace() -> Result<()> {
    let roles = Roles::start(&[("WEIR_LOG_FORMAT", "json"), ("RUST_LOG", "debug,h2=off")]).await?;
    let frames = roles.ask(&script()).await?;
    let turn = frames[0].json()["turnId"].as_str().context("a turn")?.to_owned();
    let asked = roles.around.model.calls();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.traceparent.as_deref() == Some(PARENT)), "{asked:?}");
    let called = roles.around.server.calls();
    assert_eq!(called[0].traceparent.as_deref(), Some(PARENT));

    let agent = roles.agent.output().stderr;
    let lines: Vec<serde_json::Value> =
        agent.iter().map(|it| serde_json::from_str(it)).collect::<Result<_, _>>()?;
    let calling = lines.iter().find(|it| it["message"] == "calling").context("a line of a call")?;
    assert_eq!((&calling["turn.id"], &calling["trace.id"]), (&turn.into(), &TRACE.into()));
    roles.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_nobody_reaches_holds_up_neither_a_turn_nor_the_end() -> Result<()> {
    // Takes connections and never says a word.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", mute.local_addr()?);
    for (protocol, url) in
        [("grpc", "http://127.0.0.1:1"), ("http/protobuf", &*url), ("grpc", &url)]
    {
        let variables =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)];
        let roles = Roles::start(&variables).await?;
        let client = Client::of(&roles.gateway)?;
        for session in ["one", "two", "three"] {
            let frames = client.ask(session, &tokens(20, 0)).await?.read_all().await?;
            assert_eq!(text(&frames), said(20));
        }
        let began = tokio::time::Instant::now();
        let logged = roles.stop().await?;
        // All at once, each bounded by three seconds.
        assert!(began.elapsed().as_secs() < 20, "{logged}");
        let told = logged.lines().filter(|it| it.contains("spans were not exported")).count();
        assert!(told <= 3, "{logged}");
        assert!(logged.contains("not exported"), "{logged}");
    }
    Ok(())
}

#[tokio::test]
async fn a_setting_that_is_not_known_is_told_and_nothing_is_exported() -> Result<()> {
    let mut command = weir(&["agent", "--grpc", "127.0.0.1:0", "--ephemeral"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let mut agent = Weir::start(command).await?;
    agent.terminate()?;
    assert_eq!(agent.exit().await?.code(), Some(0));
    let told = agent.output().stderr.join("\n");
    assert!(told.contains("http/json") && told.contains("http/protobuf"), "{told}");
    Ok(())
}
