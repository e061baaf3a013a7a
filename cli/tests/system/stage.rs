//! The processes that the tests need, and what a client does with them.

use anyhow::{Context as _, Result, ensure};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testkit::model::{FakeModel, Script};
use testkit::nats::Server;
use testkit::process::{Weir, command};
use testkit::sse::{Frame, Sse};
use tokio::process::Command;

/// A command line of the binary under test.
pub(crate) fn weir(arguments: &[&str]) -> Command {
    command(env!("CARGO_BIN_EXE_weir"), arguments)
}

/// Starts everything in one process on free ports. `more` are further flags.
pub(crate) async fn up(more: &[&str]) -> Result<Weir> {
    let mut arguments = vec!["up", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    arguments.extend(more);
    Weir::start(weir(&arguments)).await
}

/// The roles as processes of their own, on one nats-server and one model.
pub(crate) struct Fleet {
    pub(crate) nats: Server,
    pub(crate) model: FakeModel,
    pub(crate) agent: Weir,
    pub(crate) workers: Vec<Weir>,
    pub(crate) gateways: Vec<Weir>,
}

impl Fleet {
    /// One agent, two workers, two gateways.
    pub(crate) async fn start() -> Result<Self> {
        let (nats, model) = (Server::start().await?, FakeModel::start().await?);
        let mut agent = weir(&["agent", "--grpc", "127.0.0.1:0", "--model", "openai/script"]);
        agent.env("NATS_URL", nats.url()).env("OPENAI_BASE_URL", model.base_url());
        let agent = Weir::start(agent).await?;
        let url = format!("http://{}", agent.value("grpc")?);
        let worker = || start_worker(&nats, &url);
        let gateway =
            || Weir::start(weir(&["gateway", "--nats", &nats.url(), "--http", "127.0.0.1:0"]));
        let (workers, gateways) = tokio::try_join!(
            async { anyhow::Ok(vec![worker().await?, worker().await?]) },
            async { anyhow::Ok(vec![gateway().await?, gateway().await?]) },
        )?;
        Ok(Self { nats, model, agent, workers, gateways })
    }

    /// One more worker.
    pub(crate) async fn worker(&self) -> Result<Weir> {
        start_worker(&self.nats, &format!("http://{}", self.agent.value("grpc")?)).await
    }

    /// A client of the n-th gateway.
    pub(crate) fn client(&self, gateway: usize) -> Result<Client> {
        Client::of(&self.gateways[gateway])
    }
}

async fn start_worker(nats: &Server, agent: &str) -> Result<Weir> {
    Weir::start(weir(&["worker", "--nats", &nats.url(), "--agent", agent])).await
}

/// An HTTP client of one gateway, for one user.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    user: String,
}

impl Client {
    pub(crate) fn of(gateway: &Weir) -> Result<Self> {
        let base = gateway.value("page")?.trim_end_matches('/').to_owned();
        Ok(Self { http: reqwest::Client::new(), base, user: "test_user".to_owned() })
    }

    pub(crate) fn user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    /// With a connection of its own for every request.
    pub(crate) fn apart(self) -> Result<Self> {
        Ok(Self { http: reqwest::Client::builder().pool_max_idle_per_host(0).build()?, ..self })
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// Asks, and reads the answer as SSE.
    pub(crate) async fn ask(&self, session: &str, input: &str) -> Result<Sse> {
        let request = self.post(&format!("/v1/sessions/{session}/turns"));
        let body = json!({ "userId": self.user, "input": input });
        Sse::open(request.header("accept", "text/event-stream").json(&body).send().await?).await
    }

    /// Asks; the turn's id and the position to follow it from.
    pub(crate) async fn submit(&self, session: &str, input: &str) -> Result<(String, String)> {
        let request = self.post(&format!("/v1/sessions/{session}/turns"));
        let body = json!({ "userId": self.user, "input": input });
        let response = request.header("prefer", "respond-async").json(&body).send().await?;
        ensure!(response.status() == StatusCode::ACCEPTED, "{}", response.text().await?);
        let accepted: Value = response.json().await?;
        let text = |name: &str| accepted[name].as_str().map(str::to_owned).context("a field");
        Ok((text("turnId")?, text("position")?))
    }

    /// A session's events after a position, or from `start` or `now`.
    pub(crate) async fn events(&self, session: &str, after: &str) -> Result<Sse> {
        let request = self.get(&format!("/v1/sessions/{session}/events"));
        Sse::open(request.query(&[("userId", self.user.as_str()), ("after", after)]).send().await?)
            .await
    }

    /// A session's events as an `EventSource` that lost its connection asks.
    pub(crate) async fn resume(&self, session: &str, last: &str) -> Result<Sse> {
        let request = self.get(&format!("/v1/sessions/{session}/events"));
        let request = request.query(&[("userId", &self.user)]).header("last-event-id", last);
        Sse::open(request.send().await?).await
    }

    /// What a session says about itself.
    pub(crate) async fn session(&self, session: &str) -> Result<Value> {
        let request = self.get(&format!("/v1/sessions/{session}"));
        let response = request.query(&[("userId", &self.user)]).send().await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.text().await?);
        Ok(response.json().await?)
    }

    /// Decides calls of an interrupted turn that wait for a human.
    pub(crate) fn decide(&self, session: &str, turn: &str, decisions: &[Value]) -> RequestBuilder {
        let body = json!({ "userId": self.user, "turnId": turn, "decisions": decisions });
        self.post(&format!("/v1/sessions/{session}/decisions")).json(&body)
    }

    /// What is remembered about the user.
    pub(crate) async fn memories(&self) -> Result<Value> {
        let request = self.get("/v1/memories").query(&[("userId", &self.user)]);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Forgets something about the user; the status of the answer.
    pub(crate) async fn forget(&self, memory: &str) -> Result<StatusCode> {
        self.delete(&format!("/v1/memories/{memory}")).await
    }

    /// Erases a session; the status of the answer.
    pub(crate) async fn erase(&self, session: &str) -> Result<StatusCode> {
        self.delete(&format!("/v1/sessions/{session}")).await
    }

    async fn delete(&self, path: &str) -> Result<StatusCode> {
        let request = self.http.delete(format!("{}{path}", self.base));
        Ok(request.query(&[("userId", &self.user)]).send().await?.status())
    }

    /// Stops whatever runs in a session, or one turn of it.
    pub(crate) async fn cancel(
        &self,
        session: &str,
        turn: Option<&str>,
    ) -> Result<reqwest::Response> {
        let mut body = json!({ "userId": self.user });
        if let Some(turn) = turn {
            body["turnId"] = turn.into();
        }
        Ok(self.post(&format!("/v1/sessions/{session}/cancel")).json(&body).send().await?)
    }
}

/// The question that makes the fake model say this many tokens at this pace.
pub(crate) fn tokens(tokens: usize, every_ms: u64) -> String {
    Script { tokens: Some(tokens), every_ms, ..Script::default() }.question()
}

/// What [`tokens`] makes the model say.
pub(crate) fn said(tokens: usize) -> String {
    let words: Vec<_> = (0..tokens).map(|i| format!("t{i} ")).collect();
    words.concat()
}

/// All the text in these frames.
pub(crate) fn text(frames: &[Frame]) -> String {
    frames
        .iter()
        .filter(|it| it.is("text"))
        .map(|it| it.json()["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Whether a turn ends with this frame.
pub(crate) fn is_end(frame: &Frame) -> bool {
    ["completed", "interrupted", "failed", "cancelled"].into_iter().any(|kind| frame.is(kind))
}
