//! One connection to a server, from the first greeting to the last farewell.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use process::Lifecycle;
use rmcp::RoleClient;
use rmcp::model::{PaginatedRequestParams, ProtocolVersion, SubscriptionFilter, Tool};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, Peer, RunningService, ServiceError, Subscription,
    serve_client_with_lifecycle_and_ct,
};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use rmcp::transport::{DynamicTransportError, IntoTransport};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::hidden::{hide, without_addresses};
use super::stdio::Process;
use super::{Server, Transport, http};

/// How long a server may take to greet when it is asked for its versions first.
/// Some that know only the handshake stay silent then.
const PROBE: Duration = Duration::from_secs(5);
/// How long the handshake may take; programs that are fetched first are slow.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a page of the list may take.
const PAGE: Duration = Duration::from_secs(30);
/// How long the answer to a subscription may take.
const SUBSCRIBE: Duration = Duration::from_secs(3);
/// Pages of a list of tools.
const MAX_PAGES: usize = 32;
/// Tools of a server; what is beyond does not count.
pub(super) const MAX_TOOLS: usize = 256;
/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection that has greeted. Dropping it breaks it off.
pub(super) struct Link {
    pub(super) peer: Peer<RoleClient>,
    pub(super) protocol: ProtocolVersion,
    ended: Shared<BoxFuture<'static, ()>>,
    stop: CancellationToken,
    changes: Option<Subscription>,
    process: Option<Process>,
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Which greeting is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Asks for the server's versions first.
    Probe,
    /// The handshake that all know.
    Handshake,
}

impl Greeting {
    fn mode(self) -> ClientLifecycleMode {
        match self {
            Self::Probe => ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
            Self::Handshake => ClientLifecycleMode::Initialize,
        }
    }

    fn time(self) -> Duration {
        match self {
            Self::Probe => PROBE,
            Self::Handshake => HANDSHAKE,
        }
    }
}

impl Link {
    /// Connects and greets. The error says what went wrong, without secrets.
    pub(super) async fn open(
        name: &str,
        server: &Server,
        greeting: Greeting,
        changed: Arc<Notify>,
        life: &Lifecycle,
    ) -> Result<Self, String> {
        let opened = Self::opened(name, server, greeting, changed, life).await;
        opened.map_err(|it| hide(&it, &server.transport))
    }

    async fn opened(
        name: &str,
        server: &Server,
        greeting: Greeting,
        changed: Arc<Notify>,
        life: &Lifecycle,
    ) -> Result<Self, String> {
        let client = Client { server: name.to_owned(), changed };
        match &server.transport {
            Transport::Stdio { command, args, env } => {
                let (process, streams) = Process::start(name, command, args, env, life)
                    .map_err(|it| format!("{} cannot be started: {it}", command.display()))?;
                let greeted = greet(client, streams, greeting).await;
                match greeted {
                    Ok(link) => Ok(Self { process: Some(process), ..link }),
                    Err(reason) => {
                        process.end().await;
                        Err(reason)
                    }
                }
            }
            Transport::Http { url, headers } => {
                greet(client, http::transport(url, headers)?, greeting).await
            }
        }
    }

    /// The process, where the server is one of ours.
    pub(super) fn process(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }

    /// Subscribes to changes of the list, where the server wants to be asked.
    pub(super) async fn subscribe(&mut self) {
        let info = self.peer.peer_info();
        let tells = info.and_then(|it| it.capabilities.tools.as_ref()?.list_changed);
        if self.protocol.has_initialize() || tells != Some(true) {
            return;
        }
        let wanted = SubscriptionFilter::builder().tools_list_changed().build();
        self.changes = match timeout(SUBSCRIBE, self.peer.listen(wanted)).await {
            Ok(Ok(subscription)) => Some(subscription),
            // The list is looked at now and then, anyway.
            Ok(Err(_)) | Err(_) => None,
        };
    }

    /// Ready when something has happened.
    pub(super) async fn next(&mut self) -> Heard {
        let changes = self.changes.as_mut();
        let heard = async {
            match changes {
                Some(it) => it.next().await,
                None => std::future::pending().await,
            }
        };
        let heard = tokio::select! {
            biased;
            () = self.ended.clone() => return Heard::Ended,
            heard = heard => heard,
        };
        if !matches!(heard, Ok(Some(_))) {
            self.changes = None;
        }
        Heard::Changed
    }

    /// Says farewell and waits for the process to end, if there is one.
    pub(super) async fn close(mut self) {
        self.changes = None;
        self.stop.cancel();
        // What does not end is dropped.
        drop(timeout(FAREWELL, self.ended.clone()).await);
        if let Some(process) = self.process.take() {
            process.end().await;
        }
    }
}

/// All tools of a server, and whether there are more than count.
pub(super) async fn list(peer: &Peer<RoleClient>) -> Result<(Vec<Tool>, bool), String> {
    let mut tools = Vec::new();
    let mut cursor = None;
    for _ in 0..MAX_PAGES {
        let page = PaginatedRequestParams::default().with_cursor(cursor.clone());
        let listed = timeout(PAGE, peer.list_tools(Some(page))).await;
        let listed = listed.map_err(|_elapsed| SLOW.to_owned())?;
        let listed = listed.map_err(|it| format!("no list of its tools: {}", unlisted(it)))?;
        tools.extend(listed.tools);
        if tools.len() > MAX_TOOLS {
            tools.truncate(MAX_TOOLS);
            return Ok((tools, true));
        }
        if listed.next_cursor.is_none() || listed.next_cursor == cursor {
            return Ok((tools, false));
        }
        cursor = listed.next_cursor;
    }
    Ok((tools, true))
}

/// The list did not come in time.
pub(super) const SLOW: &str = "no list of its tools in time";

/// What has happened on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The list may have changed.
    Changed,
    /// The connection is gone.
    Ended,
}

async fn greet<T, E, A>(client: Client, transport: T, greeting: Greeting) -> Result<Link, String>
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let stop = CancellationToken::new();
    let mode = greeting.mode();
    let greeted = serve_client_with_lifecycle_and_ct(client, transport, mode, stop.clone());
    let running: RunningService<RoleClient, Client> = match timeout(greeting.time(), greeted).await
    {
        Ok(Ok(running)) => running,
        Ok(Err(error)) => return Err(told(error)),
        Err(_elapsed) => return Err(format!("no greeting in {} s", greeting.time().as_secs())),
    };
    let peer = running.peer().clone();
    let protocol = peer.peer_info().map(|it| it.protocol_version.clone()).unwrap_or_default();
    // How it ended is of no use to anybody.
    let ended = running.waiting().map(drop).boxed().shared();
    Ok(Link { peer, protocol, ended, stop, changes: None, process: None })
}

/// Why there was no greeting. The library wraps what happened, and its wrappers
/// say nothing of it.
fn told(error: ClientInitializeError) -> String {
    if let ClientInitializeError::LegacyFallbackFailed { fallback, .. } = error {
        return told(*fallback);
    }
    let ClientInitializeError::TransportError { error, .. } = error else {
        return words(&error);
    };
    sent(error)
}

/// Why there was no list.
fn unlisted(error: ServiceError) -> String {
    let ServiceError::TransportSend(error) = error else {
        return words(&error);
    };
    sent(error)
}

/// Why nothing could be sent, or nothing came of it.
fn sent(error: DynamicTransportError) -> String {
    let error = match error.error.downcast::<StreamableHttpError<reqwest::Error>>() {
        Ok(error) => *error,
        Err(error) => return words(error.as_ref()),
    };
    let StreamableHttpError::Client(error) = error else {
        return words(&error);
    };
    words(&error.without_url())
}

/// An error with its sources, which say more than it, and no address: it may
/// carry a key.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let inner = error.to_string();
        if !words.contains(&inner) {
            words.push_str(": ");
            words.push_str(&inner);
        }
        source = error.source();
    }
    let mut words = without_addresses(&words);
    crate::cut(&mut words, 1024);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_error_of_a_request_tells_the_address() {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = client.get("HTTP://127.0.0.1:1?key=s3cret").send().await.unwrap_err();
        assert!(asked.to_string().contains("s3cret"));
        let error = StreamableHttpError::Client(asked);
        let kind = std::any::TypeId::of::<()>();
        let error = DynamicTransportError::from_parts("http", kind, Box::new(error));
        let told = unlisted(ServiceError::TransportSend(error));
        assert!(told.contains("onnect") && !told.contains("s3cret"), "{told}");
    }
}
