//! How fast a server may speak, and how much it may leave unread.
//!
//! Every message of it costs a task of ours, and every answer that it does not
//! read another: who sends without end, or never listens, is cut off.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::JsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Messages of a server in a second, and at once after silence.
const RATE: usize = 1_000;
const BURST: usize = 2_000;
/// Answers that wait to be read before the server is no longer listened to.
const MAX_ANSWERS: usize = 64;
/// How long it may leave them.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server may still say.
#[derive(Debug)]
pub(super) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self { left: count(BURST), at: Instant::now() }
    }

    /// Takes so many messages, or says why not.
    pub(super) fn take(&mut self, messages: usize) -> Result<(), String> {
        let now = Instant::now();
        let filled = now.duration_since(self.at).as_secs_f64() * count(RATE);
        self.left = (self.left + filled).min(count(BURST)) - count(messages);
        self.at = now;
        if self.left < 0.0 {
            return Err(format!("more than {BURST} messages at once, or {RATE} in a second"));
        }
        Ok(())
    }
}

fn count(messages: usize) -> f64 {
    f64::from(u32::try_from(messages).unwrap_or(u32::MAX))
}

/// Answers on their way to a server.
#[derive(Debug, Default)]
struct Answers {
    waiting: AtomicUsize,
    fewer: Notify,
}

/// One of them, until it is written or dropped.
struct Answer(Arc<Answers>);

impl Answer {
    fn new(answers: &Arc<Answers>) -> Self {
        answers.waiting.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(answers))
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.fewer.notify_one();
    }
}

/// A transport that listens only to who reads its answers.
#[derive(Debug)]
pub(in crate::mcp) struct Paced<T> {
    inner: T,
    answers: Arc<Answers>,
    /// Since when too many wait.
    since: Option<Instant>,
    patience: Duration,
}

impl<T> Paced<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, answers: Arc::default(), since: None, patience: PATIENCE }
    }

    /// Ready when few enough answers wait; false when that takes too long. May
    /// be dropped and asked again.
    async fn heeded(&mut self) -> bool {
        while self.answers.waiting.load(Ordering::Acquire) >= MAX_ANSWERS {
            let since = *self.since.get_or_insert_with(Instant::now);
            let fewer = self.answers.fewer.notified();
            if timeout_at(since + self.patience, fewer).await.is_err() {
                return false;
            }
        }
        self.since = None;
        true
    }
}

impl<T> Transport<RoleClient> for Paced<T>
where
    T: Transport<RoleClient, Error = io::Error>,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let answers = matches!(item, JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_));
        let answer = answers.then(|| Answer::new(&self.answers));
        let sent = self.inner.send(item);
        async move {
            let _answer = answer;
            sent.await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        if !self.heeded().await {
            let reason = "it does not read the answers to its requests";
            tracing::warn!(reason, "an MCP server is cut off");
            return None;
        }
        self.inner.receive().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.inner.close().await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use rmcp::model::{EmptyResult, RequestId};
    use rmcp::transport::async_rw::AsyncRwTransport;
    use tokio::io::{AsyncReadExt as _, duplex, empty};

    use super::*;

    #[tokio::test]
    async fn a_burst_is_heard_and_a_flood_is_not() {
        let mut bucket = Bucket::new();
        bucket.take(BURST).unwrap();
        let refused = bucket.take(BURST).unwrap_err();
        assert!(refused.contains("2000 messages"), "{refused}");
        let mut calm = Bucket { left: 0.0, at: Instant::now() - Duration::from_secs(1) };
        calm.take(RATE).unwrap();
        calm.take(RATE).unwrap_err();
    }

    #[tokio::test]
    async fn who_does_not_read_answers_is_not_listened_to_until_it_does() {
        let (ours, mut theirs) = duplex(16);
        let inner = AsyncRwTransport::<RoleClient, _, _>::new_client(empty(), ours);
        let mut paced = Paced::new(inner);
        paced.patience = Duration::from_millis(20);
        let answer = |id| {
            let result = rmcp::model::ClientResult::EmptyResult(EmptyResult {});
            TxJsonRpcMessage::<RoleClient>::response(result, RequestId::Number(id))
        };
        let mut sends: Vec<BoxFuture<'static, io::Result<()>>> = Vec::new();
        for id in 0..63 {
            sends.push(paced.send(answer(id)).boxed());
        }
        assert!(paced.heeded().await);
        sends.push(paced.send(answer(63)).boxed());
        assert!(!paced.heeded().await);
        assert!(paced.receive().await.is_none());
        let mut read = vec![0; 64 * 1024];
        let reading = async { while theirs.read(&mut read).await.is_ok_and(|it| it > 0) {} };
        tokio::select! {
            () = reading => panic!("it is not closed"),
            _ = futures::future::join_all(sends) => {}
        }
        assert!(paced.heeded().await);
    }
}
