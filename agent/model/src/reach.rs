//! Whether a provider is there and takes its key, found out by a request that
//! costs nothing: the list of models, or a question that is refused because it
//! asks nothing. Decides nothing about it, and shows no key.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::{Error, Protocol, Provider, dashscope, sse};

/// The most of a list of models that is read, in bytes.
const MAX_LIST: usize = 4 * 1024 * 1024;

/// What became of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The provider's URL, without what is secret in it.
    pub place: String,
    /// What was found there.
    pub found: Found,
    /// How long that took.
    pub took: Duration,
}

/// What was found where a provider should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Something that speaks HTTP.
    Answered {
        /// The status of its answer.
        status: u16,
        /// The models that it lists, if it lists any.
        models: Option<Vec<String>>,
    },
    /// Nobody knows the name of the host.
    Unresolved(String),
    /// Nothing listens there, or no way leads there.
    Unconnected(String),
    /// Its certificate is not believed, or it speaks no TLS.
    Untrusted(String),
    /// No answer in time.
    Silent,
    /// The connection was made, and the answer was none.
    Broken(String),
}

impl Provider {
    /// Asks the provider of this name, once and for so long at most, what costs
    /// nothing. `model` is one that may be asked for there.
    ///
    /// Errors: it cannot be set up.
    pub async fn reach(&self, name: &str, model: &str, time: Duration) -> Result<Reach, Error> {
        let connection = Connection::new(name, self.clone())?;
        let began = Instant::now();
        let found = timeout(time, ask(&connection, model)).await;
        let found = found.unwrap_or(Found::Silent);
        Ok(Reach { place: connection.place(), found, took: began.elapsed() })
    }
}

async fn ask(connection: &Connection, model: &str) -> Found {
    let asked = match connection.provider().protocol {
        Protocol::OpenAi => connection.get("models").await,
        // It has no list. A question without messages is refused, but only
        // after the key was looked at.
        Protocol::DashScope => {
            let nothing = json!({ "model": model, "input": {} });
            connection.send(dashscope::PATH, HeaderMap::new(), &nothing).await
        }
    };
    match asked {
        Ok(response) => answered(response).await,
        Err(error) => unanswered(&error),
    }
}

async fn answered(response: Response) -> Found {
    let status = response.status();
    let models = match status {
        StatusCode::OK => sse::whole(response, MAX_LIST).await.ok().as_deref().and_then(listed),
        _ => None,
    };
    Found::Answered { status: status.as_u16(), models }
}

/// The names in a list of models.
fn listed(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let name = |it: &Value| it["id"].as_str().map(str::to_owned);
    Some(body["data"].as_array()?.iter().filter_map(name).collect())
}

/// Why there is no answer. The library has one word for all that goes wrong
/// before a request is sent; only its causes tell.
fn unanswered(error: &reqwest::Error) -> Found {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    let last = causes.last().cloned().unwrap_or_default();
    if error.is_timeout() {
        return Found::Silent;
    }
    if error.is_connect() { unconnected(&causes, last) } else { Found::Broken(last) }
}

fn unconnected(causes: &[String], last: String) -> Found {
    let told = |word: &str| causes.iter().any(|it| it.contains(word));
    if told("dns error") {
        Found::Unresolved(last)
    } else if ["certificate", "corrupt message", "HandshakeFailure", "peer misbehaved"]
        .into_iter()
        .any(told)
    {
        Found::Untrusted(last)
    } else {
        Found::Unconnected(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_tell_a_name_from_a_port_and_from_a_certificate() {
        let found = |causes: &[&str]| {
            let causes: Vec<_> = causes.iter().map(|it| (*it).to_owned()).collect();
            unconnected(&causes, causes.last().cloned().unwrap_or_default())
        };
        let no_name = found(&["dns error", "failed to lookup address information"]);
        assert_eq!(no_name, Found::Unresolved("failed to lookup address information".to_owned()));
        let refused = found(&["tcp connect error", "Connection refused (os error 111)"]);
        assert!(matches!(refused, Found::Unconnected(_)));
        for why in [
            "invalid peer certificate: UnknownIssuer",
            "received corrupt message of type InvalidContentType",
        ] {
            assert!(matches!(found(&["client error (Connect)", why]), Found::Untrusted(_)));
        }
    }

    #[test]
    fn a_list_has_names_and_anything_else_is_none() {
        let list = br#"{"object":"list","data":[{"id":"a"},{"no":1},{"id":"b"}]}"#;
        assert_eq!(listed(list), Some(vec!["a".to_owned(), "b".to_owned()]));
        for none in [&b"<html>"[..], b"{}", b"{\"data\":3}", b""] {
            assert_eq!(listed(none), None);
        }
    }
}
