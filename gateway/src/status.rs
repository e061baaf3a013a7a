//! Whether this process lives, can serve, and what it runs on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use broker::Synced;
use serde::Serialize;
use tokio::time::timeout;

use crate::edge::Shared;
use crate::problem::{Code, Refusal};

/// How long the broker may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    broker: Broker,
    queue: Queue,
}

#[derive(Debug, Serialize)]
struct Broker {
    kind: &'static str,
    place: String,
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

#[derive(Debug, Serialize)]
struct Queue {
    /// Unfinished jobs of all sessions.
    depth: u64,
}

/// `GET /healthz`: the process answers.
pub(crate) async fn healthz() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// `GET /readyz`: the process takes work and reaches its broker.
pub(crate) async fn readyz(State(edge): Shared) -> Result<impl IntoResponse, Refusal> {
    if edge.life.is_draining() {
        return Err(Refusal::new(Code::Draining, "this server stops"));
    }
    depth(&edge).await?;
    Ok(Json(Health { status: "ready" }))
}

/// `GET /v1/status`
pub(crate) async fn status(State(edge): Shared) -> Result<impl IntoResponse, Refusal> {
    let profile = edge.broker.profile.clone();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        queue: Queue { depth: depth(&edge).await? },
        broker: Broker {
            kind: profile.kind,
            place: profile.place,
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

async fn depth(edge: &crate::edge::Edge) -> Result<u64, Refusal> {
    match timeout(PATIENCE.min(edge.config.broker_timeout), edge.broker.queue.depth()).await {
        Ok(depth) => Ok(depth?),
        Err(_elapsed) => {
            let error = broker::Error::Unavailable("no answer in time".to_owned());
            Err(error.into())
        }
    }
}
