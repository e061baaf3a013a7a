//! Whether this process lives, can serve, and what it runs on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::Synced;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::document::refusals;
use crate::edge::{Edge, Shared};
use crate::openai::{self, Agent};
use crate::problem::{Code, Refusal};

/// How long the broker may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it counts what the broker last showed.
const FRESH: Duration = Duration::from_secs(1);

/// Whether the broker was there when it was last asked. However many ask, it is
/// asked once in a while, by one of them.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), Refusal>)>>);

impl Readiness {
    async fn ask(&self, edge: &Edge) -> Result<(), Refusal> {
        let mut known = self.0.lock().await;
        match &*known {
            Some((at, known)) if at.elapsed() < FRESH => known.clone(),
            Some(_) | None => {
                let found = depth(edge).await.map(drop);
                *known = Some((Instant::now(), found.clone()));
                found
            }
        }
    }
}

/// That it is well.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServerStatus)]
struct Status {
    version: &'static str,
    broker: Broker,
    queue: Queue,
    /// Those that said lately that they run.
    agents: Vec<Agent>,
    /// What a question may name, the agents' own model first.
    models: Vec<String>,
}

/// Where everything is kept.
#[derive(Debug, Serialize, ToSchema)]
struct Broker {
    kind: &'static str,
    /// Where that is; left out for who is not an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// What an acknowledgement is worth, in a sentence.
    durability: String,
    /// The same in a word: `memory`, `disk`, `replicated` or `fsynced`.
    level: &'static str,
    /// On how many machines everything is kept.
    copies: usize,
    /// When it is safe from a power cut: `always`, `never`, `unknown: …`, or
    /// `within` a number of seconds.
    synced: String,
}

/// What waits.
#[derive(Debug, Serialize, ToSchema)]
struct Queue {
    /// Unfinished jobs of all sessions.
    depth: u64,
}

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "server",
    security(()),
    responses((status = 200, description = "It does", body = Health), refusals::Common),
)]
pub(crate) async fn healthz() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// Whether the process takes work
///
/// It does when it reaches its broker and does not stop.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "server",
    security(()),
    responses((status = 200, description = "It does", body = Health), refusals::Common),
)]
pub(crate) async fn readyz(State(edge): Shared) -> Result<impl IntoResponse, Refusal> {
    if edge.life.is_draining() {
        return Err(Refusal::new(Code::Draining, "this server stops"));
    }
    edge.readiness.ask(&edge).await?;
    Ok(Json(Health { status: "ready" }))
}

/// What runs here
///
/// Versions, where everything is kept and what that is worth, what waits, agents
/// and their models.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "server",
    responses((status = 200, description = "How it is", body = Status), refusals::Common),
)]
pub(crate) async fn status(
    State(edge): Shared,
    caller: Caller,
) -> Result<impl IntoResponse, Refusal> {
    caller.count()?;
    let profile = edge.broker.profile.clone();
    let mut agents = edge.within(openai::offered(&edge)).await?;
    if !caller.may_operate() {
        for agent in &mut agents {
            agent.id = None;
        }
    }
    Ok(Json(Status {
        models: openai::names(&agents),
        agents,
        version: env!("CARGO_PKG_VERSION"),
        queue: Queue { depth: depth(&edge).await? },
        broker: Broker {
            kind: profile.kind,
            place: caller.may_operate().then_some(profile.place),
            durability: profile.durability,
            level: profile.level.name(),
            copies: profile.copies,
            synced: synced(profile.synced),
        },
    }))
}

fn synced(synced: Synced) -> String {
    match synced {
        Synced::Always => "always".to_owned(),
        Synced::Within(window) => format!("within {} s", window.as_secs_f64()),
        Synced::Never => "never".to_owned(),
        Synced::Unknown(why) => format!("unknown: {why}"),
    }
}

async fn depth(edge: &Edge) -> Result<u64, Refusal> {
    match timeout(PATIENCE.min(edge.config.broker_timeout), edge.broker.queue.depth()).await {
        Ok(depth) => Ok(depth?),
        Err(_elapsed) => {
            let error = broker::Error::Unavailable("no answer in time".to_owned());
            Err(error.into())
        }
    }
}
