//! Certificates between the processes: who may reach what, as an operator runs
//! it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::model::{FakeModel, echo};
use testkit::nats::{Authority, Server};
use testkit::process::Weir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::stage::{Client, is_end, text, up, weir};

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn path(file: &Path) -> &str {
    file.to_str().expect("a temporary file has a plain name")
}

/// One agent that lets in workers by their certificates, and what it needs.
struct Stage {
    nats: Server,
    model: FakeModel,
    authority: Authority,
    agent: Weir,
}

impl Stage {
    async fn start() -> Result<Self> {
        let (nats, model) = (Server::start().await?, FakeModel::start().await?);
        let authority = Authority::new()?;
        let (cert, key) = authority.vouch("agent")?;
        let ca = authority.ca();
        let flags = [
            ["agent", "--grpc=127.0.0.1:0", "--model=openai/script"].as_slice(),
            &["--grpc-tls-cert", path(&cert), "--grpc-tls-key", path(&key)],
            &["--grpc-client-ca", path(&ca)],
        ];
        let mut agent = weir(&flags.concat());
        agent.env("NATS_URL", nats.url()).env("OPENAI_BASE_URL", model.base_url());
        let agent = Weir::start(agent).await?;
        assert_eq!(agent.value("clients")?, "with a certificate for worker, in TLS");
        Ok(Self { nats, model, authority, agent })
    }

    /// A worker that believes this authority, and shows what it is given.
    async fn worker(&self, ca: PathBuf, shows: Option<(PathBuf, PathBuf)>) -> Result<Weir> {
        let url = format!("https://{}", self.agent.value("grpc")?);
        let mut worker = weir(&["worker", "--agent", &url, "--agent-ca", path(&ca)]);
        if let Some((cert, key)) = shows {
            worker.env("WEIR_AGENT_CERT", cert).env("WEIR_AGENT_KEY", key);
        }
        worker.env("NATS_URL", self.nats.url());
        Weir::start(worker).await
    }

    /// Waits until the agent says that it refused somebody for this reason.
    async fn refuses(&self, why: &str) -> Result<()> {
        let refused = |line: &String| line.contains("not let in") && line.contains(why);
        self.agent.wait_for(why, |it| it.stderr.iter().any(refused)).await
    }

    async fn says(&self, words: &str) -> Result<()> {
        self.agent.wait_for(words, |it| it.stderr.iter().any(|line| line.contains(words))).await
    }
}

#[tokio::test]
async fn an_agent_lets_in_workers_by_their_certificates_and_no_question_is_lost() -> Result<()> {
    let stage = Stage::start().await?;
    let (ours, theirs) = (&stage.authority, Authority::new()?);
    let url = stage.nats.url();
    let gateway = weir(&["gateway", "--http", "127.0.0.1:0", "--nats", &url]);
    let gateway = Weir::start(gateway).await?;
    let client = Client::of(&gateway)?;
    let mut asked = Vec::new();
    for (session, shows, why) in [
        ("none", None, "no certificates"),
        ("name", Some(ours.vouch_for("name", &["gateway"], 2020..4000)?), "not valid for name"),
        ("other", Some(theirs.vouch_for("other", &["worker"], 2020..4000)?), "invalid peer"),
        ("expired", Some(ours.vouch_for("expired", &["worker"], 2020..2021)?), "expired"),
        ("plain", None, "corrupt message"),
    ] {
        let mut worker = if session == "plain" {
            let plain = format!("http://{}", stage.agent.value("grpc")?);
            Weir::start(weir(&["worker", "--nats", &url, "--agent", &plain])).await?
        } else {
            stage.worker(ours.ca(), shows).await?
        };
        asked.push((session, client.submit(session, "hello").await?));
        stage.refuses(why).await.with_context(|| format!("{:?}", worker.output()))?;
        // It hands over what it could not do.
        worker.terminate()?;
        worker.exit().await?;
    }

    // Nor does a worker believe an agent that its authority does not know.
    let cert = ours.vouch_for("worker", &["w1", "worker"], 2020..4000)?;
    let mut astray = stage.worker(theirs.ca(), Some(cert.clone())).await?;
    astray
        .wait_for("a reason", |it| {
            it.stderr.iter().any(|line| {
                line.contains("an agent is not believed") && line.contains("invalid peer")
            })
        })
        .await?;
    astray.terminate()?;
    astray.exit().await?;

    let _worker = stage.worker(ours.ca(), Some(cert)).await?;
    for (session, (_, position)) in asked {
        let said = client.events(session, &position).await?.read_until(is_end).await?;
        assert_eq!(text(&said), echo("hello", 1), "{session}: {said:?}");
    }
    assert_eq!(stage.model.calls().len(), 5);
    Ok(())
}

#[tokio::test]
async fn an_agent_renews_its_certificate_and_is_not_held_up_by_handshakes_that_stall() -> Result<()>
{
    let stage = Stage::start().await?;
    let address = stage.agent.value("grpc")?;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(&address).await?);
    }
    let (chain, key) = stage.authority.vouch_for("worker", &["worker"], 2020..4000)?;
    let identity = tls::Identity { chain, key };
    let ca = Some(stage.authority.ca());
    let client = tls::Client::open(ca, Some(identity), agent::PROTOCOLS)?;
    let shown = async || {
        let name = tls::ServerName::try_from("localhost")?;
        let stream = client.connect(name, TcpStream::connect(&address).await?).await?;
        let shown = stream.get_ref().1.peer_certificates().context("a certificate")?;
        anyhow::Ok(shown[0].to_vec())
    };
    let before = timeout(PATIENCE, shown()).await??;
    let (chain, key) = stage.authority.vouch("agent")?;
    stage.says("certificates were read again").await?;
    let after = shown().await?;
    assert_ne!(after, before);
    std::fs::write(&key, "canary")?;
    stage.says("the old ones stay in use").await?;
    assert_eq!(shown().await?, after);
    let said = stage.agent.output().stderr.join("\n");
    assert!(said.contains(path(&key)) && !said.contains("canary"), "{said}");
    assert!(said.contains(path(&chain)), "{said}");
    for mut stream in stalled {
        let mut nothing = Vec::new();
        let _broken = timeout(PATIENCE, stream.read_to_end(&mut nothing)).await?;
        assert!(nothing.is_empty(), "{nothing:?}");
    }
    stage.refuses("took too long").await
}

/// The one line with which a command refuses to start.
async fn refusal(arguments: &str) -> Result<String> {
    let arguments: Vec<_> = arguments.split(' ').collect();
    let (code, output) = Weir::run(weir(&arguments)).await?;
    assert_eq!((code, output.stderr.len()), (Some(1), 1), "{arguments:?}: {output:?}");
    Ok(output.stderr.concat())
}

#[tokio::test]
async fn what_would_be_open_or_cannot_be_used_is_refused_at_start() -> Result<()> {
    let authority = Authority::new()?;
    let (cert, key) = authority.vouch("a")?;
    let (_, other) = authority.vouch("b")?;
    let (cert, key, other) = (path(&cert), path(&key), path(&other));
    let agent = "agent --ephemeral --grpc";
    let up = "up --ephemeral --http 127.0.0.1:0 --grpc";
    // An address for documents: it is nobody's, and cannot be listened on.
    let (here, away) = ("127.0.0.1:0", "192.0.2.1:0");
    let worker = "worker --nats nats://127.0.0.1:9 --agent";
    for (arguments, says) in [
        (format!("{agent} {away}"), "--grpc-without-authentication"),
        (format!("{up} {away}"), "--grpc-without-authentication"),
        (format!("{agent} {away} --grpc-tls-cert {cert} --grpc-tls-key {key}"), "--grpc-client-ca"),
        (format!("{agent} {away} --grpc-without-authentication"), "cannot listen on 192.0.2.1"),
        (
            format!("{agent} {here} --grpc-tls-cert {cert} --grpc-tls-key {other}"),
            "does not belong to the certificate in",
        ),
        (format!("{agent} {here} --grpc-tls-cert {cert} --grpc-tls-key /nowhere"), "/nowhere"),
        (format!("{up} {here} --tls-cert {key} --tls-key {key}"), "holds no certificate"),
        (format!("{up} {here} --tls-cert {cert} --tls-key {cert}"), "holds no private key"),
        (format!("{worker} http://a:1 --agent-ca {cert}"), "there is no TLS to --agent http://a:1"),
        (format!("{worker} https://a:1 --agent-ca {key}"), "holds no certificate"),
        (format!("{worker} https://a:1 --agent-ca {cert} --agent-name a/b"), "a/b"),
        ("ask --server https://127.0.0.1:9 --ca /nowhere hello".to_owned(), "/nowhere"),
        ("ask --server http://192.0.2.1 --api-key canary hello".to_owned(), "could read"),
    ] {
        let why = refusal(&arguments).await?;
        assert!(why.contains(says) && !why.contains("canary"), "{arguments}: {why}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_believes_a_gateway_by_its_authority() -> Result<()> {
    let authority = Authority::new()?;
    let (cert, key) = authority.vouch("edge")?;
    let flags = ["--ephemeral", "--tls-cert", path(&cert), "--tls-key", path(&key)];
    let server = up(&flags).await?;
    let page = server.value("page")?;
    assert!(page.starts_with("https://127.0.0.1:"), "{page}");
    let ca = authority.ca();
    let ask = ["ask", "--server", &page, "--ca", path(&ca), "How do I add more workers?"];
    let (code, output) = Weir::run(weir(&ask)).await?;
    assert_eq!(code, Some(0), "{output:?}");
    assert!(output.stdout.join(" ").contains("worker"), "{output:?}");
    let another = Authority::new()?;
    let mut stranger = weir(&["ask", "--server", &page, "hello"]);
    stranger.env("WEIR_CA", another.ca());
    let (code, output) = Weir::run(stranger).await?;
    assert_eq!(code, Some(1), "{output:?}");
    assert!(output.stderr.concat().contains("certificate"), "{output:?}");
    Ok(())
}

#[tokio::test]
async fn a_client_shows_its_key_to_the_gateway_and_to_nobody_else() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let mut command = weir(&["delete", "--server", &server, "s"]);
    command.env("WEIR_API_KEY", "canary");
    let answered = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            anyhow::ensure!(stream.read_line(&mut head).await? > 0, "it ended: {head}");
        }
        let problem = r#"{"detail":"this key is not known"}"#;
        let length = problem.len();
        let answer = format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\
             content-type: application/problem+json\r\n\r\n{problem}"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        Ok(head)
    };
    let (ended, head) = tokio::try_join!(Weir::run(command), answered)?;
    assert!(head.contains("\r\nauthorization: Bearer canary\r\n"), "{head}");
    let (code, output) = ended;
    assert_eq!(code, Some(1), "{output:?}");
    assert!(output.stderr.concat().contains("this key is not known"), "{output:?}");
    assert!(!format!("{output:?}").contains("canary"), "{output:?}");

    let mut help = weir(&["ask", "--help"]);
    help.env("WEIR_API_KEY", "canary");
    let (_, output) = Weir::run(help).await?;
    let help = output.stdout.join("\n");
    assert!(help.contains("WEIR_API_KEY") && !help.contains("canary"), "{help}");
    Ok(())
}
