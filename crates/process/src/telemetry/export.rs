//! The export of spans by OTLP, from a thread of its own.
//!
//! Nothing that is under way waits for it: spans that find no room are dropped.
//! Its failures are told at most once a minute, and without what the collector
//! said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{SpanExporter as Otlp, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tokio::time::Instant;

use super::settings::{Protocol, Wanted};

/// How often a failure is told, at most.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How long one request by HTTP may take.
const REQUEST: Duration = Duration::from_secs(10);
/// The most that is read of a collector's answer, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// What makes spans and exports them in batches.
pub(super) fn provider(wanted: &Wanted, role: &str) -> Result<SdkTracerProvider, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("the exporter cannot be built: {error}");
    let exporter = match wanted.protocol {
        Protocol::Grpc => {
            let builder = Otlp::builder().with_tonic();
            let builder = if wanted.tls { builder.with_tls_config(tls(wanted)?) } else { builder };
            builder.build()
        }
        Protocol::Http => Otlp::builder().with_http().with_http_client(poster(wanted)?).build(),
    };
    let exporter = exporter.map_err(|error| unusable(&error))?;
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(wanted, role))
        .with_sampler(wanted.sampler.clone())
        .with_batch_exporter(Reporting { exporter, failures: Mutex::default() })
        .build())
}

/// Who exports. The environment may add to it, and has the last word.
fn resource(wanted: &Wanted, role: &str) -> Resource {
    let named = Resource::builder().build().get(&Key::from_static_str("service.name"));
    let named = named.map(|it| it.to_string()).filter(|it| !it.starts_with("unknown_service"));
    let name = wanted.service.clone().or(named).unwrap_or_else(|| format!("weir-{role}"));
    Resource::builder()
        .with_service_name(name)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("process.pid", i64::from(std::process::id())),
        ])
        .build()
}

fn certificate(wanted: &Wanted) -> Result<Option<Vec<u8>>, String> {
    let read = |path: &String| {
        std::fs::read(path).map_err(|error| format!("the certificates in {path}: {error}"))
    };
    wanted.certificate.as_ref().map(read).transpose()
}

fn tls(wanted: &Wanted) -> Result<ClientTlsConfig, String> {
    let config = ClientTlsConfig::new();
    Ok(match certificate(wanted)? {
        Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        None => config.with_native_roots(),
    })
}

fn poster(wanted: &Wanted) -> Result<Poster, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST)
        .no_proxy();
    if let Some(pem) = certificate(wanted)? {
        let roots = reqwest::Certificate::from_pem_bundle(&pem);
        let roots = roots.map_err(|error| format!("the certificates: {error}"))?;
        client = client.tls_certs_only(roots);
    }
    let client = client.build().map_err(|error| format!("no HTTP client: {error}"))?;
    Ok(Poster { client, runtime })
}

/// Sends requests by HTTP. The thread that exports waits for the answers: it
/// has nothing else to do.
#[derive(Debug)]
struct Poster {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Poster {
    async fn post(&self, request: http::Request<Bytes>) -> reqwest::Result<http::Response<Bytes>> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER
            && let Some(chunk) = answer.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(body.into());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

#[async_trait::async_trait]
impl HttpClient for Poster {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let answer = self.runtime.block_on(self.post(request));
        answer.map_err(|error| error.without_url().into())
    }
}

/// Tells of failures, now and then.
#[derive(Debug)]
struct Reporting<E> {
    exporter: E,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    told: Option<Instant>,
    spans: usize,
}

impl Failures {
    /// Counts spans that were lost; how many there are to be told of, if it is
    /// time for that.
    fn lost(&mut self, spans: usize) -> Option<usize> {
        self.spans += spans;
        if self.told.is_some_and(|it| it.elapsed() < TOLD_EVERY) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.spans))
    }
}

impl<E: SpanExporter> SpanExporter for Reporting<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        if let Err(error) = &exported {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(spans) = failures.lost(spans) {
                tracing::warn!(%error, spans, "spans were not exported");
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_told_once_a_minute_with_all_that_was_lost() {
        let mut failures = Failures::default();
        assert_eq!(failures.lost(3), Some(3));
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(500)).await;
            assert_eq!(failures.lost(2), None);
        }
        tokio::time::advance(TOLD_EVERY).await;
        assert_eq!(failures.lost(1), Some(201));
    }
}
