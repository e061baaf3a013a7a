//! What a connection's requests are told about it, and which of them are
//! refused for how they are framed, before anybody looks at what they say.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use hyper::body::Incoming;
use ipnet::IpNet;
use tower::ServiceExt as _;

use super::Held;
use super::framing::Verdict;
use super::idle::Open;
use super::stall::{Stall, Watched};
use super::wire::Begun;
use crate::peer::Client;
use crate::problem::{Code, Refusal};

/// Answers the requests of one connection.
pub(super) struct Requests {
    pub(super) router: Router,
    pub(super) address: SocketAddr,
    pub(super) held: Held,
    pub(super) proxies: Arc<[IpNet]>,
    pub(super) framing: Verdict,
    pub(super) begun: Begun,
    pub(super) open: Open,
}

impl Requests {
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        self.begun.set();
        let is_http1 = request.version() < Version::HTTP_2;
        let is_refused =
            is_http1 && (self.framing.next_is_ambiguous() || is_encoded(request.headers()));
        let client = Client::of(self.address, request.headers(), &self.proxies);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(ConnectInfo(self.address));
        request.extensions_mut().insert(self.held.clone());
        let (router, framing) = (self.router.clone(), self.framing.clone());
        let open = (!is_http1).then(|| self.open.enter());
        async move {
            if is_refused {
                return Ok(refuse());
            }
            let response = router.oneshot(request.map(Body::new)).await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                framing.over();
            }
            Ok(match Stall::here() {
                Some(stall) => response.map(|body| Body::new(Watched { body, stall, _open: open })),
                None => response,
            })
        }
    }
}

/// Whether a body comes in another encoding than `chunked`, once: the HTTP
/// library looks at the last one alone.
fn is_encoded(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |it: &HeaderValue| it.as_bytes().eq_ignore_ascii_case(b"chunked");
    values.next().is_some_and(|it| !is_chunked(it)) || values.next().is_some()
}

/// Proxies may have read the request otherwise, and with it all that follow.
fn refuse() -> Response {
    let detail = "a request must state the length of its body once, and the only transfer-encoding \
                  is chunked";
    let mut response = Refusal::new(Code::InvalidRequest, detail).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}
