//! A short look at a gateway: each page is asked for once, and for a bounded
//! time. Judges nothing; an answer that says no is an answer.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap};
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::timeout;

use crate::access;
use crate::flags::Peer;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most of a page that is read, in bytes.
const PAGE: usize = 4 * 1024 * 1024;
/// What every problem of a gateway is called, before its name.
const PROBLEM: &str = "urn:weir:problem:";

/// The way to a gateway.
#[derive(Debug)]
pub(crate) struct Visit {
    http: Client,
    base: Url,
}

/// What it says on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// What time it is there.
    pub(crate) date: Option<Timestamp>,
    /// Its JSON; null when it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Why it says no, in its words.
    pub(crate) fn why(&self) -> String {
        let said = self.body["detail"].as_str().or(self.body["title"].as_str());
        said.map_or_else(|| self.status.to_string(), str::to_owned)
    }

    /// Whether only a gateway says no like this.
    pub(crate) fn is_problem(&self) -> bool {
        self.body["type"].as_str().is_some_and(|it| it.starts_with(PROBLEM))
    }

    fn is_ready(&self) -> bool {
        self.status == StatusCode::OK && self.body["status"] == "ready"
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// No connection is made; the last cause.
    Unconnected(String),
    /// A connection, and no answer in time.
    Silent,
    /// A connection, and what comes is no answer; the last cause.
    Broken(String),
}

impl Visit {
    /// Errors: what was given cannot be used.
    pub(crate) fn to(peer: &Peer) -> anyhow::Result<Self> {
        let base = access::base(&peer.server)?;
        let http = access::http(&peer.access, &base)?;
        Ok(Self { http, base })
    }

    /// What is at this path.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Unanswered> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        let asked = timeout(PATIENCE, async { read(self.http.get(url).send().await?).await });
        match asked.await {
            Err(_elapsed) => Err(Unanswered::Silent),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_timeout() => Err(Unanswered::Silent),
            Ok(Err(error)) if error.is_connect() => {
                Err(Unanswered::Unconnected(access::cause(&error)))
            }
            Ok(Err(error)) => Err(Unanswered::Broken(access::cause(&error.without_url()))),
        }
    }

    /// Whether it takes work; what it says against that.
    pub(crate) async fn ready(&self) -> Result<Result<Answer, Answer>, Unanswered> {
        let answer = self.get("/readyz").await?;
        Ok(if answer.is_ready() { Ok(answer) } else { Err(answer) })
    }
}

async fn read(mut response: Response) -> reqwest::Result<Answer> {
    let (status, date) = (response.status(), date(response.headers()));
    let kind = response.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let json = kind.is_some_and(|it| it.contains("json"));
    let mut body = Vec::new();
    while json && body.len() < PAGE {
        let Some(more) = response.chunk().await? else { break };
        body.extend_from_slice(&more);
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Ok(Answer { status, date, body })
}

fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text).ok()?.to_datetime();
    let zoned = date.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn a_date_is_read_as_servers_write_it() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(date(&headers), Some("1994-11-06T08:49:37Z".parse().unwrap()));
        headers.insert(DATE, "yesterday".parse().unwrap());
        assert_eq!(date(&headers), None);
    }

    #[test]
    fn only_a_gateway_says_no_in_its_own_words() {
        let answer = |body| Answer { status: StatusCode::UNAUTHORIZED, date: None, body };
        let ours = answer(json!({"type": "urn:weir:problem:unauthenticated", "detail": "show it"}));
        assert!(ours.is_problem() && ours.why() == "show it");
        let theirs = answer(json!({"type": "about:blank"}));
        assert!(!theirs.is_problem() && theirs.why() == "401 Unauthorized");
    }
}
