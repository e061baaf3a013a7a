//! What a request shows of who makes it. Pure.
//!
//! A token belongs into the Authorization header: URLs are kept by browsers,
//! proxies and logs. A ticket, which is made for that, may stand in the URL of
//! the routes that it opens. Cookies count for nothing.

use axum::extract::Query;
use http::{HeaderMap, Method, Uri, header};

use super::tickets::Purpose;

/// The longest token, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Names under which others take a token in a URL.
const TOKENS: [&str; 3] = ["access_token", "token", "api_key"];
const TICKET: &str = "ticket";

/// A credential, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown<'a> {
    Nothing,
    Token(&'a str),
    Ticket(Purpose, String),
}

/// What is wrong with how it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The credential cannot be good.
    Credential(&'static str),
    /// It may be, but must not be shown like this.
    Request(&'static str),
}

/// What a request's header shows.
pub(super) fn token(headers: &HeaderMap) -> Result<Shown<'_>, Wrong> {
    let mut lines = headers.get_all(header::AUTHORIZATION).into_iter();
    let Some(line) = lines.next() else {
        return Ok(Shown::Nothing);
    };
    if lines.next().is_some() {
        return Err(Wrong::Credential("there must be one Authorization header"));
    }
    let scheme = Wrong::Credential("the Authorization header must be Bearer and a token");
    let (name, token) = line.to_str().ok().and_then(|it| it.split_once(' ')).ok_or(scheme)?;
    let token = token.trim_matches(' ');
    let spelled = |it: u8| it.is_ascii_alphanumeric() || b"-._~+/=".contains(&it);
    if !name.eq_ignore_ascii_case("bearer") || token.is_empty() || !token.bytes().all(spelled) {
        return Err(scheme);
    }
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Wrong::Credential("a token may have 8192 bytes"));
    }
    Ok(Shown::Token(token))
}

/// What a request's URL shows; `purpose` is what its route may be opened for.
pub(super) fn in_url(uri: &Uri, purpose: Option<Purpose>) -> Result<Shown<'static>, Wrong> {
    let pairs = || Some(Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?.0);
    let pairs = uri.query().and_then(|_| pairs()).unwrap_or_default();
    if pairs.iter().any(|(name, _)| TOKENS.contains(&name.as_str())) {
        return Err(Wrong::Request(
            "a token must not stand in the URL; send it in the Authorization header",
        ));
    }
    let mut tickets = pairs.into_iter().filter(|(name, _)| name == TICKET);
    match (tickets.next(), tickets.next(), purpose) {
        (None, _, _) => Ok(Shown::Nothing),
        (Some(_), _, None) => Err(Wrong::Request(
            "a ticket opens event streams only; send a token in the Authorization header here",
        )),
        (Some(_), Some(_), Some(_)) => Err(Wrong::Request("there must be one ticket")),
        (Some((_, ticket)), None, Some(_)) if ticket.len() > MAX_TOKEN_BYTES => {
            Err(Wrong::Credential("a ticket may have 8192 bytes"))
        }
        (Some((_, ticket)), None, Some(purpose)) => Ok(Shown::Ticket(purpose, ticket)),
    }
}

/// The one thing that a request shows.
pub(super) fn shown<'a>(
    headers: &'a HeaderMap,
    uri: &Uri,
    purpose: Option<Purpose>,
) -> Result<Shown<'a>, Wrong> {
    match (token(headers), in_url(uri, purpose)?) {
        (Ok(Shown::Nothing), in_url) => Ok(in_url),
        (Ok(_) | Err(_), Shown::Ticket(..)) => {
            Err(Wrong::Request("there must be a token or a ticket, not both"))
        }
        (token, Shown::Nothing | Shown::Token(_)) => token,
    }
}

/// What a route may be opened for with a ticket.
pub(super) fn purpose(method: &Method, route: &str) -> Option<Purpose> {
    match (method, route) {
        (&Method::GET, "/v1/sessions/{session}/events") => Some(Purpose::Events),
        (&Method::GET | &Method::CONNECT, "/chat") => Some(Purpose::Websocket),
        (&Method::GET, "/stream") => Some(Purpose::Stream),
        _other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEME: Wrong = Wrong::Credential("the Authorization header must be Bearer and a token");

    #[test]
    fn a_token_is_one_bearer_header() {
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
        for (lines, expected) in [
            (vec![], Ok(Shown::Nothing)),
            (vec!["Bearer abc"], Ok(Shown::Token("abc"))),
            (vec!["bEARER  a.b-c_d~e+f/g=="], Ok(Shown::Token("a.b-c_d~e+f/g=="))),
            (vec!["Bearer"], Err(SCHEME)),
            (vec!["Bearer "], Err(SCHEME)),
            (vec!["Bearer a b"], Err(SCHEME)),
            (vec!["Bearer a,b"], Err(SCHEME)),
            (vec!["Bearer é"], Err(SCHEME)),
            (vec!["Basic dTpw"], Err(SCHEME)),
            (vec!["abc"], Err(SCHEME)),
            (vec![""], Err(SCHEME)),
            (vec![&long[..long.len() - 1]], Ok(Shown::Token(&long[7..long.len() - 1]))),
            (vec![&long], Err(Wrong::Credential("a token may have 8192 bytes"))),
            (
                vec!["Bearer a", "Bearer a"],
                Err(Wrong::Credential("there must be one Authorization header")),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                let value = http::HeaderValue::from_bytes(line.as_bytes()).unwrap();
                headers.append(header::AUTHORIZATION, value);
            }
            assert_eq!(token(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_url_shows_a_ticket_where_one_opens_something_and_never_a_token() {
        let ticket = |it: &str| Ok(Shown::Ticket(Purpose::Events, it.to_owned()));
        for (query, purpose, expected) in [
            ("", Some(Purpose::Events), Ok(())),
            ("a=b&after=start", None, Ok(())),
            ("ticket=a.b%2Dc", Some(Purpose::Events), Err(ticket("a.b-c"))),
            ("ticket=", Some(Purpose::Events), Err(ticket(""))),
            ("ticket=a", None, Ok(())),
        ] {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let found = in_url(&uri, purpose);
            match expected {
                Err(ticket) => assert_eq!(found, ticket, "{query}"),
                Ok(()) if purpose.is_none() && query.contains("ticket") => {
                    assert!(matches!(found, Err(Wrong::Request(_))), "{query}: {found:?}");
                }
                Ok(()) => assert_eq!(found, Ok(Shown::Nothing), "{query}"),
            }
        }
        for query in
            ["token=a", "x=1&access_token=a", "api_key=", "access%5Ftoken=a", "ticket=a&ticket=b"]
        {
            let uri: Uri = format!("/x?{query}").parse().unwrap();
            let found = in_url(&uri, Some(Purpose::Stream));
            assert!(matches!(found, Err(Wrong::Request(_))), "{query}: {found:?}");
        }
    }

    #[test]
    fn a_token_and_a_ticket_at_once_are_refused() {
        let mut headers = HeaderMap::new();
        let uri: Uri = "/x?ticket=a".parse().unwrap();
        for (line, expected) in [(None, true), (Some("Bearer a"), false), (Some("Basic a"), false)]
        {
            if let Some(line) = line {
                headers.insert(header::AUTHORIZATION, line.parse().unwrap());
            }
            let found = shown(&headers, &uri, Some(Purpose::Events));
            assert_eq!(found.is_ok(), expected, "{found:?}");
        }
    }

    #[test]
    fn a_ticket_opens_three_routes() {
        let events = "/v1/sessions/{session}/events";
        for (method, route, expected) in [
            (Method::GET, events, Some(Purpose::Events)),
            (Method::GET, "/chat", Some(Purpose::Websocket)),
            (Method::CONNECT, "/chat", Some(Purpose::Websocket)),
            (Method::GET, "/stream", Some(Purpose::Stream)),
            (Method::POST, "/chat", None),
            (Method::HEAD, events, None),
            (Method::POST, "/v1/tickets", None),
            (Method::GET, "/v1/sessions/{session}", None),
            (Method::GET, "", None),
        ] {
            assert_eq!(purpose(&method, route), expected, "{method} {route}");
        }
    }
}
