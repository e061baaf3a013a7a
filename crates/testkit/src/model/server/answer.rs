//! One streamed answer: what comes when, and the accidents on the way.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep};

use super::{Ending, Guard, Request, Script, Speech, pace};

/// Bytes of tokens that are due at once and go out as one write.
const BATCH: usize = 8 << 10;

/// An answer under way: one timer, chunks written from ready-made parts.
pub(super) struct Answer {
    script: Script,
    speech: Speech,
    usage: Option<Value>,
    /// A chunk up to its delta.
    head: String,
    start: Instant,
    timer: Pin<Box<Sleep>>,
    stage: Stage,
    guard: Guard,
}

enum Stage {
    Opening,
    Saying(usize),
    Breaking,
    Closing,
    Over,
}

/// The rest of a chunk after its delta.
const TAIL: &[u8] = b",\"finish_reason\":null}]}\n\n";

impl Answer {
    pub(super) fn new(request: &Request, script: Script, speech: Speech, guard: Guard) -> Self {
        let model = Value::from(request.model.as_str());
        let (id, created) = (guard.index(), ::process::clock::now().as_secs());
        let start = Instant::now();
        Self {
            usage: request.wants_usage().then(|| usage(request, &speech)),
            head: format!(
                r#"data: {{"id":"chatcmpl-{id}","object":"chat.completion.chunk","created":{created},"model":{model},"choices":[{{"index":0,"delta":"#
            ),
            timer: Box::pin(tokio::time::sleep_until(start)),
            stage: Stage::Opening,
            script,
            speech,
            start,
            guard,
        }
    }

    /// The next bytes of the body; nothing at its end.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Saying(0);
                let mut out = Vec::new();
                self.chunk(&mut out, br#"{"role":"assistant","content":""}"#);
                Some(Ok(out.into()))
            }
            Stage::Saying(at) => self.say(at).await.map(Ok),
            Stage::Breaking => {
                // Lets the connection write what it was given so far.
                tokio::task::yield_now().await;
                self.guard.ends(Ending::Cut);
                Some(Err(io::Error::other("the script cuts here")))
            }
            Stage::Closing => self.close().await.map(Ok),
            Stage::Over => None,
        }
    }

    /// Everything that is due from `at` on, up to the next accident.
    async fn say(&mut self, at: usize) -> Option<Bytes> {
        let script = &self.script;
        if script.stall_after == Some(at) {
            return std::future::pending().await;
        }
        if script.hold_after == Some(at) {
            self.guard.calls().released().await;
        }
        if script.error_after == Some(at) {
            self.end(Stage::Over);
            return Some(Bytes::from_static(
                b"data: {\"error\":{\"message\":\"the script fails here\",\"type\":\"server_error\",\"code\":null}}\n\n",
            ));
        }
        if script.cut_after == Some(at) {
            self.stage = Stage::Breaking;
            return Some(self.torn(at));
        }
        if at == self.speech.len() {
            self.stage = Stage::Closing;
            return self.close().await;
        }
        self.wait_until(at).await;
        Some(self.due(at))
    }

    async fn wait_until(&mut self, at: usize) {
        if self.script.every_ms > 0 {
            let due = self.due_at(at);
            self.timer.as_mut().reset(due);
            self.timer.as_mut().await;
        }
    }

    fn due_at(&self, at: usize) -> Instant {
        self.start + pace(&self.script) * u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// The token `at`, and those behind it that are late already.
    fn due(&mut self, mut at: usize) -> Bytes {
        let script = &self.script;
        let accidents =
            [script.stall_after, script.hold_after, script.error_after, script.cut_after];
        let later = accidents.into_iter().flatten().filter(|it| *it > at);
        let edge = later.min().unwrap_or(usize::MAX).min(self.speech.len());
        let now = Instant::now();
        let mut out = Vec::with_capacity(256);
        loop {
            self.token(&mut out, at);
            at += 1;
            if at >= edge || out.len() >= BATCH || self.due_at(at) > now {
                break;
            }
        }
        self.stage = Stage::Saying(at);
        out.into()
    }

    /// The first bytes of a chunk that will never be whole.
    fn torn(&self, at: usize) -> Bytes {
        let mut out = Vec::new();
        if let Some(bytes) = self.script.cut_bytes.filter(|_| at < self.speech.len()) {
            self.token(&mut out, at);
            // The text begins behind the head and the delta's `{"content":"`.
            let text = self.head.len() + r#"{"content":""#.len();
            out.truncate(text + bytes);
        }
        out.into()
    }

    async fn close(&mut self) -> Option<Bytes> {
        if self.script.comments {
            tokio::time::sleep(pace(&self.script).max(Duration::from_millis(1))).await;
            return Some(Bytes::from_static(b": still here\n\n"));
        }
        self.end(Stage::Over);
        if self.script.no_finish {
            return None;
        }
        let mut out = self.head.clone().into_bytes();
        let finish = Value::from(self.speech.finish.as_str());
        out.extend_from_slice(format!("{{}},\"finish_reason\":{finish}}}]}}\n\n").as_bytes());
        if let Some(usage) = &self.usage {
            let id = self.guard.index();
            let chunk = json!({"id": format!("chatcmpl-{id}"), "object": "chat.completion.chunk", "choices": [], "usage": usage});
            out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
        Some(out.into())
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.guard.ends(Ending::Finished);
    }

    fn token(&self, out: &mut Vec<u8>, at: usize) {
        out.extend_from_slice(self.head.as_bytes());
        self.speech.write(at, out);
        out.extend_from_slice(TAIL);
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: &[u8]) {
        out.extend_from_slice(self.head.as_bytes());
        out.extend_from_slice(delta);
        out.extend_from_slice(TAIL);
    }
}

fn usage(request: &Request, speech: &Speech) -> Value {
    let (asked, said) = (request.words(), speech.len());
    json!({"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said})
}

/// The whole answer as one object, for a caller that does not stream.
pub(super) fn whole(request: &Request, speech: &Speech) -> Value {
    let (mut content, mut reasoning) = (String::new(), String::new());
    let mut tools: Vec<Value> = Vec::new();
    let mut delta = Vec::new();
    for at in 0..speech.len() {
        delta.clear();
        speech.write(at, &mut delta);
        let said: Value = serde_json::from_slice(&delta).unwrap_or_default();
        content += said["content"].as_str().unwrap_or_default();
        reasoning += said["reasoning_content"].as_str().unwrap_or_default();
        let tool = &said["tool_calls"][0];
        let fragment = tool["function"]["arguments"].as_str();
        if tool["id"].is_string() {
            tools.push(tool.clone());
        } else if let (Some(tool), Some(fragment)) = (tools.last_mut(), fragment) {
            let so_far = tool["function"]["arguments"].as_str().unwrap_or_default();
            tool["function"]["arguments"] = Value::from(format!("{so_far}{fragment}"));
        }
    }
    let mut message = json!({"role": "assistant", "content": content});
    if !reasoning.is_empty() {
        message["reasoning_content"] = reasoning.into();
    }
    if !tools.is_empty() {
        message["tool_calls"] = tools.into();
    }
    json!({
        "id": "chatcmpl-whole", "object": "chat.completion",
        "created": ::process::clock::now().as_secs(), "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": speech.finish}],
        "usage": usage(request, speech),
    })
}
