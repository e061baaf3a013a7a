//! URLs of providers: read, extended, and shown without what is secret in them.
//! Pure.

use reqwest::Url;

use crate::Error;

/// Reads a base URL as it is configured.
pub(crate) fn parse(base: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::BadUrl { url: shown(base), reason };
    let url = Url::parse(base).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it must be an http or https URL".to_owned()));
    }
    Ok(url)
}

/// The URL of `path` below the base; a query of the base stays where it is.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let joined = format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/'));
    url.set_path(&joined);
    url.set_fragment(None);
    url
}

/// The base without the path that it ends in, if it does.
pub(crate) fn without(mut base: Url, end: &str) -> Url {
    if let Some(path) = base.path().trim_end_matches('/').strip_suffix(end) {
        let path = path.to_owned();
        base.set_path(&path);
    }
    base
}

/// A URL for people: without user, password, query and closing slashes. Takes
/// also what is no URL.
pub(crate) fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = url[..end].trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("//") else {
        return url.rsplit('@').next().unwrap_or("").to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A password may hold a slash when nobody has checked it yet.
    let path = path.rsplit('@').next().unwrap_or("");
    let host = if path.len() < rest.len() - host.len() { "" } else { host };
    format!("{scheme}//{}{path}", host.rsplit('@').next().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_without_what_is_secret_in_it() {
        for (url, want) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("http://me:secret@127.0.0.1:9/v1/", "http://127.0.0.1:9/v1"),
            ("https://x.example/v1?key=secret#secret", "https://x.example/v1"),
            ("ftp://me:se/cr@et@x.example/v1", "ftp://x.example/v1"),
            ("ftp://me:sec/ret@x.example/v1", "ftp://x.example/v1"),
            ("me:secret@x.example", "x.example"),
            ("//", ""),
            ("", ""),
        ] {
            let shown = shown(url);
            assert!(!shown.contains("secret"), "{url}: {shown}");
            assert_eq!(shown.trim_end_matches('/'), want.trim_end_matches('/'), "{url}");
        }
    }

    #[test]
    fn a_path_goes_below_the_base_and_before_its_query() {
        for (base, want) in [
            ("http://x.example/v1/", "http://x.example/v1/a/b"),
            ("http://x.example", "http://x.example/a/b"),
            ("http://x.example/v1?version=2", "http://x.example/v1/a/b?version=2"),
        ] {
            assert_eq!(below(&parse(base).unwrap(), "/a/b").as_str(), want);
        }
    }

    #[test]
    fn the_end_of_a_base_is_taken_off_only_where_it_is() {
        for (base, want) in [
            ("http://x.example/api/v1/", "http://x.example/"),
            ("http://x.example/proxy/api/v1", "http://x.example/proxy"),
            ("http://x.example/", "http://x.example/"),
            ("http://x.example/api/v1/more", "http://x.example/api/v1/more"),
        ] {
            assert_eq!(without(parse(base).unwrap(), "/api/v1").as_str(), want);
        }
    }

    #[test]
    fn only_http_has_a_place() {
        for bad in ["ftp://me:secret@x", "x", "http://", "file:///etc/passwd", "http://[::1"] {
            let refused = parse(bad).unwrap_err().to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}
