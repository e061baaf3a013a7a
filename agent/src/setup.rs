//! An agent's parts, from its configuration: each of them once, and what one
//! needs of another given to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker::Records;
use knowledge::{Library, Progress};
use memory::{Embedder, Memories};
use model::{Embeddings, Model, Models};
use process::Lifecycle;
use tool::mcp::Servers;

use crate::engine::Engine;
use crate::extractive::{EXTRACTIVE, Extractive};
use crate::ledger::Ledgers;
use crate::policy::Policy;
use crate::review::Reviews;
use crate::tools::Toolbox;
use crate::transcript::Transcripts;
use crate::{Config, Error, metrics};

/// Instructions when the configuration brings none.
const DEFAULT_SYSTEM: &str = "You are a helpful assistant. Answer in the language of the question.";

/// How long the start waits for the servers of tools; later ones are there once
/// they answer.
const CONNECT: Duration = Duration::from_secs(5);

/// What answers questions, and what it is, for people.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) model: String,
}

/// Checks the configuration, reads the knowledge that is needed, and connects
/// to the servers of tools; `progress` hears how far the reading is. What must go on beside the turns, and end after
/// them, is a task behind `life`.
pub(crate) async fn set_up(
    config: Config,
    records: Arc<dyn Records>,
    life: &Lifecycle,
    progress: Progress,
) -> Result<Parts, Error> {
    let standard = config.standard();
    let library = Arc::new(Library::telling(config.knowledge.folders.clone(), progress));
    let own = vec![Arc::new(Extractive::new(Arc::clone(&library))) as Arc<dyn Model>];
    let models = Arc::new(Models::new(&standard, own, config.providers)?);
    let fallback = config.fallback.iter().map(|it| named(&models, it)).collect::<Result<_, _>>()?;
    metrics::configured(models.names().into_iter().chain(config.fallback));
    let memories = remembering(&config.memory, &models, Arc::clone(&records))?;
    let model = introduced(&standard, &models, &library, &config.knowledge).await?;
    library.watch(&life.behind());
    let servers = Servers::start(config.servers, config.pins, life.behind());
    if !servers.ready(CONNECT).await {
        tracing::info!("some servers of tools do not answer yet; their tools come when they do");
    }
    let engine = Engine {
        transcripts: Transcripts::new(Arc::clone(&records)),
        ledgers: Ledgers::new(Arc::clone(&records)),
        reviews: Reviews::new(records),
        tools: Toolbox::new(&memories, &library, servers),
        memories,
        models,
        fallback,
        policy: Policy::new(config.tools),
        system: config.system.unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()),
        times: config.times,
        limits: config.limits,
        memory_budget: config.memory.budget,
        review_expires: config.review_expires,
    };
    Ok(Parts { engine, model })
}

fn named(models: &Models, name: &str) -> Result<Arc<dyn Model>, Error> {
    let unknown = || unknown(models, name);
    models.named(name).ok_or_else(unknown)
}

fn unknown(models: &Models, name: &str) -> Error {
    Error::Model(model::Error::Unknown { name: name.to_owned(), allowed: models.allowed() })
}

fn remembering(
    config: &crate::Memory,
    models: &Models,
    records: Arc<dyn Records>,
) -> Result<Memories, Error> {
    let memories = Memories::new(records);
    let Some(name) = &config.embeddings else {
        return Ok(memories);
    };
    let embeddings = models.embeddings(name).ok_or_else(|| unknown(models, name))?;
    Ok(memories.embedded(Arc::new(Meaning(embeddings))))
}

/// The model that answers by default, for people. Knowledge that is configured,
/// or answered from, must be there.
async fn introduced(
    standard: &str,
    models: &Models,
    library: &Arc<Library>,
    config: &crate::Knowledge,
) -> Result<String, Error> {
    if standard != EXTRACTIVE && config.folders.is_empty() {
        let place = models.place(standard);
        return Ok(place.map_or_else(|| standard.to_owned(), |it| format!("{standard} at {it}")));
    }
    let index = library.index().await?;
    if standard != EXTRACTIVE {
        return Ok(standard.to_owned());
    }
    let (documents, passages) = (index.documents(), index.passages());
    Ok(format!("{standard} ({documents} documents, {passages} passages)"))
}

/// A provider's embeddings, as memories use them.
#[derive(Debug)]
struct Meaning(Embeddings);

#[async_trait]
impl Embedder for Meaning {
    fn model(&self) -> &str {
        self.0.name()
    }

    async fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        self.0.embed(texts).await.map_err(|it| it.message)
    }
}
