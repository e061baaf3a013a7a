//! What records, and what it has recorded, as text for Prometheus.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use ::metrics::{Key, KeyName, with_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{Kind, METADATA, Metric, RECORDING, own};

static INSTALLED: OnceLock<Recorder> = OnceLock::new();

/// What has been recorded. Clones share it.
#[derive(Debug, Clone)]
pub struct Recorder(PrometheusHandle);

/// Begins to record the metrics of these tables and the process's own, under
/// the name of what it is. A second call changes nothing.
pub fn install(role: &str, tables: &[&[Metric]]) -> Recorder {
    let recorder = INSTALLED.get_or_init(|| {
        let all: Vec<_> = tables.iter().copied().chain([own::METRICS]).flatten().collect();
        let built = all.iter().fold(PrometheusBuilder::new(), |builder, it| match it.kind {
            Kind::Counter | Kind::Gauge => builder,
            Kind::Histogram(buckets) => builder
                .set_buckets_for_metric(Matcher::Full(it.name.to_owned()), buckets)
                .expect("a histogram has at least one bucket"),
        });
        let built = built.build_recorder();
        let handle = built.handle();
        if ::metrics::set_global_recorder(built).is_err() {
            tracing::warn!("something else records the metrics of this process");
        }
        RECORDING.store(true, Ordering::Relaxed);
        for metric in all {
            describe(metric);
        }
        own::begin(role);
        Recorder(handle)
    });
    recorder.clone()
}

/// Says what a metric means. One without labels is there from now on, as 0.
fn describe(metric: &Metric) {
    let (name, meaning) = (KeyName::from_const_str(metric.name), metric.meaning.into());
    let bare = metric.labels.is_empty();
    let key = Key::from_static_name(metric.name);
    with_recorder(|recorder| match metric.kind {
        Kind::Counter => {
            recorder.describe_counter(name, None, meaning);
            if bare {
                recorder.register_counter(&key, &METADATA).increment(0);
            }
        }
        Kind::Gauge => {
            recorder.describe_gauge(name, None, meaning);
            if bare {
                recorder.register_gauge(&key, &METADATA).increment(0.0);
            }
        }
        Kind::Histogram(_) => recorder.describe_histogram(name, None, meaning),
    });
}

impl Recorder {
    /// Everything recorded so far, in Prometheus' text format.
    pub fn text(&self) -> String {
        own::look();
        self.0.render()
    }

    /// Puts away what was measured: to be called now and then, so that values
    /// that nobody asks for do not pile up.
    pub fn tidy(&self) {
        self.0.run_upkeep();
    }
}
