//! The connection: questions whose outcome is certain or said to be unknown,
//! and news of its loss. Never takes silence, or an error reply, for a yes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{
    Client, Event, HeaderMap, HeaderValue, Message, Request, RequestErrorKind, Subject, Subscriber,
};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connect::unconnected;
use super::denied::Denied;
use super::{Config, address};
use crate::{Error, Result};

/// Messages that one subscription holds until its task has run; what comes on
/// top is dropped by the client. What a slow reader holds is bounded elsewhere.
pub(super) const CAPACITY: usize = 64;
/// How long a publish is waited for.
pub(super) const PUBLISH: Duration = Duration::from_secs(5);
/// How long a question to the JetStream API is waited for.
pub(super) const ASK: Duration = Duration::from_secs(2);

const CONNECT: Duration = Duration::from_secs(3);
/// The third ping without an answer ends a connection: a server that hangs is
/// left within 8 seconds, and another one is found well within the time that an
/// append is tried.
const PING: Duration = Duration::from_secs(2);
const LONGEST_RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Tries of a publish that met another one of its subject still under way.
const BUSY_TRIES: u32 = 64;

/// Error codes of the JetStream API that mean something here.
pub(super) mod code {
    /// Another message is the subject's last.
    pub(in crate::nats) const WRONG_LAST_SEQUENCE: u64 = 10_071;
    /// A publish of the same subject, or of the same message, or too many of
    /// any are still under way: try again.
    pub(super) const IN_PROCESS: [u64; 3] = [10_164, 10_158, 10_167];
    /// A limit of the stream is reached.
    pub(super) const STORE_FAILED: u64 = 10_077;
    pub(super) const NO_RESOURCES: [u64; 3] = [10_002, 10_023, 10_047];
    pub(in crate::nats) const NO_MESSAGE: u64 = 10_037;
    pub(in crate::nats) const NO_STREAM: u64 = 10_059;
    pub(in crate::nats) const NO_CONSUMER: u64 = 10_014;
    pub(in crate::nats) const STREAM_EXISTS: u64 = 10_058;
    pub(in crate::nats) const NO_ROLLUP: u64 = 10_111;
    pub(in crate::nats) const NO_PEERS: u64 = 10_005;
    pub(in crate::nats) const NOT_ENABLED: [u64; 2] = [10_039, 10_076];
}

/// Why a question has no good answer.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// No answer, or one that says "not now". What was asked may have taken
    /// effect or not.
    Silent(String),
    /// The server said no.
    Refused(Refusal),
}

/// A no, as the JetStream API words it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

impl Refusal {
    /// A no of the server that is no answer.
    fn denied(description: String) -> Self {
        Self { code: 403, err_code: 0, description }
    }

    /// Whether a limit was reached.
    pub(super) fn is_full(&self) -> bool {
        self.err_code == code::STORE_FAILED || code::NO_RESOURCES.contains(&self.err_code)
    }
}

impl Trouble {
    /// 503 is the server's word for "no leader right now".
    fn not_now(self) -> Self {
        match self {
            Self::Refused(no) if no.code == 503 && !no.is_full() => Self::Silent(no.description),
            Self::Refused(_) | Self::Silent(_) => self,
        }
    }

    /// Whether the server said no with this code.
    pub(super) fn is(&self, err_code: u64) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.err_code == err_code)
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Silent(why) => Self::Unavailable(why),
            // The depth of one session's queue; every other limit is the store's.
            Trouble::Refused(no) if no.is_full() && no.description.contains("per subject") => {
                Self::Full(no.description)
            }
            Trouble::Refused(no) if no.is_full() => Self::NoRoom(no.description),
            Trouble::Refused(no) if no.code == 404 => Self::Unavailable(no.description),
            Trouble::Refused(no) if no.code == 403 && no.err_code == 0 => {
                Self::Unsuitable(format!("NATS refused: {}", no.description))
            }
            Trouble::Refused(no) => {
                Self::Unsuitable(format!("NATS refused: {} ({})", no.description, no.err_code))
            }
        }
    }
}

/// Where a message was stored.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Stored {
    pub(super) seq: u64,
    #[serde(default)]
    pub(super) duplicate: bool,
}

/// The state of the connection; every change is news.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) up: bool,
    /// How often it was made.
    pub(super) made: u64,
}

/// One connection, shared by all ports.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    client: Client,
    link: Arc<watch::Sender<Link>>,
    denied: Arc<Denied>,
    inbox: &'static str,
}

impl Wire {
    /// Connects once; from then on it reconnects for as long as it lives.
    pub(super) async fn connect(config: &Config) -> Result<Self> {
        let servers = address::servers(&config.url)?;
        let names = address::place(&servers);
        let link = Arc::new(watch::Sender::new(Link { up: true, made: 0 }));
        let denied = Arc::new(Denied::default());
        let news = (Arc::clone(&link), Arc::clone(&denied));
        let inbox = config.role.inbox();
        let options = config.security.options(&servers).await?;
        let options = options
            .name(&config.name)
            .custom_inbox_prefix(inbox)
            .ping_interval(PING)
            .subscription_capacity(CAPACITY)
            .client_capacity(4096)
            .connection_timeout(CONNECT)
            .request_timeout(None)
            .max_reconnects(None)
            .reconnect_delay_callback(pause)
            .event_callback(move |event| {
                notice(&news.0, &news.1, &event);
                std::future::ready(())
            });
        let connected = options.connect(servers).await;
        let client = connected.map_err(|error| unconnected(&names, &error))?;
        Ok(Self { client, link, denied, inbox })
    }

    /// The client itself, for what is not a question.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// News of the connection from now on.
    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until the connection is up, and marks that state as seen.
    pub(super) async fn up(&self, link: &mut watch::Receiver<Link>) -> Result<(), Trouble> {
        // The client drops news that it cannot deliver at once.
        if !link.borrow().up && self.client.connection_state() == State::Connected {
            connected(&self.link);
        }
        match link.wait_for(|it| it.up).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Trouble::Silent("the connection is closed".to_owned())),
        }
    }

    /// Asks and waits for one answer. A lost connection ends the wait at once.
    pub(super) async fn ask(
        &self,
        subject: impl Into<Subject>,
        request: Request,
        patience: Duration,
    ) -> Result<Message, Trouble> {
        let mut link = self.link.subscribe();
        let subject = subject.into();
        let since = self.denied.count();
        let asked = async {
            self.up(&mut link).await?;
            tokio::select! {
                biased;
                answer = self.client.send_request(subject.clone(), request) => answer.map_err(silence),
                why = self.denied.heard(since, &subject, self.inbox) => Err(Trouble::Refused(Refusal::denied(why))),
                _ = link.changed() => Err(Trouble::Silent("the connection was lost".to_owned())),
            }
        };
        match timeout(patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Trouble::Silent(self.silence(&subject, patience))),
        }
    }

    /// Why a question may have no answer, in words.
    pub(super) fn silence(&self, subject: &str, patience: Duration) -> String {
        let why = self.denied(0, subject);
        why.unwrap_or_else(|| format!("no answer within {patience:?}"))
    }

    /// How many questions the server denied so far.
    pub(super) fn denials(&self) -> u64 {
        self.denied.count()
    }

    /// What it said if it denied this one, behind the first `since` denials.
    pub(super) fn denied(&self, since: u64, subject: &str) -> Option<String> {
        self.denied.reason(since, subject, self.inbox)
    }

    /// Stores one message. `headers` is called once per try: a subject takes
    /// one conditional publish at a time and asks to try again otherwise.
    pub(super) async fn publish(
        &self,
        subject: &str,
        headers: impl Fn() -> HeaderMap + Send + Sync,
        payload: Bytes,
    ) -> Result<Stored, Trouble> {
        for _ in 0..BUSY_TRIES {
            let request = Request::new().headers(headers()).payload(payload.clone());
            let answer = self.ask(subject, request, PUBLISH).await?;
            match verdict(&answer.payload) {
                Err(Trouble::Refused(no)) if code::IN_PROCESS.contains(&no.err_code) => {
                    sleep(Duration::from_millis(1)).await;
                }
                outcome => return outcome.map_err(Trouble::not_now),
            }
        }
        Err(Trouble::Silent("another publish is still under way".to_owned()))
    }

    /// Asks whether JetStream is there for this connection at all.
    pub(super) async fn jetstream(&self) -> Result<(), Trouble> {
        let answer = self.ask("$JS.API.INFO", Request::new(), ASK).await?;
        verdict::<serde_json::Value>(&answer.payload).map(drop)
    }

    /// Calls the JetStream API.
    pub(super) async fn api<T: DeserializeOwned>(
        &self,
        call: &str,
        question: &serde_json::Value,
        patience: Duration,
    ) -> Result<T, Trouble> {
        let subject = format!("$JS.API.{call}");
        let request = Request::new().payload(question.to_string().into());
        let answer = self.ask(subject, request, patience).await?;
        verdict(&answer.payload).map_err(Trouble::not_now)
    }

    /// Subscribes; in effect before anything that is sent later.
    pub(super) async fn subscribe(&self, subject: String) -> Result<Subscriber> {
        match timeout(ASK, self.client.subscribe(subject)).await {
            Ok(Ok(subscriber)) => Ok(subscriber),
            Ok(Err(error)) => Err(Error::Unavailable(error.to_string())),
            Err(_) => Err(Error::Unavailable("the connection is stuck".to_owned())),
        }
    }
}

/// The condition that a message is stored right after `last` of its subject.
pub(super) fn right_after(last: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(last));
    headers
}

/// Reads an answer of the JetStream API: what was asked for, or a refusal.
fn verdict<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Trouble> {
    #[derive(Deserialize)]
    struct No {
        error: Refusal,
    }
    // An answer that carries an error may carry empty fields besides. Most
    // carry none, and some are long.
    let may_be_no = payload.windows(8).any(|it| it == b"\"error\":");
    if may_be_no && let Ok(No { error }) = serde_json::from_slice(payload) {
        return Err(Trouble::Refused(error));
    }
    serde_json::from_slice(payload)
        .map_err(|error| Trouble::Silent(format!("an answer that cannot be read: {error}")))
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error")]
fn silence(error: async_nats::RequestError) -> Trouble {
    match error.kind() {
        RequestErrorKind::NoResponders => Trouble::Silent("nobody is in charge".to_owned()),
        RequestErrorKind::TimedOut | RequestErrorKind::Other => Trouble::Silent(error.to_string()),
        // The client's own no: it was not sent and never will be.
        RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
            Trouble::Refused(Refusal { code: 400, err_code: 0, description: error.to_string() })
        }
    }
}

fn notice(link: &watch::Sender<Link>, denied: &Denied, event: &Event) {
    match event {
        Event::Connected => connected(link),
        Event::Disconnected | Event::Closed => {
            tracing::warn!("the connection to NATS was lost");
            link.send_modify(|it| it.up = false);
        }
        Event::ServerError(error) => {
            tracing::warn!(%error, "NATS reports an error");
            denied.note(&error.to_string());
        }
        Event::ClientError(error) => tracing::warn!(%error, "the NATS client reports an error"),
        Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {}
    }
}

/// The first time is no news: nobody has asked or subscribed before it.
fn connected(link: &watch::Sender<Link>) {
    link.send_if_modified(|it| {
        it.up = true;
        it.made += 1;
        it.made > 1
    });
}

fn pause(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(8);
    (Duration::from_millis(10) * 2_u32.pow(doublings)).min(LONGEST_RECONNECT_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_an_error_is_a_refusal_whatever_else_it_says() {
        let answer =
            br#"{"error":{"code":400,"err_code":10071,"description":"no"},"stream":"LOG","seq":0}"#;
        let trouble = verdict::<Stored>(answer).unwrap_err();
        assert!(trouble.is(code::WRONG_LAST_SEQUENCE));
    }

    #[test]
    fn what_the_client_will_not_send_is_a_refusal() {
        for (kind, sent) in [
            (RequestErrorKind::InvalidSubject, false),
            (RequestErrorKind::MaxPayloadExceeded, false),
            (RequestErrorKind::NoResponders, true),
            (RequestErrorKind::TimedOut, true),
            (RequestErrorKind::Other, true),
        ] {
            let trouble = silence(kind.into());
            assert_eq!(matches!(trouble, Trouble::Silent(_)), sent, "{trouble:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_an_acknowledgement_is_silence() {
        for answer in [&b""[..], b"+OK", b"{}", br#"{"seq":"1"}"#] {
            assert!(matches!(verdict::<Stored>(answer), Err(Trouble::Silent(_))));
        }
        let stored = verdict::<Stored>(br#"{"stream":"LOG","seq":7,"duplicate":true}"#).unwrap();
        assert_eq!((stored.seq, stored.duplicate), (7, true));
    }
}
