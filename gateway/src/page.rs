//! The chat page and its parts, compiled in. Asks nothing of other servers and
//! runs nothing that is not a file of its own.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::{Code, Refusal};

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

#[derive(RustEmbed)]
#[folder = "page/"]
struct Files;

/// `GET /`
pub(crate) async fn index(headers: HeaderMap) -> Response {
    file("index.html", &headers)
}

/// `GET /page/{file}`
pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&name, &headers)
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    let (Some(file), Some(kind)) = (Files::get(name), kind(name)) else {
        return Refusal::new(Code::NotFound, "the page has no such file").into_response();
    };
    let tag = tag(&file);
    let known = headers.get(header::IF_NONE_MATCH) == Some(&tag);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.data.into_response() };
    for (name, value) in [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        response.headers_mut().insert(name, value);
    }
    response
}

fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn tag(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let digits: Vec<_> = hash[..12].iter().map(|it| format!("{it:02x}")).collect();
    HeaderValue::from_str(&format!("\"{}\"", digits.concat()))
        .expect("hexadecimal digits between quotes are a header value")
}
