//! The chat page and its parts, compiled in. Asks nothing of other servers and
//! runs nothing that is not a file of its own.
//!
//! Parts lie under the version of the whole and are kept for ever; another
//! version's address, which a browser has from a gateway before or after this
//! one, is answered with the part of today, not to be kept.

mod files;
mod negotiate;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::problem::{Code, Refusal};
use files::{File, PAGE};

/// No text becomes markup or script: Trusted Types have no policy that makes any.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'",
);

/// What the page never asks of a device, and nobody may ask through it.
const PERMISSIONS: HeaderValue = HeaderValue::from_static(
    "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), \
     gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), \
     publickey-credentials-get=(), serial=(), usb=(), xr-spatial-tracking=()",
);

/// No window of another site has a handle on this one.
const ALONE: HeaderValue = HeaderValue::from_static("same-origin");

const FRESH: HeaderValue = HeaderValue::from_static("no-cache");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// `GET /`
pub(crate) async fn index(headers: HeaderMap) -> Response {
    send(&PAGE.index, FRESH, &headers)
}

/// `GET /page/{version}/{*file}`
pub(crate) async fn part(
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let found = path.ok().and_then(|Path((version, name))| Some((version, PAGE.file(&name)?)));
    let Some((version, file)) = found else {
        return Refusal::new(Code::NotFound, "the page has no such file").into_response();
    };
    send(file, if version == PAGE.version { FOR_EVER } else { FRESH }, &headers)
}

fn send(file: &File, kept: HeaderValue, headers: &HeaderMap) -> Response {
    let compressed = negotiate::takes_gzip(headers);
    let tag = file.tag(compressed);
    let known = tag.to_str().is_ok_and(|it| negotiate::has(headers, it));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.bytes(compressed).into_response()
    };
    let told = response.headers_mut();
    if compressed && !known {
        told.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in [
        (header::CONTENT_TYPE, file.kind.clone()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, kept),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("cross-origin-opener-policy"), ALONE),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        told.insert(name, value);
    }
    response
}
