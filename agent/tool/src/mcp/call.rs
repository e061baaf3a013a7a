//! Calling a tool, and what can be said when no answer came.
//!
//! A call is sent once. It is not sent when the tool is not, or no longer, what
//! was offered.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use process::Lifecycle;
use rmcp::RoleClient;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotification, CancelledNotificationParam,
    ClientRequest, JsonObject, RequestId, RequestParamsMeta as _, ServerResult,
};
use rmcp::service::{Peer, PeerRequestOptions, ServiceError};
use rmcp::transport::streamable_http_client::StreamableHttpError;
use tokio::time::{Instant, sleep, timeout_at};

use super::content;
use super::keeper::Shared;
use crate::{Call, Effect, Output, Spec, Tool};

/// How long a call waits for a server that is being connected again.
const RECONNECT: Duration = Duration::from_secs(5);
/// The pause before a call that was not taken is tried again.
const PAUSE: Duration = Duration::from_millis(200);
/// Progress extends a call to at most so many times its timeout.
const MAX_TIMEOUTS: u32 = 10;
/// Bytes of a server's error.
const MAX_ERROR: usize = 4 * 1024;

/// A tool of a server, as it was when it was looked at.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) spec: Arc<Spec>,
    /// What the server calls it.
    pub(super) tool: String,
    pub(super) fingerprint: String,
    pub(super) shared: Arc<Shared>,
}

#[async_trait]
impl Tool for Remote {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    async fn call(&self, call: Call) -> Output {
        let _running = Running::begin(&self.shared.calls);
        let until = Instant::now() + RECONNECT;
        loop {
            let peer = match self.peer(until).await {
                Ok(peer) => peer,
                Err(reason) => return Output::error(reason),
            };
            let answer = self.send(&peer, call.arguments.clone()).await;
            let Err(NotSent) = answer else {
                return answer.unwrap_or_else(|NotSent| unreachable!("it was sent"));
            };
            // It was certainly not taken: trying again repeats nothing.
            self.shared.lost.notify_one();
            if Instant::now() >= until {
                return Output::error(format!("{} was not called: no connection", self.spec.name));
            }
            sleep(PAUSE).await;
        }
    }
}

/// The server has certainly not taken the call.
struct NotSent;

impl Remote {
    /// Sends the call and waits for what becomes of it.
    async fn send(
        &self,
        peer: &Peer<RoleClient>,
        arguments: JsonObject,
    ) -> Result<Output, NotSent> {
        let mut params = CallToolRequestParams::new(self.tool.clone());
        params.arguments = Some(arguments);
        if let Some(context) = process::trace::current() {
            params.set_traceparent(context.traceparent());
            if !context.tracestate().is_empty() {
                params.set_tracestate(context.tracestate());
            }
        }
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let time = self.shared.config.timeout;
        let options = PeerRequestOptions::with_timeout(time)
            .reset_timeout_on_progress()
            .with_max_total_timeout(time.saturating_mul(MAX_TIMEOUTS));
        let sent = peer.send_request_with_option(request, options).await;
        let sent = sent.map_err(|_closed| NotSent)?;
        let request = Some(sent.id.clone());
        let mut abandoned = Abandoned { peer, request, life: &self.shared.life };
        let answer = sent.await_response().await;
        abandoned.request = None;
        match answer {
            Err(ServiceError::TransportSend(error)) if not_sent(error.error.as_ref()) => {
                Err(NotSent)
            }
            answer => Ok(self.output(answer)),
        }
    }

    /// The server, once it is connected and offers this very tool.
    async fn peer(&self, until: Instant) -> Result<Peer<RoleClient>, String> {
        let mut views = self.shared.view.subscribe();
        let connected = views.wait_for(|it| it.live.is_some());
        let name = &self.spec.name;
        let Ok(Ok(view)) = timeout_at(until, connected).await else {
            let server = &self.shared.name;
            return Err(format!("{name} was not called: the server {server} is not connected"));
        };
        let same = |print: &str| print == self.fingerprint;
        let offered = view
            .tools
            .iter()
            .any(|it| it.spec.is_some() && it.listed.name == *name && same(&it.listed.fingerprint));
        let live = view.live.as_ref().filter(|_| offered);
        live.map(|it| it.peer.clone())
            .ok_or_else(|| format!("{name} was not called: it is no longer offered as it was"))
    }

    fn output(&self, answer: Result<ServerResult, ServiceError>) -> Output {
        let name = &self.spec.name;
        let result = match answer {
            Ok(ServerResult::CallToolResult(result)) => result,
            Ok(ServerResult::InputRequiredResult(_)) => {
                return Output::error(format!("{name} asks for input, which it does not get here"));
            }
            Ok(_other) => return self.unknown("its answer was no result of a tool"),
            Err(error) => return self.failed(&error),
        };
        let text = content::text(&result);
        Output { text, is_error: result.is_error == Some(true), ..Output::default() }
    }

    fn failed(&self, error: &ServiceError) -> Output {
        let name = &self.spec.name;
        match error {
            ServiceError::McpError(error) => {
                let mut said = error.message.to_string();
                crate::cut(&mut said, MAX_ERROR);
                Output::error(format!("{name} was refused: {said}"))
            }
            ServiceError::TransportSend(error) if refused(error.error.as_ref()) => {
                Output::error(format!("{name} was not called: the server wants other credentials"))
            }
            ServiceError::Timeout { timeout } => {
                self.unknown(&format!("no answer and no progress in {timeout:?}"))
            }
            // An answer that is too large breaks the connection, too.
            ServiceError::TransportSend(_)
            | ServiceError::TransportClosed
            | ServiceError::UnexpectedResponse
            | ServiceError::SubscriptionLagged { .. }
            | ServiceError::Cancelled { .. }
            | ServiceError::InputRequiredRoundsExceeded { .. }
            | _ => {
                self.shared.lost.notify_one();
                self.unknown("the connection was lost, or the answer too large")
            }
        }
    }

    /// No answer: what that means depends on what a call does.
    fn unknown(&self, reason: &str) -> Output {
        let name = &self.spec.name;
        match self.spec.effect {
            Effect::Reads => Output::error(format!("{name} has not answered: {reason}")),
            Effect::Repeatable | Effect::Once => {
                let text = format!("{name} has not answered: {reason}");
                Output::unknown(format!("{text}; it is not known whether the call ran"))
            }
        }
    }
}

/// Whether it is certain that the server has not taken the call.
fn not_sent(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::Client(error)) => error.is_connect(),
        Some(StreamableHttpError::SessionExpired) => true,
        Some(_) | None => false,
    }
}

/// Whether the server has refused the call for who makes it.
fn refused(error: &(dyn Error + 'static)) -> bool {
    match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        Some(StreamableHttpError::AuthRequired(_) | StreamableHttpError::InsufficientScope(_)) => {
            true
        }
        Some(_) | None => false,
    }
}

/// Counts a call while it runs.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells the server of a call whose caller went away.
struct Abandoned<'a> {
    peer: &'a Peer<RoleClient>,
    request: Option<RequestId>,
    life: &'a Lifecycle,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let peer = self.peer.clone();
        let reason = Some("nobody waits for it any more".to_owned());
        let cancelled = CancelledNotificationParam::new(Some(request), reason);
        let cancelled = CancelledNotification::new(cancelled);
        self.life.spawn_as("cancellations", async move {
            // A server that is gone has nothing to cancel.
            drop(peer.send_notification(cancelled.into()).await);
        });
    }
}
