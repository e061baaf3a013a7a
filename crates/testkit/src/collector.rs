//! A collector of traces: a real OTLP server on loopback, by gRPC and by HTTP,
//! that keeps the spans it is sent. It refuses everything but traces.

mod posted;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ::process::Lifecycle;
use anyhow::{Context as _, Result, anyhow};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, status::StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::PATIENCE;

/// A running collector. Dropping it closes its port.
#[derive(Debug)]
#[expect(clippy::module_name_repetitions, reason = "read alone, it says what it collects")]
pub struct TraceCollector {
    grpc: SocketAddr,
    http: SocketAddr,
    kept: Kept,
    life: Lifecycle,
}

/// A span as it was sent; its ids in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The `service.name` of who sent it.
    pub service: String,
    /// Its name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: &'static str,
    /// Which trace it belongs to.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of its parent; empty for none.
    pub parent: String,
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// When it ended, since the Unix epoch.
    pub ended: Duration,
    /// Whether it says that it failed.
    pub failed: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Everything that was sent of it and of who sent it, as text.
    pub whole: String,
}

impl Span {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended.saturating_sub(self.began)
    }

    /// An attribute, empty when there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Debug, Clone)]
struct Kept(Arc<watch::Sender<Vec<Span>>>);

impl TraceCollector {
    /// A collector on a free loopback port.
    pub async fn start() -> Result<Self> {
        let listen = async || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listen().await.context("the collector has no port")?;
        let posted = listen().await.context("the collector has no port")?;
        let (grpc, http) = (listener.local_addr()?, posted.local_addr()?);
        let (kept, life) = (Kept(Arc::new(watch::Sender::new(Vec::new()))), Lifecycle::new());
        let server = Server::builder()
            .add_service(TraceServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        life.spawn(async move {
            // It ends with the handle.
            drop(server.await);
        });
        life.spawn(posted::serve(posted, kept.clone(), life.clone()));
        Ok(Self { grpc, http, kept, life })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to, for gRPC.
    pub fn url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// The same for HTTP.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Every span so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.0.borrow().clone()
    }

    /// All spans, once `seen` says so. `what` names it in the error after 30 s.
    pub async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&[Span]) -> bool + Send + Sync,
    ) -> Result<Vec<Span>> {
        let mut spans = self.kept.0.subscribe();
        let waited = tokio::time::timeout(PATIENCE, spans.wait_for(|spans| seen(spans))).await;
        if let Ok(Ok(spans)) = &waited {
            return Ok(spans.to_vec());
        }
        drop(waited);
        let names: Vec<_> = self.spans().into_iter().map(|it| (it.service, it.name)).collect();
        Err(anyhow!("no {what} at the collector: {names:?}"))
    }
}

impl Kept {
    fn keep(&self, sent: ExportTraceServiceRequest) {
        for sent in sent.resource_spans {
            let of = sent.resource.unwrap_or_default().attributes;
            let service = attributes(&of).remove("service.name").unwrap_or_default();
            let spans = sent.scope_spans.into_iter().flat_map(|it| it.spans);
            let spans: Vec<_> = spans.map(|it| span(&service, &of, it)).collect();
            self.0.send_modify(|kept| kept.extend(spans));
        }
    }
}

impl Drop for TraceCollector {
    fn drop(&mut self) {
        self.life.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.keep(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn span(service: &str, of: &[KeyValue], sent: Sent) -> Span {
    let whole = format!("{of:?} {sent:?}");
    let kind = match sent.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal | SpanKind::Unspecified => "internal",
    };
    Span {
        service: service.to_owned(),
        kind,
        trace: hex(&sent.trace_id),
        id: hex(&sent.span_id),
        parent: hex(&sent.parent_span_id),
        began: Duration::from_nanos(sent.start_time_unix_nano),
        ended: Duration::from_nanos(sent.end_time_unix_nano),
        failed: sent.status.is_some_and(|it| it.code() == StatusCode::Error),
        attributes: attributes(&sent.attributes),
        name: sent.name,
        whole,
    }
}

fn attributes(sent: &[KeyValue]) -> BTreeMap<String, String> {
    sent.iter().map(|it| (it.key.clone(), text(it.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(it)) => it.to_string(),
        Some(Value::IntValue(it)) => it.to_string(),
        Some(Value::DoubleValue(it)) => it.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, it| text + &format!("{it:02x}"))
}
