//! Hops without an exporter and with one.

use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::{Dispatch, info_span};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn caller() -> Option<Context> {
    Context::parse(CALLER, "vendor=1")
}

/// Keeps what it is to export.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<std::sync::Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

fn silent() -> Dispatch {
    tracing_subscriber::registry().with(Hops.with_filter(filter_fn(is_hop))).into()
}

fn exporting(kept: &Kept) -> Dispatch {
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("test"))
        .with_context_activation(false)
        .with_filter(filter_fn(is_hop));
    tracing_subscriber::registry().with(spans).with(Hops.with_filter(filter_fn(is_hop))).into()
}

#[test]
fn without_an_exporter_what_came_in_goes_out_through_every_hop() {
    tracing::dispatcher::with_default(&silent(), || {
        assert_eq!(current(), None);
        let hop = follow(info_span!("hop", otel.kind = "server"), caller());
        let stands = hop.in_scope(|| {
            let plain = info_span!("plain");
            plain.in_scope(|| {
                let inner = begin(info_span!("inner", otel.kind = "client"));
                inner.in_scope(current)
            })
        });
        assert_eq!(stands, caller());
        assert_eq!(current(), None);
        let alone = begin(info_span!("alone", otel.kind = "internal"));
        assert_eq!(of(&alone), None, "nothing is made up");
    });
}

#[test]
fn with_an_exporter_each_hop_is_the_parent_of_the_next() {
    let kept = Kept::default();
    tracing::dispatcher::with_default(&exporting(&kept), || {
        let server = follow(info_span!("server", otel.kind = "server"), caller());
        let stands = of(&server).unwrap();
        assert_eq!(stands.trace_id(), caller().unwrap().trace_id());
        assert_eq!(stands.tracestate(), "vendor=1");
        assert_ne!(stands.span_id(), caller().unwrap().span_id());
        // As another process takes it up.
        let next = follow(info_span!("next", otel.kind = "consumer"), Some(stands));
        next.in_scope(|| drop(begin(info_span!("last", otel.kind = "client"))));
        drop(info_span!("no hop"));
        drop(begin(info_span!("alone", otel.kind = "internal")));
    });
    let spans = kept.0.lock().unwrap().clone();
    let span = |name: &str| spans.iter().find(|it| it.name == name).unwrap().clone();
    let (server, next, last) = (span("server"), span("next"), span("last"));
    assert_eq!(server.parent_span_id.to_string(), caller().unwrap().span_id());
    assert_eq!(next.parent_span_id, server.span_context.span_id());
    assert_eq!(last.parent_span_id, next.span_context.span_id());
    let trace = server.span_context.trace_id();
    assert!([&next, &last].iter().all(|it| it.span_context.trace_id() == trace));
    assert_ne!(span("alone").span_context.trace_id(), trace);
    assert_eq!(spans.len(), 4, "only hops are exported");
}

#[test]
fn a_lasting_hop_ends_with_its_keeper() {
    let kept = Kept::default();
    tracing::dispatcher::with_default(&exporting(&kept), || {
        let lasting = Lasting::new(begin(info_span!("lasting", otel.kind = "server")));
        let work = lasting.span().in_scope(|| begin(info_span!("work", otel.kind = "client")));
        work.in_scope(|| ());
        drop((work, lasting));
    });
    let spans = kept.0.lock().unwrap().clone();
    let ended = |name: &str| spans.iter().find(|it| it.name == name).unwrap().end_time;
    assert!(ended("lasting") > ended("work"), "{spans:?}");
}

#[test]
fn a_caller_that_does_not_record_is_followed_unrecorded() {
    let kept = Kept::default();
    tracing::dispatcher::with_default(&exporting(&kept), || {
        let unsampled = Context::parse(&CALLER.replace("-01", "-00"), "").unwrap();
        let hop = follow(info_span!("hop", otel.kind = "server"), Some(unsampled.clone()));
        let stands = of(&hop).unwrap();
        assert_eq!((stands.trace_id(), stands.flags()), (unsampled.trace_id(), 0));
    });
    assert!(kept.0.lock().unwrap().is_empty());
}

#[test]
fn a_turn_may_be_named_later_and_lines_within_know_it() {
    tracing::dispatcher::with_default(&silent(), || {
        let span = info_span!("hop", otel.kind = "server", weir.turn_id = tracing::field::Empty);
        let hop = follow(span, caller());
        let inner = hop.in_scope(|| begin(info_span!("inner", otel.kind = "client")));
        let known = || registered(&inner, |it| Some(about(&it))).unwrap();
        assert_eq!(known().0, None);
        hop.in_scope(|| turn("t-1"));
        let trace = Some(caller().unwrap().trace_id().to_owned());
        assert_eq!(known(), (Some("t-1".to_owned()), trace));
    });
}
