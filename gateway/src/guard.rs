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

use crate::config::Host;
use crate::edge::Edge;
use crate::peer::Client;
use crate::problem::{Code, Refusal};

/// Routes that have effects although they are asked with GET.
const EFFECTS: [&str; 2] = ["/stream", "/chat"];

/// What pages of named origins may send and read, beside what every page may.
const METHODS: &str = "GET, POST, PATCH, DELETE";
const ALLOWED: &str = "authorization, content-type, accept, idempotency-key, last-event-id, prefer, \
    traceparent, tracestate, user-agent, x-request-id, x-session-id, openai-organization, \
    openai-project";
/// How headers begin in which OpenAI's clients tell of themselves; pages may send
/// so many of them, each of so many bytes at most.
const STAINLESS: &str = "x-stainless-";
const MOST_STAINLESS: usize = 32;
const LONGEST_STAINLESS: usize = 64;
const EXPOSED: &str = "preference-applied, ratelimit, ratelimit-policy, retry-after, x-request-id";

/// Routes that answer to the end.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Passes a request on, or refuses it.
pub(crate) async fn check(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let persists = request.version() < Version::HTTP_2;
    let origin = allowed_origin(&edge, request.headers());
    let mut response = match judge(&edge, &request, origin.is_some()) {
        Ok(()) if origin.is_some() && is_preflight(&request) => preflight(request.headers()),
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

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed(asked)),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600")),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The headers that a page may send: always the same, and of those it asks for
/// the ones of OpenAI's clients, whose names are many.
fn allowed(asked: &HeaderMap) -> HeaderValue {
    let lines = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).into_iter();
    let names = lines.flat_map(|it| it.as_bytes().split(|it| *it == b','));
    let names = names.filter_map(|it| HeaderName::from_bytes(it.trim_ascii()).ok());
    let stainless = |it: &HeaderName| {
        it.as_str().starts_with(STAINLESS) && it.as_str().len() <= LONGEST_STAINLESS
    };
    let theirs = names.filter(stainless).take(MOST_STAINLESS);
    let all = theirs.fold(ALLOWED.to_owned(), |all, it| all + ", " + it.as_str());
    HeaderValue::try_from(all).unwrap_or(HeaderValue::from_static(ALLOWED))
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
    let meant = host.as_ref().map_or(Ok(()), |it| {
        let known = edge.config.auth.is_on();
        answers_to(it.host(), &edge.config.hosts, edge.loopback, known)
    });
    meant.map_err(|why| Refusal::new(Code::Misdirected, why))?;
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

/// Whether this server is meant by a host. A page may make its own name lead here
/// and then is of the same site: it is found out by that name, unless callers
/// must show who they are, which a page of another name cannot.
fn answers_to(
    host: &str,
    hosts: &[Host],
    loopback: bool,
    callers_are_known: bool,
) -> Result<(), &'static str> {
    let (ours, why) = if loopback {
        let why = "this server only answers to localhost, loopback addresses and configured hosts";
        (is_local(host), why)
    } else if hosts.is_empty() {
        let why = "without authentication this server only answers to IP addresses, localhost and \
            configured hosts";
        (callers_are_known || is_local(host) || address(host).is_some(), why)
    } else {
        (false, "this server only answers to configured hosts")
    };
    if ours || hosts.iter().any(|it| it.is(host)) { Ok(()) } else { Err(why) }
}

fn is_local(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    match address(host) {
        Some(address) => address.to_canonical().is_loopback(),
        None => name == "localhost" || name.ends_with(".localhost"),
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
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
    fn a_name_that_is_not_this_servers_is_found_out_wherever_it_listens() {
        let chat: Host = "chat.example.org".parse().unwrap();
        let (none, named) = (&[][..], std::slice::from_ref(&chat));
        for (host, hosts, loopback, known, expected) in [
            ("localhost", none, true, false, true),
            ("localhost", named, true, false, true),
            ("chat.example.org", named, true, false, true),
            ("chat.example.org", none, true, true, false),
            ("10.0.0.1", none, true, false, false),
            ("evil.example", none, false, false, false),
            ("evil.example", none, false, true, true),
            ("10.0.0.1", none, false, false, true),
            ("[2001:db8::1]", none, false, false, true),
            ("localhost", none, false, false, true),
            ("chat.example.org", named, false, false, true),
            ("evil.example", named, false, true, false),
            ("localhost", named, false, true, false),
            ("10.0.0.1", named, false, true, false),
        ] {
            let ours = answers_to(host, hosts, loopback, known).is_ok();
            assert_eq!(ours, expected, "{host} {hosts:?} {loopback} {known}");
        }
    }

    #[test]
    fn headers_of_openais_clients_may_be_sent_and_not_any_others() {
        let many = "x-stainless-a, ".repeat(99);
        let long = format!("x-stainless-{}", "x".repeat(LONGEST_STAINLESS));
        for (asked, expected) in [
            ("X-Stainless-OS,x-stainless-lang", ", x-stainless-os, x-stainless-lang"),
            ("*, cookie, x-other, x\u{b5}", ""),
            ("", ""),
            (&long, ""),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_bytes(asked.as_bytes()).unwrap();
            headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, value);
            assert_eq!(allowed(&headers).to_str().unwrap(), format!("{ALLOWED}{expected}"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, many.parse().unwrap());
        let names = allowed(&headers).to_str().unwrap().matches(STAINLESS).count();
        assert_eq!(names, MOST_STAINLESS);
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
