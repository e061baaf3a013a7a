//! What a process says about itself while it runs: log lines on standard error,
//! filtered by `RUST_LOG`, and traces, exported by OTLP when the environment
//! says where to.
//!
//! A setting that cannot be used is told and does not keep a process from its
//! work.

mod export;
mod lines;
mod settings;
mod stream;

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::environment;
use crate::trace::{Hops, is_hop};
pub use lines::Format;
pub use stream::{Aside, put_aside};

/// How long the last spans of a process may take to be exported: a collector
/// that does not answer holds up its end no longer.
const FLUSH: Duration = Duration::from_secs(3);

/// Installs the log of a process that serves nobody: text, and no traces.
/// `default` is the filter when `RUST_LOG` is not set or cannot be read, which
/// is said. A second call changes nothing.
pub fn telemetry(default: &str) {
    install(default, Format::Text, None);
}

/// What is still to be exported when a process ends.
#[derive(Debug)]
#[must_use = "spans that were not flushed are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Installs the log of a process that serves in this role, and the export
    /// of its traces, if the environment asks for it; see [`telemetry`]. Needs a
    /// runtime.
    pub fn start(role: &str, default: &str, format: Format) -> Self {
        let wanted = settings::wanted(environment::get);
        let exporter = wanted.and_then(|it| it.map(|it| export::provider(&it, role)).transpose());
        let (provider, wrong) = match exporter {
            Ok(provider) => (provider, None),
            Err(wrong) => (None, Some(wrong)),
        };
        install(default, format, provider.as_ref());
        if let Some(wrong) = wrong {
            tracing::warn!(%wrong, "traces are not exported");
        }
        Self { provider }
    }

    /// Exports what is left, for a bounded time. Call it when everything else
    /// has ended.
    pub async fn flush(self) {
        let Some(provider) = self.provider else { return };
        let flushing =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH).is_ok());
        let flushed = tokio::time::timeout(FLUSH, flushing).await;
        if !matches!(flushed, Ok(Ok(true))) {
            tracing::warn!("the last spans of this process were not exported in time");
        }
    }
}

fn install(default: &str, format: Format, provider: Option<&SdkTracerProvider>) {
    let (filter, wrong) = filter(environment::get("RUST_LOG").as_deref(), default);
    let log = lines::layer(format, stream::Lines::default, stream::is_coloured());
    let spans = provider.map(|it| {
        tracing_opentelemetry::layer()
            .with_tracer(it.tracer("weir"))
            .with_context_activation(false)
            .with_tracked_inactivity(false)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(hops())
    });
    let installed = tracing_subscriber::registry()
        .with(spans)
        .with(Hops.with_filter(hops()))
        .with(log.with_filter(lines::Lines(filter)))
        .try_init();
    if let Err(error) = installed {
        tracing::debug!(%error, "the log was installed before");
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, used = default, "RUST_LOG cannot be read and is ignored");
    }
}

fn hops() -> FilterFn {
    filter_fn(is_hop as fn(&tracing::Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

/// The filter to use, and what is wrong with the one asked for.
fn filter(asked: Option<&str>, default: &str) -> (EnvFilter, Option<ParseError>) {
    match asked.map(EnvFilter::try_new).transpose() {
        Ok(filter) => (filter.unwrap_or_else(|| EnvFilter::new(default)), None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_told_and_replaced() {
        for (asked, used, told) in [
            (None, "info", false),
            (Some("warn,broker=trace"), "broker=trace,warn", false),
            (Some("broker=loud"), "info", true),
        ] {
            let (filter, wrong) = filter(asked, "info");
            assert_eq!((filter.to_string().as_str(), wrong.is_some()), (used, told));
        }
    }
}
