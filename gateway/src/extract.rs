//! Typed bodies, queries and paths. Whatever does not parse is answered with a
//! problem document that names the field.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use proto::SessionId;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::edge::Edge;
use crate::problem::{Code, Refusal};

/// How much of a body past its limit is read and thrown away, so that the
/// client is done sending and reads the answer.
const WASTE_BYTES: usize = 64 * 1024 * 1024;

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
        let bytes = read(request, edge).await?;
        parse(&bytes).map(Self)
    }
}

/// The parameters after the question mark.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Edge>> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Edge>) -> Result<Self, Refusal> {
        match axum::extract::Query::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => {
                let text = error.body_text();
                let why = text.rsplit_once(": ").map_or(text.as_str(), |it| it.1);
                Err(Refusal::field(quoted(why).unwrap_or("query"), why))
            }
        }
    }
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

async fn read(request: Request, edge: &Edge) -> Result<Bytes, Refusal> {
    let limit = edge.config.body_bytes;
    let too_large = || Refusal::new(Code::TooLarge, format!("a body may have {limit} bytes"));
    let announced = content_length(request.headers());
    let patient = request.headers().contains_key(header::EXPECT);
    if patient && announced.is_some_and(|it| it > limit) {
        return Err(too_large());
    }
    let read = timeout(edge.config.body_timeout, async {
        let mut body = request.into_body();
        let all = collect(&mut body, limit).await?;
        if all.is_none() {
            discard(body).await;
        }
        all.ok_or_else(too_large)
    });
    read.await.unwrap_or_else(|_elapsed| {
        Err(Refusal::new(Code::BodyTimeout, "the body did not arrive in time"))
    })
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The whole body; `None` once it is past the limit.
async fn collect(body: &mut Body, limit: usize) -> Result<Option<Bytes>, Refusal> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let cut = |_| Refusal::new(Code::InvalidRequest, "the body ended too early");
        let Ok(data) = frame.map_err(cut)?.into_data() else {
            continue;
        };
        if all.len() + data.len() > limit {
            return Ok(None);
        }
        all.extend_from_slice(&data);
    }
    Ok(Some(all.freeze()))
}

async fn discard(mut body: Body) {
    let mut wasted = 0;
    while let Some(Ok(frame)) = body.frame().await {
        wasted += frame.data_ref().map_or(0, Bytes::len);
        if wasted > WASTE_BYTES {
            return;
        }
    }
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
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    json.end().map_err(|error| refuse(".", &error))?;
    Ok(value)
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
    Refusal::field(field, why)
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
    fn what_is_not_json_is_refused_without_harm() {
        let deep = "[".repeat(100_000);
        for bad in ["", "x", "{", "nul", "{}{}", "\u{feff}{}", "NaN", deep.as_str()] {
            assert!(parse::<serde_json::Value>(bad.as_bytes()).is_err());
        }
    }
}
