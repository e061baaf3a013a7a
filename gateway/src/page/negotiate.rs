//! What a client takes and what it has: `Accept-Encoding` and `If-None-Match`
//! (RFC 9110, 12.5.3 and 13.1.2). Pure; a header that says nothing sensible is
//! read as if it were not there.

use http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

/// Whether gzip is accepted, and no less than the plain form where that is
/// named.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let mut gzip = None;
    let mut plain = None;
    let mut other = None;
    for item in items(headers, ACCEPT_ENCODING) {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let place = match coding.trim_end().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => &mut gzip,
            "identity" => &mut plain,
            "*" => &mut other,
            _ => continue,
        };
        place.get_or_insert(weight(parameters));
    }
    let gzip = gzip.or(other).unwrap_or(0.0);
    gzip > 0.0 && gzip >= plain.unwrap_or(0.0)
}

/// How much a coding is wanted, from 0 for not at all to 1.
fn weight(parameters: &str) -> f32 {
    let parameter = parameters.trim().split_once('=');
    match parameter {
        Some(("q" | "Q", value)) => value.parse().ok().filter(|it| (0.0..=1.0).contains(it)),
        None if parameters.trim().is_empty() => Some(1.0),
        Some(_) | None => None,
    }
    .unwrap_or(0.0)
}

/// Whether the client has the form of this tag.
pub(super) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let mut tags = items(headers, IF_NONE_MATCH);
    tags.any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag)
}

/// The members of a list that may stand in several lines.
fn items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|it| it.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|it| (name.clone(), it.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (lines, expected) in [
            (&[][..], false),
            (&[""], false),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["x-gzip"], true),
            (&["gzip, deflate, br, zstd"], true),
            (&["br", "gzip"], true),
            (&["deflate, br"], false),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["gzip ; q=0.001"], true),
            (&["gzip;Q=1"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*;q=0, gzip"], true),
            (&["gzip;q=0, *"], false),
            (&["identity"], false),
            (&["identity, gzip;q=0.5"], false),
            (&["identity;q=0.5, gzip"], true),
            (&["identity, gzip"], true),
            (&["gzip;q=2"], false),
            (&["gzip;q=-1"], false),
            (&["gzip;q=NaN"], false),
            (&["gzip;q="], false),
            (&["gzip;level=9"], false),
            (&["gzipped"], false),
        ] {
            assert_eq!(takes_gzip(&headers(&ACCEPT_ENCODING, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_tag_is_found_in_every_list() {
        for (lines, expected) in [
            (&[][..], false),
            (&["\"a\""], true),
            (&["W/\"a\""], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["*"], true),
            (&["a"], false),
            (&["\"a-gzip\""], false),
            (&["w/\"a\""], false),
        ] {
            assert_eq!(has(&headers(&IF_NONE_MATCH, lines), "\"a\""), expected, "{lines:?}");
        }
    }
}
