//! What an agent says of itself to those who cannot reach it: that it runs, and
//! which models may be asked for. A record of its own, said again before it is
//! too old, and taken away when the agent stops.
//!
//! Nothing depends on it but what is shown: an agent whose record cannot be
//! written answers all the same.

use std::sync::Arc;
use std::time::Duration;

use broker::{Bucket, Expected, Key, Records};
use process::Lifecycle;
use prost::Message as _;
use proto::{AgentRecord, FORMAT, timestamp};
use tokio::time::{sleep, timeout};

/// Where it is said.
const BUCKET: Bucket = Bucket::Agents;
/// How often it is said.
const EVERY: Duration = Duration::from_secs(30);
/// How long it counts: two may be lost.
const LASTS: Duration = Duration::from_secs(100);
/// How long taking it away may hold up the stop.
const LEAVING: Duration = Duration::from_secs(2);

/// Says what the agent offers until it stops.
pub(crate) async fn run(records: Arc<dyn Records>, models: Vec<String>, life: Lifecycle) {
    let key = Key::agents().child(&format!("{:016x}", rand::random::<u64>()));
    let since = process::clock::now();
    while !life.is_draining() {
        let said = record(&models, since, process::clock::now()).encode_to_vec();
        tokio::select! {
            biased;
            () = life.draining() => {}
            put = records.put(BUCKET, &key, said.into(), Expected::Any) => {
                if let Err(error) = put {
                    tracing::warn!(%error, "the agent could not say what it offers");
                }
            }
        }
        tokio::select! {
            biased;
            () = life.draining() => {}
            () = sleep(EVERY) => {}
        }
    }
    // Otherwise it lapses.
    if let Ok(Err(error)) = timeout(LEAVING, records.delete(BUCKET, &key)).await {
        tracing::debug!(%error, "the agent could not say that it stops");
    }
}

fn record(models: &[String], since: Duration, now: Duration) -> AgentRecord {
    AgentRecord {
        version: FORMAT,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        models: models.to_vec(),
        since: Some(timestamp(since)),
        until: Some(timestamp(now + LASTS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use broker::sqlite::{Place, open};
    use broker::{Limits, Records};

    /// What is said at this moment, by all agents.
    async fn said(records: &dyn Records) -> Vec<AgentRecord> {
        let found = records.below(BUCKET, &Key::agents()).await.unwrap();
        found.into_iter().map(|it| AgentRecord::decode(it.1.value).unwrap()).collect()
    }

    #[tokio::test]
    async fn an_agent_is_known_while_it_runs_and_no_longer() {
        let broker = open(Place::Memory, Limits::default()).await.unwrap();
        let (records, life) = (broker.records, Lifecycle::new());
        let models = vec!["extractive".to_owned(), "openai/<name>".to_owned()];
        life.spawn(run(Arc::clone(&records), models.clone(), life.clone()));
        let now = process::clock::now().as_secs();
        let known = async {
            loop {
                let said = said(records.as_ref()).await;
                if let Some(one) = said.first() {
                    return one.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        let known = timeout(Duration::from_secs(10), known).await.unwrap();
        assert_eq!(known.models, models);
        let until = known.until.unwrap().seconds.cast_unsigned();
        assert!((now + 90..now + 200).contains(&until), "{now} {until}");
        life.drain();
        life.wait(Duration::from_secs(10)).await.unwrap();
        assert_eq!(said(records.as_ref()).await, []);
    }
}
