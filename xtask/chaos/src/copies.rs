//! What each nats-server says of its own copy of a stream, and what it reads
//! out of it. From the servers' monitors and through a gateway that is left
//! with one server only.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::nats::Server;
use testkit::sse::Frame;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
use crate::score::Score;
use crate::sitting::Tale;
use crate::stage::Stage;

/// How long copies may differ after all servers run again, and how long one
/// server may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions that are asked before their answers are read.
const AT_ONCE: usize = 64;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of a stream a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Messages that are there.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first sequence.
    pub first: u64,
    /// The last sequence, whether its message is there or not.
    pub last: u64,
}

/// What a server has of a stream; nothing when it does not know it.
pub async fn held(server: &Server, stream: &str) -> Result<Option<Held>> {
    let Some(detail) = detail(server, stream).await? else { return Ok(None) };
    let number = |name: &str| detail["state"][name].as_u64().unwrap_or_default();
    let [messages, bytes, first, last] = ["messages", "bytes", "first_seq", "last_seq"].map(number);
    Ok(Some(Held { messages, bytes, first, last }))
}

/// How often jobs were handed to workers so far, as the server tells that leads
/// the consumer.
pub async fn deliveries(server: &Server) -> Result<u64> {
    let detail = detail(server, "JOBS").await?.context("the queue is there")?;
    let workers = &detail["consumer_detail"][0]["delivered"]["consumer_seq"];
    workers.as_u64().context("the queue has a consumer")
}

async fn detail(server: &Server, stream: &str) -> Result<Option<Value>> {
    let page = server.page("jsz?streams=true&consumers=true").await?;
    let accounts = page["account_details"].as_array().into_iter().flatten();
    let mut streams = accounts.filter_map(|it| it["stream_detail"].as_array()).flatten();
    Ok(streams.find(|it| it["name"] == stream).cloned())
}

/// Waits until all servers have the same of a stream; a violation when they
/// never do.
pub async fn agree(stage: &mut Stage, stream: &str, score: &mut Score) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut copies = Vec::new();
        for at in 0..stage.nodes() {
            copies.push(held(stage.node(at), stream).await?);
        }
        if copies.iter().all(|it| it.is_some() && *it == copies[0]) {
            return Ok(());
        }
        if Instant::now() > deadline {
            score.violation(format!("the copies of {stream} differ: {copies:?}"));
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// The sessions' logs as a gateway tells them that reaches one server only, in
/// the order of `tales`. Ends are told by the leader.
pub async fn read(stage: &Stage, node: usize, tales: &[Tale]) -> Vec<Result<Vec<Frame>>> {
    let others = |stage: &Stage, cut: bool| {
        for other in (0..stage.nodes()).filter(|it| *it != node) {
            if let Some(link) = stage.link(&format!("gateway0-nats{other}")) {
                if cut { link.cut() } else { link.mend() }
            }
        }
    };
    others(stage, true);
    let read = futures::future::join_all(tales.iter().map(|it| history(stage, it))).await;
    others(stage, false);
    read
}

async fn history(stage: &Stage, tale: &Tale) -> Result<Vec<Frame>> {
    let client = Client::new(stage.edges(), tale.user.clone())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match timeout(PATIENCE, client.history(0, &tale.session)).await {
            Ok(Ok(frames)) => return Ok(frames),
            Ok(Err(why)) if Instant::now() > deadline => return Err(why),
            Ok(Err(_not_yet)) => sleep(5 * PAUSE).await,
            Err(why) => return Err(why.into()),
        }
    }
}

/// Lets each server lead the log in turn and tell it; a server that tells
/// another log than the first is a violation. Returns how many messages were
/// compared.
pub async fn compare(stage: &mut Stage, score: &mut Score) -> Result<usize> {
    agree(stage, "LOG", score).await?;
    let mut first = None;
    for node in 0..stage.nodes() {
        let told = messages(stage, "LOG", node).await?;
        let first = first.get_or_insert_with(|| told.clone());
        let (apart, all) = (differences(first, &told), first.len().max(told.len()));
        score.expect(apart == 0, || format!("node {node} tells {apart} of {all} messages apart"));
    }
    Ok(first.map_or(0, |it| it.len()))
}

/// How many messages two servers tell differently.
pub fn differences(one: &Messages, other: &Messages) -> usize {
    let all: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    all.into_iter().filter(|it| one.get(it) != other.get(it)).count()
}

/// What a server tells of each message of a stream, by sequence: its bytes as
/// they are in the answer, or the error.
pub type Messages = BTreeMap<u64, String>;

/// Every message of a stream as this server tells it, which then leads it.
pub async fn messages(stage: &mut Stage, stream: &str, node: usize) -> Result<Messages> {
    lead(stage, stream, node).await?;
    let held = held(stage.node(node), stream).await?.context("the stream is there")?;
    let mut line = Line::open(&stage.node(node).url()).await?;
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let sequences: Vec<_> = (held.first.max(1)..=held.last).collect();
    let mut told = Messages::new();
    for some in sequences.chunks(AT_ONCE) {
        for sequence in some {
            line.ask(&subject, *sequence, &json!({ "seq": sequence }).to_string()).await?;
        }
        for _ in some {
            let (sequence, answer) = line.answer().await?;
            let message = &answer["message"];
            let text = if message.is_null() { &answer["error"] } else { message };
            told.insert(sequence, text.to_string());
        }
    }
    Ok(told)
}

/// Makes a server the leader of a stream.
pub async fn lead(stage: &mut Stage, stream: &str, node: usize) -> Result<()> {
    let name = stage.node(node).name().to_owned();
    let question = json!({ "placement": { "preferred": name } }).to_string();
    let subject = format!("$JS.API.STREAM.LEADER.STEPDOWN.{stream}");
    let deadline = Instant::now() + PATIENCE;
    while stage.cluster()?.leader_of(stream).await? != node {
        ensure!(Instant::now() < deadline, "node {node} does not become the leader of {stream}");
        let mut line = Line::open(&stage.node(node).url()).await?;
        line.ask(&subject, 0, &question).await?;
        drop(timeout(5 * PAUSE, line.answer()).await);
        sleep(5 * PAUSE).await;
    }
    Ok(())
}

/// A connection in the servers' own protocol.
struct Line {
    wire: BufReader<TcpStream>,
}

impl Line {
    async fn open(url: &str) -> Result<Self> {
        let address: SocketAddr = url.trim_start_matches("nats://").parse()?;
        let mut wire = BufReader::new(TcpStream::connect(address).await?);
        wire.get_mut().write_all(b"CONNECT {\"verbose\":false}\r\nSUB answer.* 1\r\n").await?;
        Ok(Self { wire })
    }

    /// Asks; `mark` is what the answer will bear.
    async fn ask(&mut self, subject: &str, mark: u64, question: &str) -> Result<()> {
        let size = question.len();
        let said = format!("PUB {subject} answer.{mark} {size}\r\n{question}\r\n");
        Ok(self.wire.get_mut().write_all(said.as_bytes()).await?)
    }

    /// The next answer and its mark.
    async fn answer(&mut self) -> Result<(u64, Value)> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = timeout(PATIENCE, self.wire.read_line(&mut line)).await?;
            ensure!(read? > 0, "the server hung up");
            if line.starts_with("PING") {
                self.wire.get_mut().write_all(b"PONG\r\n").await?;
            }
            let Some(head) = line.strip_prefix("MSG answer.") else { continue };
            let mut words = head.split_whitespace();
            let mark = words.next().context("an answer has a mark")?.parse()?;
            let mut answer = vec![0; words.last().context("it has a size")?.parse()?];
            self.wire.read_exact(&mut answer).await?;
            return Ok((mark, serde_json::from_slice(&answer)?));
        }
    }
}
