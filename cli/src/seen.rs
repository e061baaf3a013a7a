//! What operators see of a process that serves: its admin address, if it has
//! one. Without it nothing is measured.

use std::sync::Arc;

use anyhow::ensure;
use broker::{Broker, Bucket, Key, Records};
use process::Lifecycle;
use process::admin::Admin;
use process::metrics::{Metric, install};

use crate::flags::Seen;
use crate::{banner, roles};

/// What the gateway, the worker and the agent measure.
pub(crate) const GATEWAY: &[Metric] = gateway::metrics::METRICS;
pub(crate) const WORKER: &[Metric] = broker_worker::metrics::METRICS;
pub(crate) const AGENT: &[Metric] = agent::metrics::METRICS;

/// The admin address of a process, if it has one.
#[derive(Debug)]
pub(crate) struct Window(Option<Admin>);

/// Opens the admin address, before anything else is set up: from then on it
/// tells that the process lives and is starting.
///
/// Errors: other machines could read it, and nobody said that they may; the port
/// is taken.
pub(crate) async fn open(
    flags: Seen,
    (role, tables): (&'static str, &[&[Metric]]),
    life: &Lifecycle,
) -> anyhow::Result<Window> {
    let Some(address) = flags.admin else { return Ok(Window(None)) };
    ensure!(
        address.ip().is_loopback() || flags.admin_without_authentication,
        "--admin {address}: nobody proves there who they are: if only operators can reach it from \
         other machines, say --admin-without-authentication"
    );
    let listener = roles::listen(address, "--admin").await?;
    banner::say("admin", format_args!("http://{}/", listener.local_addr()?));
    Ok(Window(Some(Admin::serve(listener, install(role, tables), life))))
}

impl Window {
    /// Ready only while the queue answers.
    pub(crate) fn queue(&self, broker: &Broker) -> &Self {
        if let Some(admin) = &self.0 {
            let broker = broker.clone();
            admin.check("broker", move || {
                let broker = broker.clone();
                async move { broker.queue.depth().await.map(drop).map_err(|it| it.to_string()) }
            });
        }
        self
    }

    /// The queue's depth is told.
    pub(crate) fn depth(&self, broker: &Broker) -> &Self {
        if let Some(admin) = &self.0 {
            let broker = broker.clone();
            admin.sample(move || {
                let broker = broker.clone();
                async move { gateway::metrics::look(&broker).await }
            });
        }
        self
    }

    /// Ready only while the records answer.
    pub(crate) fn records(&self, records: &Arc<dyn Records>) -> &Self {
        if let Some(admin) = &self.0 {
            let records = Arc::clone(records);
            admin.check("records", move || {
                let records = Arc::clone(&records);
                async move { reached(&*records).await }
            });
        }
        self
    }

    /// Everything is set up.
    pub(crate) fn ready(&self) {
        if let Some(admin) = &self.0 {
            admin.ready();
        }
    }
}

/// Whether records can be read, by one that need not be there.
async fn reached(records: &dyn Records) -> Result<(), String> {
    let nobody = "readyz".parse().map_err(|_never| "no key".to_owned())?;
    let read = records.get(Bucket::Ledgers, &Key::user(&nobody)).await;
    read.map(drop).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../docs/metrics.md");

    fn row(it: &Metric) -> String {
        let labels: Vec<_> = it.labels.iter().map(|it| format!("`{it}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(" ") };
        format!("| `{}` | {} | {labels} | {} |", it.name, it.kind.name(), it.meaning)
    }

    fn all() -> impl Iterator<Item = &'static Metric> {
        [GATEWAY, WORKER, AGENT, process::metrics::METRICS].into_iter().flatten()
    }

    #[test]
    fn the_page_tells_every_metric_and_no_other() {
        let told: Vec<_> = PAGE.lines().filter(|it| it.starts_with("| `")).collect();
        let measured: Vec<_> = all().map(row).collect();
        assert_eq!(told, measured, "\n{}", measured.join("\n"));
    }

    #[test]
    fn names_say_what_they_are_and_come_once() {
        let mut names = std::collections::BTreeSet::new();
        for metric in all() {
            let Metric { name, kind, .. } = metric;
            assert!(names.insert(*name), "{name} comes twice");
            let total = name.ends_with("_total");
            assert_eq!(total, *kind == process::metrics::Kind::Counter, "{name}");
            if let process::metrics::Kind::Histogram(bounds) = kind {
                assert!(bounds.is_sorted() && !bounds.is_empty(), "{name}");
                assert!(name.ends_with("_seconds") || name.ends_with("_usage"), "{name}");
            }
        }
    }

    #[test]
    fn every_name_that_a_query_of_the_page_uses_is_measured() {
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let begins = ["weir_", "gen_ai_", "process_"];
        let queries = PAGE.split("```").skip(1).step_by(2).filter(|it| it.starts_with("promql"));
        let mut used = 0;
        for name in queries.flat_map(|it| it.split(word)) {
            let label = all().any(|it| it.labels.contains(&name));
            if label || !begins.iter().any(|it| name.starts_with(it)) {
                continue;
            }
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|it| name.strip_suffix(it));
            let base = base.unwrap_or(name);
            assert!(all().any(|it| it.name == base || it.name == name), "{name}");
            used += 1;
        }
        assert!(used >= 10, "the page has queries");
    }
}
