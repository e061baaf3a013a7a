//! A key set that is fetched. Refuses URLs that others could answer in place of
//! their server, redirects, and answers that are large or slow.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, redirect};

/// How long a fetch may take, and the connecting in it.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// Where a key set is.
#[derive(Debug)]
pub(super) struct Remote {
    url: Url,
    http: Client,
}

impl Remote {
    pub(super) fn at(url: &str) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
        if url.scheme() != "https" && !is_here(&url) {
            return Err("must be https://, or http:// to this machine".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have a password in it".to_owned());
        }
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { url, http })
    }

    /// What is there now.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, String> {
        let asked = self.http.get(self.url.clone()).header("accept", "application/json");
        let mut answer = asked.send().await.map_err(|error| cause(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("answers {}", answer.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| cause(&error))? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(format!("is larger than {MAX_BYTES} bytes"));
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }
}

/// Whether only this machine can answer.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let here = bare.parse::<IpAddr>().map_or(bare == "localhost", |it| it.is_loopback());
    url.scheme() == "http" && here
}

/// The last cause: the library's own words stop before it.
fn cause(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    format!("cannot be fetched: {last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_set_comes_by_https_or_from_this_machine() {
        for (url, expected) in [
            ("https://id.example.org/keys", true),
            ("http://127.0.0.1:5/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://id.example.org/keys", false),
            ("http://localhost.example.org/keys", false),
            ("http://10.0.0.1/keys", false),
            ("http://169.254.169.254/keys", false),
            ("ftp://id.example.org/keys", false),
            ("file:///etc/passwd", false),
            ("https://user:secret@id.example.org/keys", false),
            ("https://", false),
            ("keys", false),
        ] {
            assert_eq!(Remote::at(url).is_ok(), expected, "{url}");
        }
    }
}
