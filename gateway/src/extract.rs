//! Typed bodies, queries and paths. Whatever does not parse is answered with a
//! problem document that names the field.

mod body;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http::{HeaderMap, header};
use proto::SessionId;
use serde::de::DeserializeOwned;

use crate::edge::Edge;
use crate::problem::{Code, Refusal};
use body::Read;

/// How deep JSON may be nested.
const DEPTH: usize = 128;

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Edge>> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, edge: &Arc<Edge>) -> Result<Self, Refusal> {
        if !is_json(request.headers()) {
            return Err(Refusal::new(
                Code::UnsupportedMediaType,
                "content-type must be application/json",
            ));
        }
        if request.headers().get(header::CONTENT_ENCODING).is_some_and(|it| it != "identity") {
            return Err(Refusal::new(
                Code::UnsupportedMediaType,
                "a body must not be compressed: content-encoding must be identity or absent",
            ));
        }
        let body = Read::of(request, edge).await?;
        parse(body.bytes()).map(Self)
    }
}

/// The parameters after the question mark.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Edge>> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Edge>) -> Result<Self, Refusal> {
        if !parts.uri.query().is_none_or(is_text) {
            return Err(Refusal::field("query", "must be UTF-8"));
        }
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => {
                let text = error.body_text();
                let why = text.rsplit_once(": ").map_or(text.as_str(), |it| it.1);
                Err(Refusal::field(quoted(why).unwrap_or("query"), plainly(why)))
            }
        }
    }
}

/// Whether what is encoded here is text. The parser of queries would put the same
/// sign in the place of everything that is none, and make two names one.
fn is_text(query: &str) -> bool {
    let hex = |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16)).map(u32::to_le_bytes);
    let mut decoded = Vec::new();
    let mut rest = query.bytes();
    while let Some(byte) = rest.next() {
        let mut after = rest.clone();
        let pair = (hex(after.next()), hex(after.next()));
        decoded.push(match pair {
            (Some([high, ..]), Some([low, ..])) if byte == b'%' => {
                rest = after;
                (high << 4) | low
            }
            (Some(_) | None, Some(_) | None) => byte,
        });
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// The session that the path names.
#[derive(Debug)]
pub(crate) struct InSession(pub(crate) SessionId);

impl FromRequestParts<Arc<Edge>> for InSession {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Refusal> {
        match Path::<String>::from_request_parts(parts, edge).await {
            Ok(Path(text)) => {
                text.parse().map(Self).map_err(|why| Refusal::field("sessionId", why))
            }
            Err(_not_text) => Err(Refusal::field("sessionId", "must be UTF-8")),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads JSON; the problem names the field and, for text that is no JSON, the
/// place.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if bytes.is_empty() {
        return Err(Refusal::new(
            Code::InvalidRequest,
            "the body is empty; a JSON object is expected",
        ));
    }
    if depth(bytes) > DEPTH {
        let detail = format!("the body is nested too deep; JSON may be nested {DEPTH} deep");
        return Err(Refusal::new(Code::InvalidRequest, detail));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    json.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
}

/// Takes JSON that was read before as something of ours.
pub(crate) fn interpret<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| refuse(&error.path().to_string(), error.inner()))
}

/// How deep JSON is nested. The parser's own limit does not hold for what it
/// skips; of bytes that are no JSON, it says what they are.
fn depth(bytes: &[u8]) -> usize {
    let (mut deepest, mut depth) = (0, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _any if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _other => {}
        }
    }
    deepest
}

fn refuse(path: &str, error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    if !error.is_data() {
        return Refusal::new(Code::InvalidRequest, format!("the body is not JSON: {text}"));
    }
    let why = text.split(" at line ").next().unwrap_or(&text);
    let missing = why.starts_with("missing field") || why.starts_with("duplicate field");
    let field = match (path, quoted(why)) {
        (".", Some(name)) => name.to_owned(),
        (parent, Some(name)) if missing => format!("{parent}.{name}"),
        (path, _) => path.to_owned(),
    };
    Refusal::field(field, plainly(why))
}

/// What is wrong with a field that is named before it.
fn plainly(why: &str) -> String {
    let rest = why.split_once(", ").map(|it| it.1);
    match (why.split('`').next(), rest) {
        (Some("missing field "), _) => "is missing".to_owned(),
        (Some("duplicate field "), _) => "is given twice".to_owned(),
        (Some("unknown field "), Some(rest)) => format!("is not known, {rest}"),
        (Some("unknown field "), None) => "is not known".to_owned(),
        (Some(_) | None, _) => why.to_owned(),
    }
}

/// The first name in backticks.
fn quoted(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Body {
        user_id: String,
        #[serde(default)]
        messages: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Item {
        role: String,
    }

    #[test]
    fn a_problem_names_the_field_that_is_wrong() {
        for (body, field) in [
            (r"{}", "userId"),
            (r#"{"userId":7}"#, "userId"),
            (r#"{"userId":"a","userId":"b"}"#, "userId"),
            (r#"{"userId":"a","x":1}"#, "x"),
            (r#"{"userId":"a","messages":[{}]}"#, "messages[0].role"),
            (r#"{"userId":"a","messages":[{"role":[]}]}"#, "messages[0].role"),
        ] {
            let refusal = format!("{:?}", parse::<Body>(body.as_bytes()).unwrap_err());
            assert!(refusal.contains(&format!("field: {field:?}")), "{body}: {refusal}");
        }
    }

    #[test]
    fn a_query_is_text_once_it_is_decoded() {
        for good in ["", "a=%C3%A9&b=%", "a=%zz", "a=%4", "a=1+2"] {
            assert!(is_text(good), "{good}");
        }
        for bad in ["a=%C3%A", "a=%ff", "%FF=a", "a=%c0%ae", "a=%ed%a0%80", "a=%C3&b=%A9"] {
            assert!(!is_text(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_refused_also_where_nobody_looks() {
        #[derive(Deserialize)]
        struct Any {}
        let nested = |deep: usize| format!("{{\"x\":{}{}}}", "[".repeat(deep), "]".repeat(deep));
        assert!(parse::<Any>(nested(DEPTH - 1).as_bytes()).is_ok());
        assert!(parse::<Any>(nested(DEPTH).as_bytes()).is_err());
        let text = format!(r#"{{"x":"\"{}"}}"#, "[".repeat(1000));
        assert!(parse::<Any>(text.as_bytes()).is_ok(), "a text is no nesting");
    }

    #[test]
    fn a_problem_says_plainly_what_is_wrong_with_a_field() {
        for (body, said) in [
            (r"{}", "userId is missing"),
            (r#"{"userId":"a","userId":"b"}"#, "userId is given twice"),
            (r#"{"userId":"a","x":1}"#, "x is not known, expected `userId` or `messages`"),
        ] {
            assert_eq!(parse::<Body>(body.as_bytes()).unwrap_err().detail(), said);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_without_harm() {
        let deep = "[".repeat(100_000);
        for bad in ["", "x", "{", "nul", "{}{}", "\u{feff}{}", "NaN", deep.as_str()] {
            assert!(parse::<serde_json::Value>(bad.as_bytes()).is_err());
        }
    }
}
