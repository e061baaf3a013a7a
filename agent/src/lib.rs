//! The agent: `weir.v1.KnowledgeAgent` over gRPC, with health and reflection.
//!
//! Holds only live buffers, which may be lost at the price of a `rewind`; what
//! must last is in `Records`. Chooses nothing about delivery and calls nobody
//! back.

mod announce;
mod buffer;
pub mod config;
mod engine;
mod extractive;
mod ledger;
pub mod metrics;
mod policy;
mod reader;
mod registry;
mod request;
mod review;
mod secure;
mod server;
mod setup;
mod store;
mod tools;
mod trace;
mod transcript;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use broker::Records;
use futures::{Stream, StreamExt as _};
use knowledge::Progress;
use process::Lifecycle;
use proto::DESCRIPTORS;
use proto::knowledge_agent_server::KnowledgeAgentServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::server::Connected;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::registry::Registry;
pub use crate::secure::{PROTOCOLS, secured};
use crate::server::Service;
pub use crate::server::incoming;
use crate::setup::{Parts, set_up};
pub use config::{
    Config, Found, Knowledge, Limits, Memory, Protocol, Provider, Reach, Times, Tools, Verdict, mcp,
};
pub use knowledge;

/// Turns that run at once, over all connections.
const MAX_RUNNING: usize = 10_000;

/// Ended turns that are kept for callers that were cut, and their bytes.
const MAX_ENDED: usize = 10_000;
const MAX_ENDED_BYTES: usize = 128 * 1024 * 1024;

/// Why an agent cannot start or serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model cannot be used.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// The knowledge cannot be used.
    #[error(transparent)]
    Knowledge(#[from] knowledge::Error),
    /// The contract's descriptors cannot be served.
    #[error("no reflection: {0}")]
    Reflection(String),
    /// The transport failed.
    #[error("gRPC: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// A running agent. Clones share everything.
#[derive(Debug, Clone)]
pub struct Agent {
    service: Service,
    health: HealthReporter,
    model: Arc<str>,
}

impl Agent {
    /// Checks the configuration, reads the knowledge that is needed and builds
    /// its index. Transcripts live in `records`; turns are tasks of `life`.
    pub async fn new(
        config: Config,
        records: Arc<dyn Records>,
        life: Lifecycle,
    ) -> Result<Self, Error> {
        Self::telling(config, records, life, Progress::default()).await
    }

    /// The same; while the knowledge is read, it says in `progress` how far that
    /// is.
    pub async fn telling(
        config: Config,
        records: Arc<dyn Records>,
        life: Lifecycle,
        progress: Progress,
    ) -> Result<Self, Error> {
        let grace = config.grace;
        let Parts { engine, model } = set_up(config, records, &life, progress).await?;
        let registry = Registry::new(registry::Limits {
            running: MAX_RUNNING,
            ended: MAX_ENDED,
            ended_bytes: MAX_ENDED_BYTES,
            grace,
        });
        Ok(Self {
            service: Service { engine: Arc::new(engine), registry, life },
            health: HealthReporter::new(),
            model: model.into(),
        })
    }

    /// Says in `records`, until the drain, that it runs and which models may be
    /// asked for.
    pub fn announce(&self, records: Arc<dyn Records>) {
        let Service { engine, life, .. } = &self.service;
        let models = engine.models.names();
        life.spawn_as("announcements", announce::run(records, models, life.clone()));
    }

    /// The model that answers by default, for people.
    pub fn model(&self) -> String {
        self.model.to_string()
    }

    /// The most that it lets a turn take.
    pub fn turn_limit(&self) -> Duration {
        self.service.engine.times.turn
    }

    /// Waits, at most so long, until every server of tools was tried once;
    /// whether all were. The start has waited a little already.
    pub async fn tried_servers(&self, time: Duration) -> bool {
        self.service.engine.tools.tried(time).await
    }

    /// Serves on these connections until the drain: then health says so, no
    /// connection is taken, and running streams go on to their end. May be
    /// called for several kinds of connections. That none comes any more does
    /// not end it; only the drain does.
    pub async fn serve<IO, S>(&self, incoming: S) -> Result<(), Error>
    where
        IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
        S: Stream<Item = std::io::Result<IO>> + Send + 'static,
    {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let refused = |error: tonic_reflection::server::Error| Error::Reflection(error.to_string());
        self.say(ServingStatus::Serving).await;
        // An incoming stream that ends would begin a shutdown.
        let incoming = incoming.chain(futures::stream::pending());
        server::transport()
            .add_service(self.service.clone().server())
            .add_service(HealthServer::new(HealthService::from_health_reporter(
                self.health.clone(),
            )))
            .add_service(reflection().build_v1().map_err(refused)?)
            .add_service(reflection().build_v1alpha().map_err(refused)?)
            .serve_with_incoming_shutdown(incoming, self.drained())
            .await?;
        Ok(())
    }

    async fn drained(&self) {
        self.service.life.draining().await;
        self.say(ServingStatus::NotServing).await;
    }

    async fn say(&self, status: ServingStatus) {
        let name = <KnowledgeAgentServer<Service> as tonic::server::NamedService>::NAME;
        self.health.set_service_status("", status).await;
        self.health.set_service_status(name, status).await;
    }
}
