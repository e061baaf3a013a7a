//! An endpoint's event stream, as what the model says. Pure but for the clock:
//! it reads any stream of bytes.
//!
//! An answer is whole only with a `finish_reason`, and what may follow that is
//! not waited for long. Refuses events past [`MAX_EVENT`]. Says nothing of
//! comments: for whoever waits they are silence.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use proto::{Usage, code};
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use secrecy::SecretString;
use sse_stream::{Sse, SseByteStream};
use tokio::time::{Instant, timeout_at};

use super::chunk::{Choice, Chunk};
use super::fault;
use crate::{Failure, Said};

/// The most that may come without an event ending, in bytes.
const MAX_EVENT: usize = 1024 * 1024;

/// How long something may follow the end of the text.
const TAIL: Duration = Duration::from_secs(5);

/// Refuses a success that is no event stream.
pub(super) fn checked(response: Response) -> Result<Response, Failure> {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or("");
    if kind.is_empty() || kind.to_ascii_lowercase().starts_with("text/event-stream") {
        return Ok(response);
    }
    Err(Failure::lasting(code::MODEL_ERROR, "the model's endpoint does not stream its answers"))
}

/// Reads the stream to the end of the answer.
pub(super) fn said<S, E>(
    bytes: S,
    model: String,
    key: Option<SecretString>,
) -> impl Stream<Item = Result<Said, Failure>> + Send
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let pending = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&pending);
    let bounded = bytes.map_err(Unreadable::new).and_then(move |more| {
        let size = counted.fetch_add(more.len(), Ordering::Relaxed) + more.len();
        let fits = size <= MAX_EVENT;
        std::future::ready(fits.then_some(more).ok_or(Unreadable::TooLong))
    });
    let reply = Reply {
        events: Box::pin(SseByteStream::new(bounded)),
        pending,
        model,
        key,
        ready: VecDeque::new(),
        over_after: None,
        usage: None,
        finish: None,
        over: false,
    };
    futures::stream::unfold(reply, |mut reply| async move {
        let said = reply.next().await?;
        reply.over |= said.is_err();
        Some((said, reply))
    })
}

#[derive(Debug)]
enum Unreadable {
    TooLong,
    Broken(String),
}

impl Unreadable {
    fn new(error: impl fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("an event is too long"),
            Self::Broken(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Unreadable {}

struct Reply<S> {
    events: Pin<Box<S>>,
    /// Bytes that came since the last event.
    pending: Arc<AtomicUsize>,
    model: String,
    key: Option<SecretString>,
    ready: VecDeque<Said>,
    /// When the wait for more ends, once the text has.
    over_after: Option<Instant>,
    usage: Option<Usage>,
    finish: Option<&'static str>,
    over: bool,
}

impl<S> Reply<S>
where
    S: Stream<Item = Result<Sse, sse_stream::Error>>,
{
    async fn next(&mut self) -> Option<Result<Said, Failure>> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Some(Ok(said));
            }
            if self.over {
                return None;
            }
            if let Err(failure) = self.read().await {
                return Some(Err(failure));
            }
        }
    }

    /// Reads one event. After the `finish_reason` nothing can fail any more.
    async fn read(&mut self) -> Result<(), Failure> {
        let next = match self.over_after {
            Some(until) => timeout_at(until, self.events.next()).await.unwrap_or(None),
            None => self.events.next().await,
        };
        match (next, self.finish) {
            (Some(Ok(event)), _) => self.take(event),
            (None | Some(Err(_)), Some(_)) => {
                self.end();
                Ok(())
            }
            (None, None) => Err(Failure::passing(
                code::MODEL_CUT,
                "the model's answer broke off before its end",
            )),
            (Some(Err(error)), None) => Err(broken(&error)),
        }
    }

    fn take(&mut self, event: Sse) -> Result<(), Failure> {
        self.pending.store(0, Ordering::Relaxed);
        let data = event.data.unwrap_or_default();
        match data.trim() {
            "" => return Ok(()),
            "[DONE]" if self.finish.is_none() => {
                return Err(Failure::passing(
                    code::MODEL_CUT,
                    "the model's answer ended without saying why",
                ));
            }
            "[DONE]" => {
                self.end();
                return Ok(());
            }
            _ => {}
        }
        let Ok(chunk) = serde_json::from_str::<Chunk>(&data) else {
            return Err(Failure::passing(
                code::MODEL_ERROR,
                "the model's endpoint sent something that is no answer",
            ));
        };
        if let Some(error) = &chunk.error {
            return Err(fault::in_stream(error, self.key.as_ref()));
        }
        // Some endpoints count along with every chunk: the last count is the one.
        self.usage = chunk.usage.map(|it| it.usage(&self.model)).or(self.usage.take());
        let choice = chunk.choices.into_iter().find(|it| it.index == 0);
        if let Some(choice) = choice {
            self.choice(choice)?;
        }
        self.over_after = self.finish.map(|_| Instant::now() + TAIL);
        Ok(())
    }

    fn choice(&mut self, choice: Choice) -> Result<(), Failure> {
        let delta = choice.delta;
        let some = |text: Option<String>| text.filter(|it| !it.is_empty());
        let said = [
            some(delta.reasoning_content).map(Said::Reasoning),
            some(delta.content).map(Said::Text),
            some(delta.refusal).map(Said::Text),
        ];
        self.ready.extend(said.into_iter().flatten());
        self.finish = match some(choice.finish_reason).as_deref() {
            None => self.finish,
            Some("length") => Some("length"),
            Some("content_filter") => Some("content_filter"),
            Some("tool_calls" | "function_call") => {
                return Err(Failure::lasting(
                    code::MODEL_ERROR,
                    "the model asked for a tool that it was not given",
                ));
            }
            Some(_) => Some("stop"),
        };
        Ok(())
    }

    fn end(&mut self) {
        self.over = true;
        self.ready.extend(self.usage.take().map(Said::Usage));
        self.ready.extend(self.finish.map(Said::Finished));
    }
}

fn broken(error: &sse_stream::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(it) = cause {
        if let Some(Unreadable::TooLong) = it.downcast_ref() {
            return Failure::lasting(code::MODEL_ERROR, "the model sent an event that is too long");
        }
        cause = it.source();
    }
    tracing::warn!(%error, "the model's answer broke off");
    Failure::passing(code::MODEL_CUT, "the model's answer broke off before its end")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these pieces of a body; with `silent`, nothing follows
    /// them, not even the end.
    async fn read(pieces: &[&[u8]], silent: bool) -> Vec<Result<Said, Failure>> {
        let pieces: Vec<_> = pieces.iter().map(|it| Ok(Bytes::copy_from_slice(it))).collect();
        let bytes = futures::stream::iter(pieces);
        let said = |bytes| said::<_, std::io::Error>(bytes, "openai/m".to_owned(), None);
        if silent {
            return said(bytes.chain(futures::stream::pending()).boxed()).collect().await;
        }
        said(bytes.boxed()).collect().await
    }

    async fn failure(pieces: &[&[u8]], silent: bool) -> (&'static str, bool) {
        let said = read(pieces, silent).await;
        let failure = said.last().unwrap().clone().unwrap_err();
        (failure.code, failure.retryable)
    }

    fn text(it: &str) -> Said {
        Said::Text(it.to_owned())
    }

    const A: &[u8] = "data: {\"choices\":[{\"delta\":{\"content\":\"三\"}}]}\n\n".as_bytes();
    const STOP: &[u8] = b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

    #[tokio::test(start_paused = true)]
    async fn an_answer_cut_anywhere_into_pieces_reads_the_same() {
        let body = [
            A,
            b": comment\r\n",
            b"data: {\"id\":\"\",\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\",\"content\":null}}],\"usage\":null}\n\n",
            b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"length\"}]}\n\n",
            b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\n",
            b"data: [DONE]\n\n",
        ]
        .concat();
        let want = [
            Ok(text("三")),
            Ok(Said::Reasoning("hm".to_owned())),
            Ok(text("b")),
            Ok(Said::Usage(Usage {
                input_tokens: 3,
                output_tokens: 2,
                reasoning_tokens: 1,
                cached_tokens: 0,
                model: "openai/m".to_owned(),
            })),
            Ok(Said::Finished("length")),
        ];
        for at in 0..body.len() {
            let (one, two) = body.split_at(at);
            assert_eq!(read(&[one, two], false).await, want, "cut at {at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_whole_only_with_a_finish_reason() {
        let end = Ok(Said::Finished("stop"));
        assert_eq!(read(&[A, STOP], false).await, [Ok(text("三")), end.clone()]);
        assert_eq!(read(&[A, STOP], true).await, [Ok(text("三")), end.clone()]);
        assert_eq!(read(&[A, STOP, b"data: oops"], false).await, [Ok(text("三")), end]);
        assert_eq!(failure(&[A], false).await, ("model_cut", true));
        assert_eq!(failure(&[A, b"data: [DONE]\n\n"], false).await, ("model_cut", true));
        let half = &A[..A.len() - 10];
        assert_eq!(failure(&[A, half], false).await, ("model_cut", true));
    }

    #[tokio::test(start_paused = true)]
    async fn comments_and_empty_events_say_nothing() {
        let comments = futures::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let line = if n % 2 == 0 { ": still here\n\n" } else { "data:\n\n" };
            Some((Ok(Bytes::from_static(line.as_bytes())), n + 1))
        });
        let mut answer = Box::pin(said::<_, std::io::Error>(comments, String::new(), None));
        let heard = tokio::time::timeout(Duration::from_secs(600), answer.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_answer_is_a_failure_with_a_code() {
        let long = vec![b'x'; 64 * 1024];
        let endless: Vec<&[u8]> = std::iter::once(&b"data: "[..]).chain([&long[..]; 20]).collect();
        assert_eq!(failure(&endless, true).await, ("model_error", false));
        let tools = b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
        assert_eq!(failure(&[A, tools], false).await, ("model_error", false));
        assert_eq!(failure(&[b"data: <html>\n\n"], false).await, ("model_error", true));
        let busy = b"data: {\"error\":{\"code\":429,\"message\":\"busy\"}}\n\n";
        assert_eq!(failure(&[A, busy], false).await, ("model_rate_limited", true));
    }
}
