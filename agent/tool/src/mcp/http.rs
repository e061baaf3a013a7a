//! A server over streamable HTTP.
//!
//! It gets the configured headers and nothing of the user's. Redirects lead
//! nowhere else, no proxy reads along, and an answer that is too large breaks
//! off.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, ClientBuilder, Url};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::common::client_side_sse::FixedInterval;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use secrecy::{ExposeSecret as _, SecretString};

use super::MAX_MESSAGE;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed, within the same origin.
const MAX_REDIRECTS: usize = 3;
/// Tries to take up an event stream that broke off, and the pause before each.
const RESUMES: usize = 3;
const RESUME_PAUSE: Duration = Duration::from_millis(500);

/// A connection to be, to this address. The error says what is wrong with the
/// configuration.
pub(super) fn transport(
    url: &str,
    headers: &BTreeMap<String, SecretString>,
) -> Result<StreamableHttpClientTransport<Client>, String> {
    Url::parse(url).map_err(|it| format!("the address cannot be used: {it}"))?;
    let client = client(Client::builder())?;
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    config.custom_headers = named(headers)?;
    config.max_sse_event_size = MAX_MESSAGE;
    config.retry_config = Arc::new(resumes());
    // A call is never sent twice by itself; whoever keeps the connection opens
    // another session.
    config.reinit_on_expired_session = false;
    Ok(StreamableHttpClientTransport::with_client(client, config))
}

/// The headers are for the server alone: whatever proxy the builder or the
/// environment has, none is used.
fn client(builder: ClientBuilder) -> Result<Client, String> {
    let client = builder
        .connect_timeout(CONNECT)
        .redirect(Policy::custom(follow))
        // An answer that was not read to its end would hold up the next.
        .pool_max_idle_per_host(0)
        .no_proxy();
    client.build().map_err(|it| format!("no HTTP client: {}", it.without_url()))
}

fn resumes() -> FixedInterval {
    let mut resumes = FixedInterval::default();
    (resumes.max_times, resumes.duration) = (Some(RESUMES), RESUME_PAUSE);
    resumes
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let same = attempt.previous().first().is_some_and(|it| it.origin() == attempt.url().origin());
    if !same {
        return attempt.error("a redirect to another host is not followed");
    }
    if attempt.previous().len() > MAX_REDIRECTS {
        return attempt.error("too many redirects");
    }
    // The others would make a question without a body of it.
    if !matches!(attempt.status().as_u16(), 307 | 308) {
        return attempt.error("a redirect that loses the message is not followed");
    }
    attempt.follow()
}

fn named(
    headers: &BTreeMap<String, SecretString>,
) -> Result<HashMap<HeaderName, HeaderValue>, String> {
    let mut named = HashMap::new();
    for (name, value) in headers {
        let key: HeaderName =
            name.parse().map_err(|_invalid| format!("{name:?} is no name of a header"))?;
        // The error would show the value.
        let mut value: HeaderValue = (value.expose_secret().parse())
            .map_err(|_invalid| format!("the value of the header {name} cannot be sent"))?;
        value.set_sensitive(true);
        named.insert(key, value);
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_is_asked_itself_whatever_proxy_there_is() {
        let server = TcpListener::bind("[::1]:0").await.unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", server.local_addr().unwrap());
        // As the environment would set it.
        let through = format!("http://{}", proxy.local_addr().unwrap());
        let builder = Client::builder().proxy(reqwest::Proxy::all(through).unwrap());
        let asked = client(builder).unwrap().get(url).header("X-Key", "s3cret").send();
        let answered = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut question = vec![0; 4096];
            let read = stream.read(&mut question).await.unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&question[..read]).into_owned()
        };
        let both = async { tokio::join!(asked, answered) };
        let proxied = async { proxy.accept().await.map(drop) };
        let (asked, question) = tokio::select! {
            both = both => both,
            _ = proxied => panic!("the proxy was asked"),
        };
        assert_eq!(asked.unwrap().status(), 204);
        assert!(question.starts_with("GET /mcp"), "{question}");
    }
}
