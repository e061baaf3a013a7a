//! When what was acknowledged is safe from a power cut. A server tells only its
//! monitor (`/varz`), so it is known of servers whose monitor is named, and said
//! to be unknown of all others. The weakest server counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::Config;
use crate::{Error, Result, Synced};

/// How long one monitor may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most bytes that are read of one page.
const MOST: usize = 1 << 20;

/// What a monitor says, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Varz {
    server_name: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Debug, Default, Deserialize)]
struct JetStream {
    config: Option<Disk>,
}

#[derive(Debug, Deserialize)]
struct Disk {
    #[serde(default)]
    sync_always: bool,
    /// In nanoseconds.
    #[serde(default)]
    sync_interval: u64,
}

/// When these servers sync what they acknowledge.
///
/// Errors: [`Error::Unsuitable`] for a monitor that is not an http(s) URL.
pub(super) async fn synced(config: &Config, servers: &BTreeSet<String>) -> Result<Synced> {
    if config.monitors.is_empty() {
        let why = "a server tells only its monitor, and none is named";
        return Ok(Synced::Unknown(why.to_owned()));
    }
    let client = client(config).await?;
    let asked = config.monitors.iter().map(|it| ask(&client, it));
    let mut said = BTreeMap::new();
    let mut silent = None;
    for answer in futures::future::join_all(asked).await {
        match answer? {
            Ok(varz) => drop(said.insert(varz.server_name.clone(), of(&varz))),
            Err(why) => silent = silent.or(Some(why)),
        }
    }
    if let Some(why) = silent {
        return Ok(Synced::Unknown(why));
    }
    let unnamed = servers.iter().find(|it| !said.contains_key(*it));
    if let Some(server) = unnamed {
        return Ok(Synced::Unknown(format!("no monitor of server {server} is named")));
    }
    Ok(said.into_values().fold(Synced::Always, weaker))
}

fn of(varz: &Varz) -> Synced {
    match &varz.jetstream.config {
        None => Synced::Unknown(format!("server {} has no JetStream", varz.server_name)),
        Some(disk) if disk.sync_always => Synced::Always,
        Some(disk) if disk.sync_interval > 0 => {
            Synced::Within(Duration::from_nanos(disk.sync_interval))
        }
        Some(_) => Synced::Unknown(format!("server {} does not say", varz.server_name)),
    }
}

fn weaker(a: Synced, b: Synced) -> Synced {
    let rank = |it: &Synced| match it {
        Synced::Always => (0, Duration::ZERO),
        Synced::Within(window) => (1, *window),
        Synced::Never => (2, Duration::ZERO),
        Synced::Unknown(_) => (3, Duration::ZERO),
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

async fn client(config: &Config) -> Result<reqwest::Client> {
    let unfit = |error: &dyn std::fmt::Display| {
        Error::Unsuitable(format!("the monitors of NATS cannot be asked: {error}"))
    };
    let mut client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(ca) = &config.security.ca {
        let pem = tokio::fs::read(ca).await.map_err(|it| unfit(&it))?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|it| unfit(&it))?;
        client = client.tls_certs_only(trusted);
    }
    client.build().map_err(|it| unfit(&it))
}

/// The outer error is a wrong URL, the inner one a monitor that does not answer.
async fn ask(client: &reqwest::Client, url: &str) -> Result<Result<Varz, String>> {
    let page = format!("{}/varz", url.trim_end_matches('/'));
    let Ok(page) = page.parse::<reqwest::Url>() else {
        return Err(Error::Unsuitable(format!("{url:?} is not the URL of a monitor")));
    };
    if !matches!(page.scheme(), "http" | "https") || !page.username().is_empty() {
        return Err(Error::Unsuitable("a monitor's URL is http://host:port".to_owned()));
    }
    let silent = |error: reqwest::Error| {
        let error = error.without_url();
        let why = std::error::Error::source(&error).map_or(String::new(), |it| format!(": {it}"));
        format!("the monitor at {url} does not answer: {error}{why}")
    };
    let answered = async {
        let mut answer = client.get(page).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST {
                break;
            }
        }
        Ok(text)
    };
    let text = match answered.await {
        Ok(text) => text,
        Err(error) => return Ok(Err(silent(error))),
    };
    Ok(serde_json::from_slice(&text)
        .map_err(|error| format!("the page at {url} is not that of a monitor: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Synced {
        of(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_server_says_when_it_syncs() {
        let always = r#"{"server_name":"n1","jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#;
        assert_eq!(said(always), Synced::Always);
        let later = r#"{"server_name":"n1","jetstream":{"config":{"sync_interval":120000000000}}}"#;
        assert_eq!(said(later), Synced::Within(Duration::from_mins(2)));
        for nothing in [r#"{"server_name":"n1","jetstream":{}}"#, r#"{"server_name":"n1"}"#] {
            assert!(matches!(said(nothing), Synced::Unknown(_)));
        }
    }

    #[test]
    fn the_weakest_server_counts() {
        let (short, long) = (Duration::from_secs(1), Duration::from_mins(2));
        let unknown = Synced::Unknown("x".to_owned());
        let all = [Synced::Always, Synced::Within(short), Synced::Within(long), unknown];
        for (at, a) in all.iter().enumerate() {
            for b in &all[at..] {
                assert_eq!(weaker(a.clone(), b.clone()), *b);
                assert_eq!(weaker(b.clone(), a.clone()), *b);
            }
        }
    }
}
