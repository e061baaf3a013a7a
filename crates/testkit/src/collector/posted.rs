//! OTLP over HTTP: protobuf, posted to `/v1/traces`.

use std::convert::Infallible;

use ::process::Lifecycle;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;

use super::Kept;

/// Bytes of a request; larger ones are refused.
const BODY: usize = 16 << 20;

/// Takes what is posted until it is aborted.
pub(super) async fn serve(listener: TcpListener, kept: Kept, life: Lifecycle) {
    while let Ok((stream, _)) = listener.accept().await {
        let kept = kept.clone();
        life.spawn(async move {
            let service = service_fn(move |request| answer(request, kept.clone()));
            let connection = hyper::server::conn::http1::Builder::new();
            // Its errors are the client's.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    kept: Kept,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = take(request, &kept).await;
    if response.status() == StatusCode::OK {
        let told = ExportTraceServiceResponse::default().encode_to_vec();
        *response.body_mut() = told.into();
    }
    Ok(response)
}

async fn take(request: Request<Incoming>, kept: &Kept) -> StatusCode {
    if (request.method(), request.uri().path()) != (&Method::POST, "/v1/traces") {
        return StatusCode::NOT_FOUND;
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|it| it != "application/x-protobuf") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let Ok(body) = Limited::new(request.into_body(), BODY).collect().await else {
        return StatusCode::BAD_REQUEST;
    };
    match ExportTraceServiceRequest::decode(body.to_bytes()) {
        Ok(sent) => {
            kept.keep(sent);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}
