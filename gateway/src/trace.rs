//! What the edge adds to a trace: each request, and the putting of a job into
//! the queue. Names routes and turns, never paths, queries, users or sessions.
//!
//! A request lasts until the last byte of its answer is handed over, however
//! long that streams.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context as Polled, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};
use process::trace::{Context, Lasting, begin, follow, of};
use proto::{Job, TurnId};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

/// Asked again and again by whoever watches the process: of no use in a trace.
const UNSEEN: [&str; 2] = ["/healthz", "/readyz"];

/// Makes a hop of a request.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let route = route.unwrap_or_default();
    if UNSEEN.contains(&route.as_str()) {
        return next.run(request).await;
    }
    let span = hop(&request, &route);
    let response = next.run(request).instrument(span.clone()).await;
    answered(&span, response.status());
    let hop = Some(Lasting::new(span));
    response.map(|body| Body::new(Traced { body, hop }))
}

fn hop(request: &Request, route: &str) -> Span {
    let method = known(request.method());
    let span = info_span!(
        "request",
        otel.name = format_args!("{}", format!("{method} {route}").trim_end()),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        network.protocol.version = version(request.version()),
        weir.turn_id = Empty,
        "error.type" = Empty,
    );
    let span = follow(span, Context::of(request.headers()));
    if !route.is_empty() {
        span.record("http.route", route);
    }
    span
}

/// A method that is known; what else a client makes up stands for itself.
fn known(method: &Method) -> &'static str {
    let all = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    all.into_iter().find(|it| *it == method.as_str()).unwrap_or("_OTHER")
}

fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn answered(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", status.as_str());
    }
}

/// Puts a turn's job into the queue as a hop of its own: with the hop comes the
/// job that carries it.
pub(crate) fn publish(turn: TurnId, job: &Job) -> (Span, Cow<'_, Job>) {
    let span = begin(info_span!(
        "publish jobs",
        otel.kind = "producer",
        otel.status_code = Empty,
        weir.turn_id = %turn,
        messaging.system = "weir",
        messaging.operation.name = "publish",
        "messaging.operation.type" = "send",
        messaging.destination.name = "jobs",
    ));
    let Some(context) = of(&span) else {
        return (span, Cow::Borrowed(job));
    };
    let job = Job {
        traceparent: context.traceparent().to_owned(),
        tracestate: context.tracestate().to_owned(),
        ..job.clone()
    };
    (span, Cow::Owned(job))
}

/// A body whose end is the end of its request.
#[derive(Debug)]
struct Traced {
    body: Body,
    /// Until the body has ended.
    hop: Option<Lasting>,
}

impl http_body::Body for Traced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Polled<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let body = Pin::new(&mut this.body);
        let polled = match &this.hop {
            Some(hop) => hop.span().in_scope(|| body.poll_frame(cx)),
            None => body.poll_frame(cx),
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.hop = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_made_up_method_does_not_name_anything() {
        assert_eq!(known(&Method::DELETE), "DELETE");
        assert_eq!(known(&Method::from_bytes(b"SECRET").unwrap()), "_OTHER");
    }

    #[tokio::test]
    async fn a_traced_answer_is_the_same_answer() {
        let answer = async || -> String { "hello".to_owned() };
        let router = Router::new().route("/", get(answer)).layer(from_fn(request));
        let asked = http::Request::get("/").header("traceparent", PARENT);
        let response = router.oneshot(asked.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-length"], "5");
        let body = response.into_body();
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
    }

    #[test]
    fn a_job_outside_of_any_trace_is_left_as_it_is() {
        let job = Job::default();
        assert!(matches!(publish(TurnId::new(), &job).1, Cow::Borrowed(_)));
    }
}
