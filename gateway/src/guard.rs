//! What every request must pass before it reaches a handler, and the headers
//! that every answer bears. Refuses requests that another site's page made,
//! unless the operator named that site.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};

use crate::edge::Edge;
use crate::peer::Client;
use crate::problem::{Code, Refusal};

/// Routes that have effects although they are asked with GET.
const EFFECTS: [&str; 2] = ["/stream", "/chat"];

/// What pages of named origins may send and read, beside what every page may.
const METHODS: &str = "GET, POST, PATCH, DELETE";
const ALLOWED: &str = "authorization, content-type, accept, idempotency-key, last-event-id, prefer, \
    traceparent, tracestate, x-request-id, x-session-id";
const EXPOSED: &str = "preference-applied, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// Routes that answer to the end.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Passes a request on, or refuses it.
pub(crate) async fn check(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let persists = request.version() < Version::HTTP_2;
    let origin = allowed_origin(&edge, request.headers());
    let mut response = match judge(&edge, &request, origin.is_some()) {
        Ok(()) if origin.is_some() && is_preflight(&request) => preflight(),
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let allowed = origin.is_some();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), policy(allowed)),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !edge.config.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        share(origin, headers);
    }
    if persists && edge.life.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What other sites' pages may load of an answer without reading it.
fn policy(shared: bool) -> &'static str {
    if shared { "cross-origin" } else { "same-origin" }
}

/// The origin of the page that asks, if the operator named it.
fn allowed_origin(edge: &Edge, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let named = edge.config.origins.iter().any(|it| origin.as_bytes() == it.as_str().as_bytes());
    named.then(|| origin.clone())
}

/// Lets the page of an origin read an answer. Never with credentials that a
/// browser adds by itself: there are none.
fn share(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

/// Whether a browser asks what a page may send.
fn is_preflight(request: &Request) -> bool {
    *request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn judge(edge: &Edge, request: &Request, origin_allowed: bool) -> Result<(), Refusal> {
    let uri = request.uri();
    if let Some(Client(address)) = request.extensions().get() {
        edge.limits.knock(*address)?;
    }
    if edge.life.is_draining() && !HEALTH.contains(&uri.path()) {
        return Err(Refusal::new(Code::Draining, "this server stops; ask another one"));
    }
    let length = uri.path_and_query().map_or(0, |it| it.as_str().len());
    if length > edge.config.uri_bytes {
        let most = edge.config.uri_bytes;
        return Err(Refusal::new(
            Code::UriTooLong,
            format!("path and query may have {most} bytes"),
        ));
    }
    let host = host(request)?;
    let named = |it: &str| is_local(it) || edge.config.hosts.iter().any(|host| host.is(it));
    if edge.loopback && host.as_ref().is_some_and(|it| !named(it.host())) {
        return Err(Refusal::new(
            Code::Misdirected,
            "this server only answers to localhost, loopback addresses and configured hosts",
        ));
    }
    let method = request.method();
    let effects = EFFECTS.contains(&uri.path())
        || is_upgrade(request)
        || !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !origin_allowed && is_foreign(request.headers(), host.as_ref(), effects) {
        return Err(Refusal::new(Code::CrossSite, "pages of other sites may not use this server"));
    }
    Ok(())
}

/// Whether a WebSocket is to be opened, to which no browser asks a preflight.
fn is_upgrade(request: &Request) -> bool {
    request.headers().contains_key(header::SEC_WEBSOCKET_KEY)
        || *request.method() == Method::CONNECT
}

/// The host that the client meant; a request of HTTP/1.1 must name one.
fn host(request: &Request) -> Result<Option<Authority>, Refusal> {
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = request.headers().get_all(header::HOST).into_iter();
    let parsed = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => return Ok(None),
        // A name of a user before the host is another's trick (RFC 9110, 4.2.4).
        (Some(host), None) if host.as_bytes().contains(&b'@') => None,
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        (None | Some(_), _) => None,
    };
    match parsed {
        Some(host) => Ok(Some(host)),
        None => Err(Refusal::field("Host", "must name one host")),
    }
}

fn is_local(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_name) => bare == "localhost" || bare.ends_with(".localhost"),
    }
}

/// Whether a page of another site made this request, as browsers tell. Reading
/// is refused only when it is plain; a link to the page is no harm.
fn is_foreign(headers: &HeaderMap, host: Option<&Authority>, effects: bool) -> bool {
    let get = |name: &str| headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    let site = get("sec-fetch-site");
    if !effects {
        return site == Some("cross-site") && get("sec-fetch-mode") != Some("navigate");
    }
    if let Some(site) = site {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = get("origin") else {
        return false;
    };
    let origin = origin.split_once("://").map(|it| it.1);
    let same =
        origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host.as_str()));
    !same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("weir.localhost", true),
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_local(host), expected, "{host}");
        }
    }

    #[test]
    fn a_foreign_page_may_link_here_but_neither_ask_nor_read() {
        let host: Authority = "127.0.0.1:8080".parse().unwrap();
        for (lines, effects, expected) in [
            (vec![], true, false),
            (vec![("sec-fetch-site", "same-origin")], true, false),
            (vec![("sec-fetch-site", "none")], true, false),
            (vec![("sec-fetch-site", "cross-site")], true, true),
            (vec![("sec-fetch-site", "same-site")], true, true),
            (vec![("origin", "http://127.0.0.1:8080")], true, false),
            (vec![("origin", "http://evil.example")], true, true),
            (vec![("origin", "null")], true, true),
            (vec![("sec-fetch-site", "cross-site")], false, true),
            (vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], false, false),
            (vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")], true, true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(is_foreign(&headers, Some(&host), effects), expected, "{lines:?}");
        }
    }
}
