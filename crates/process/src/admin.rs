//! The admin address: what operators and their programs ask a process.
//!
//! `GET /metrics` is what it has recorded, `GET /healthz` that it lives, `GET
//! /readyz` whether it can do its work: 503, with the reasons, while it starts,
//! once it drains, and while something that it needs is away. Nothing else is
//! there. Changes nothing, reads no body, knows nobody: whoever reaches the
//! address may read it, so it must not be public. Serves until everything else
//! in the process has ended.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::Lifecycle;
use crate::metrics::Recorder;

/// Connections at once; others wait to be accepted.
const CONNECTIONS: usize = 32;
/// How long a connection lasts at most, and how long it may take to send the
/// head of a request.
const LONGEST: Duration = Duration::from_mins(1);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that the head of a request may be, in bytes and in headers.
const HEAD_BYTES: usize = 16 * 1024;
const HEADERS: usize = 64;
/// How long what is asked for an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often measured values are put away.
const TIDY: Duration = Duration::from_secs(5);
/// The pause after the system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

type Asking<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Ask<T> = Arc<dyn Fn() -> Asking<T> + Send + Sync>;
/// What must be well, and its name.
type Check = (&'static str, Ask<Result<(), String>>);

/// What the admin address says. Clones share it.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    life: Lifecycle,
    recorder: Recorder,
    ready: AtomicBool,
    checks: Mutex<Vec<Check>>,
    samples: Mutex<Vec<Ask<()>>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("ready", &self.0.ready).finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves what was recorded on a listener, until all tasks of `life` have
    /// ended. Not ready until it is told so.
    pub fn serve(listener: TcpListener, recorder: Recorder, life: &Lifecycle) -> Self {
        let admin = Self(Arc::new(Inner {
            life: life.clone(),
            recorder,
            ready: AtomicBool::new(false),
            checks: Mutex::default(),
            samples: Mutex::default(),
        }));
        // Behind what is behind: nothing else is there longer.
        let last = life.behind().behind();
        last.spawn_as("admin address", accept(admin.clone(), listener, last.clone()));
        admin
    }

    /// Ready only while this is well; it is asked each time, and may take 2 s.
    pub fn check<F>(&self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Ask<_> = Arc::new(move || Box::pin(check()));
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).push((name, check));
    }

    /// Looks at something before each answer to `/metrics`; that may take 2 s.
    pub fn sample<F>(&self, sample: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let sample: Ask<_> = Arc::new(move || Box::pin(sample()));
        self.0.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }

    /// Everything has been set up.
    pub fn ready(&self) {
        self.0.ready.store(true, Ordering::Relaxed);
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let samples = self.0.samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for sample in samples {
            if timeout(PATIENCE, sample()).await.is_err() {
                tracing::debug!("a metric could not be looked at in time");
            }
        }
        answer(StatusCode::OK, METRICS, self.0.recorder.text())
    }

    /// Why the process is not ready, one reason a line; empty when it is.
    async fn unready(&self) -> String {
        if self.0.life.is_draining() {
            return "draining\n".to_owned();
        }
        if !self.0.ready.load(Ordering::Relaxed) {
            return "starting\n".to_owned();
        }
        let checks = self.0.checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut reasons = Vec::new();
        for (name, check) in checks {
            let well = match timeout(PATIENCE, check()).await {
                Ok(well) => well,
                Err(_elapsed) => Err("no answer in time".to_owned()),
            };
            if let Err(why) = well {
                reasons.push(format!("{name}: {}\n", why.replace('\n', " ")));
            }
        }
        reasons.concat()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let words = "only GET and HEAD are answered here\n".to_owned();
            let mut refusal = answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, words);
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => match self.unready().await {
                reasons if reasons.is_empty() => answer(StatusCode::OK, TEXT, "ready\n".to_owned()),
                reasons => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, reasons),
            },
            _other => {
                let words = "here are /metrics, /healthz and /readyz\n".to_owned();
                answer(StatusCode::NOT_FOUND, TEXT, words)
            }
        }
    }

    async fn converse(self, stream: TcpStream) {
        let service = service_fn(move |request| {
            let admin = self.clone();
            async move { Ok::<_, Infallible>(admin.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_headers(HEADERS)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        match timeout(LONGEST, connection).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended badly"),
            Err(_elapsed) => tracing::debug!("an admin connection lasted too long"),
        }
    }
}

async fn accept(admin: Admin, listener: TcpListener, last: Lifecycle) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut tidy = interval(TIDY);
    tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let connection = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = last.draining() => return,
            _ = tidy.tick() => {
                admin.0.recorder.tidy();
                continue;
            }
            accepted = connection => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin address cannot accept; trying on");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (admin, drain) = (admin.clone(), last.clone());
        last.spawn_as("admin connections", async move {
            let _place = place;
            tokio::select! {
                biased;
                () = drain.draining() => {}
                () = admin.converse(stream) => {}
            }
        });
    }
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
