//! An agent on a free port, its model and its store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, Config, Provider};
use broker::Records;
use broker::sqlite::Place;
use futures::StreamExt as _;
use process::Lifecycle;
use proto::ask_event::Kind;
use proto::knowledge_agent_client::KnowledgeAgentClient;
use proto::{AskEvent, AskRequest, CancelRequest, Message, TurnId};
use testkit::model::{FakeModel, Script};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

pub(crate) type Client = KnowledgeAgentClient<Channel>;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) channel: Channel,
    pub(crate) model: FakeModel,
    pub(crate) life: Lifecycle,
}

impl Drop for World {
    fn drop(&mut self) {
        self.life.abort();
    }
}

impl World {
    /// An agent whose standard model is the scripted one.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, records().await).await
    }

    /// An agent that answers from these folders.
    pub(crate) async fn extractive(knowledge: &[&std::path::Path]) -> Self {
        let folders = knowledge.iter().map(|it| (*it).to_owned()).collect();
        let change = |config: &mut Config| {
            config.model = None;
            config.providers.clear();
            config.knowledge.folders = folders;
        };
        Self::with(change, records().await).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config), records: Arc<dyn Records>) -> Self {
        let model = FakeModel::start().await.unwrap();
        let mut config = Config {
            model: Some("openai/script".to_owned()),
            providers: openai(Some("sk-very-secret"), Some(&model.base_url())),
            ..Config::default()
        };
        config.times.retry_pause = Duration::from_millis(1);
        change(&mut config);
        let life = Lifecycle::new();
        let agent = Agent::new(config, records, life.clone()).await.unwrap();
        assert!(agent.tried_servers(Duration::from_mins(1)).await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = agent.clone();
        life.serve("agent", async move { serving.serve(agent::incoming(listener)).await });
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = channel.connect().await.unwrap();
        Self { client: Client::new(channel.clone()), channel, model, life }
    }

    pub(crate) async fn ask(&self, request: AskRequest) -> Result<Streaming<AskEvent>, Status> {
        let answer = self.client.clone().ask(request).await?;
        Ok(answer.into_inner())
    }

    /// Asks and reads to the end.
    pub(crate) async fn answer(&self, request: AskRequest) -> Answer {
        Answer::read(self.ask(request).await.unwrap()).await
    }

    pub(crate) async fn cancel(&self, request: &AskRequest) -> bool {
        let request = CancelRequest {
            user_id: request.user_id.clone(),
            session_id: request.session_id.clone(),
            turn_id: request.turn_id.clone(),
        };
        let answer = self.client.clone().cancel(request).await.unwrap();
        answer.into_inner().found
    }
}

pub(crate) async fn records() -> Arc<dyn Records> {
    let broker = broker::sqlite::open(Place::Memory, broker::Limits::default());
    broker.await.unwrap().records
}

/// One provider, under the name `openai`; none without key and URL.
pub(crate) fn openai(key: Option<&str>, url: Option<&str>) -> BTreeMap<String, Provider> {
    let provider = Provider {
        key: key.map(Into::into),
        base_url: url.map(str::to_owned),
        ..Provider::default()
    };
    let given = key.is_some() || url.is_some();
    given.then(|| ("openai".to_owned(), provider)).into_iter().collect()
}

/// A question of ann's in session `s`, with a new turn id.
pub(crate) fn question(content: &str) -> AskRequest {
    AskRequest {
        user_id: "ann".to_owned(),
        session_id: "s".to_owned(),
        turn_id: TurnId::new().to_string(),
        messages: vec![message("user", content)],
        ..AskRequest::default()
    }
}

pub(crate) fn script(script: &Script) -> AskRequest {
    question(&script.question())
}

pub(crate) fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() }
}

/// The same turn, for a caller that has everything up to `index` and knows no
/// runs.
pub(crate) fn again(request: &AskRequest, index: u32) -> AskRequest {
    AskRequest { resume_after: index, ..request.clone() }
}

/// The next event; within a bound, so that a test cannot hang.
pub(crate) async fn next(events: &mut Streaming<AskEvent>) -> AskEvent {
    let next = tokio::time::timeout(Duration::from_secs(20), events.next());
    next.await.expect("an event in time").unwrap().unwrap()
}

/// Reads until the event with this index, and returns what was read.
pub(crate) async fn until(events: &mut Streaming<AskEvent>, index: u32) -> Vec<AskEvent> {
    let mut read = Vec::new();
    while read.last().is_none_or(|it: &AskEvent| it.index < index) {
        read.push(next(events).await);
    }
    read
}

/// Everything a stream said to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) events: Vec<AskEvent>,
}

impl Answer {
    pub(crate) async fn read(events: Streaming<AskEvent>) -> Self {
        let all = events.map(Result::unwrap).collect();
        let all = tokio::time::timeout(Duration::from_secs(20), all);
        Self { events: all.await.expect("an end in time") }
    }

    pub(crate) fn text(&self) -> String {
        texts(&self.events)
    }

    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.events.iter().filter_map(|it| it.kind.as_ref())
    }

    pub(crate) fn end(&self) -> &Kind {
        self.kinds().last().expect("a terminal event")
    }

    /// The code of the failure that ended it, and whether it is retryable.
    pub(crate) fn failure(&self) -> (&str, bool) {
        let Kind::Failed(failed) = self.end() else {
            panic!("not failed: {:?}", self.end());
        };
        (&failed.code, failed.retryable)
    }

    pub(crate) fn completed(&self) -> bool {
        matches!(self.end(), Kind::Completed(_))
    }
}

pub(crate) fn texts(events: &[AskEvent]) -> String {
    let text = |it: &AskEvent| match &it.kind {
        Some(Kind::Text(text)) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}
