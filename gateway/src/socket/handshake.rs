//! The opening handshake (RFC 6455, 4.2), by hand: the framework's own spawns a
//! task that nobody owns.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::{Code, Refusal};

/// The version of the protocol, the only one.
pub(crate) const VERSION: HeaderValue = HeaderValue::from_static("13");
/// What a connection is upgraded to.
pub(crate) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// Bytes of a client's key, before they are encoded.
const KEY_BYTES: usize = 16;

/// A request for a WebSocket that is in order.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: HeaderValue,
    /// What the client offers to speak.
    offers: Vec<String>,
    pub(super) upgrade: OnUpgrade,
}

impl Handshake {
    /// Takes the connection out of a request, if that may be done.
    pub(super) fn of(request: &mut Request) -> Result<Self, Refusal> {
        let headers = request.headers();
        let names =
            |name, wanted: &str| list(headers, name).any(|it| it.eq_ignore_ascii_case(wanted));
        if request.version() != Version::HTTP_11
            || !names(header::CONNECTION, "upgrade")
            || !names(header::UPGRADE, "websocket")
        {
            return Err(upgrade_required(
                "this is a WebSocket, which needs an upgrade of HTTP/1.1",
            ));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(upgrade_required("only version 13 of WebSocket is spoken here"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        let Some(key) = key.filter(|it| STANDARD.decode(it).is_ok_and(|it| it.len() == KEY_BYTES))
        else {
            return Err(Refusal::field("Sec-WebSocket-Key", "must be 16 bytes in base64"));
        };
        let accept = HeaderValue::try_from(derive_accept_key(key));
        let accept = accept.expect("base64 is a header value");
        let offers = list(headers, header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        Ok(Self { accept, offers, upgrade: hyper::upgrade::on(request) })
    }

    /// Whether the client offers a subprotocol.
    pub(super) fn offers(&self, protocol: &str) -> bool {
        self.offers.iter().any(|it| it == protocol)
    }

    /// The answer that agrees, to a subprotocol if there is one.
    pub(super) fn agree(&self, protocol: Option<&'static str>) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, WEBSOCKET);
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }
}

fn upgrade_required(detail: &str) -> Refusal {
    Refusal::new(Code::UpgradeRequired, detail)
}

/// The elements of a list that may stand in several header lines.
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|it| it.split(',')).map(str::trim).filter(|it| !it.is_empty())
}
