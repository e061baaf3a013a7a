//! How a client reaches a gateway: whom it believes to be one, and the key that
//! it shows. The key goes to that gateway alone, and not where others could read
//! it.

use std::error::Error as _;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{ClientBuilder, Url, redirect};
use secrecy::{ExposeSecret as _, SecretString};

use crate::ending::Misused;
use crate::flags::Access;

/// What is spoken above TLS.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The most of a file that a key is looked for in, in bytes.
const KEY_FILE: u64 = 16 * 1024;

/// Where the gateway is that `--server` names.
///
/// Errors: that is no URL of HTTP; told without what is secret in it.
pub(crate) fn base(server: &str) -> Result<Url, Misused> {
    let usable = |it: &Url| matches!(it.scheme(), "http" | "https");
    let wrong = || format!("--server {:?}: must be an http:// or https:// URL", shown(server));
    server.parse().ok().filter(usable).ok_or_else(|| Misused(wrong()))
}

/// What sends requests to the gateway at `base`.
///
/// Errors: a file cannot be used; the key would be sent in the clear.
pub(crate) fn http(access: &Access, base: &Url) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        // A gateway sends nobody elsewhere, and a key is for nobody else.
        .redirect(redirect::Policy::none());
    let builder = believing(builder, access.ca.as_deref())?;
    let Some(key) = key(access)? else {
        return Ok(builder.build()?);
    };
    ensure!(
        access.unencrypted || is_private(base),
        "--server {}: without TLS everybody on the way could read the API key; https:// \
         encrypts it, --send-key-unencrypted sends it all the same",
        shown(base.as_str())
    );
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, bearer(&key)?);
    Ok(builder.default_headers(headers).build()?)
}

fn believing(builder: ClientBuilder, ca: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    let Some(ca) = ca else {
        return Ok(builder);
    };
    let tls = tls::Client::open(Some(ca.to_owned()), None, PROTOCOLS).context("--ca")?;
    Ok(builder.tls_backend_preconfigured(tls.config()))
}

fn key(access: &Access) -> anyhow::Result<Option<SecretString>> {
    let key = match (&access.key, &access.key_file) {
        (Some(key), _) => key.clone(),
        (None, Some(file)) => first_line(file)
            .with_context(|| format!("the API key in {} cannot be read", file.display()))?,
        (None, None) => return Ok(None),
    };
    ensure!(!key.expose_secret().is_empty(), "the API key is empty");
    Ok(Some(key))
}

fn first_line(file: &Path) -> std::io::Result<SecretString> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(KEY_FILE).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().trim().into())
}

fn bearer(key: &SecretString) -> anyhow::Result<HeaderValue> {
    // What the library says of a bad value could show it.
    let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", key.expose_secret())) else {
        bail!("the API key has characters that no request can carry");
    };
    value.set_sensitive(true);
    Ok(value)
}

/// Whether nobody between here and there can read along.
fn is_private(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = match plain.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_name) => plain == "localhost" || plain.ends_with(".localhost"),
    };
    base.scheme() == "https" || loopback
}

/// Why nothing came of a request: the last cause, which names the certificate or
/// the address; the library's own words stop before it.
pub(crate) fn cause(error: &reqwest::Error) -> String {
    let mut last = error.source();
    while let Some(next) = last.and_then(std::error::Error::source) {
        last = Some(next);
    }
    last.map_or_else(|| error.to_string(), ToString::to_string)
}

/// A URL for people: without user, password and query.
pub(crate) fn shown(url: &str) -> String {
    let Ok(mut shown) = url.parse::<Url>() else {
        return url.rsplit('@').next().unwrap_or_default().to_owned();
    };
    // What cannot have them has none.
    let taken = shown.set_username("").and_then(|()| shown.set_password(None));
    if taken.is_err() {
        return shown.host_str().unwrap_or_default().to_owned();
    }
    shown.set_query(None);
    shown.set_fragment(None);
    shown.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(key: Option<&str>) -> Access {
        Access { ca: None, key: key.map(Into::into), key_file: None, unencrypted: false }
    }

    #[test]
    fn a_key_is_sent_in_the_clear_only_to_this_machine_or_when_told_so() {
        for (server, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("https://weir.example", true),
            ("http://weir.example", false),
            ("http://10.0.0.1", false),
            ("http://localhost.example", false),
        ] {
            let base = server.parse().unwrap();
            let secret = access(Some("canary"));
            let made = http(&secret, &base);
            assert_eq!(made.is_ok(), expected, "{server}");
            assert!(made.is_ok() || !format!("{:#}", made.unwrap_err()).contains("canary"));
            assert!(http(&Access { unencrypted: true, ..secret }, &base).is_ok());
            assert!(http(&access(None), &base).is_ok());
        }
    }

    #[test]
    fn a_place_is_shown_without_what_is_secret_in_it() {
        for (url, expected) in [
            ("http://me:canary@a:8080/", "http://a:8080"),
            ("https://a/below/?key=canary#canary", "https://a/below"),
            ("me:canary@a", ""),
            ("canary@a", "a"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn only_a_url_of_http_names_a_gateway() {
        assert!(base("http://a:1").is_ok() && base("https://a/below").is_ok());
        for wrong in ["ftp://me:canary@a", "notaurl", "a:8080", "me:canary@a:80", ""] {
            let error = base(wrong).unwrap_err().to_string();
            assert!(error.contains("https://") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_key_comes_from_a_file_and_is_shown_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let base: Url = "http://127.0.0.1".parse().unwrap();
        let of_file = || Access { key_file: Some(file.clone()), ..access(None) };
        assert!(http(&of_file(), &base).is_err());
        for (text, expected) in
            [("canary\n", Ok("canary")), ("  canary \r\nmore", Ok("canary")), ("\n", Err(()))]
        {
            std::fs::write(&file, text).unwrap();
            let read = key(&of_file());
            let read = read.as_ref().map(|it| it.as_ref().unwrap().expose_secret());
            assert_eq!(read.map_err(drop), expected, "{text:?}");
        }
        let client = http(&access(Some("canary")), &base).unwrap();
        assert!(!format!("{client:?}").contains("canary"), "{client:?}");
        let error = http(&access(Some("canary\u{7}")), &base).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
