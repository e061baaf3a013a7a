//! One streamed answer: what comes when, and the accidents on the way.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, Sleep};

use super::protocol::{Asked, Fault, Wire};
use super::{Ending, Guard, Script, Speech, pace};

/// Bytes of tokens that are due at once and go out as one write.
const BATCH: usize = 8 << 10;

/// An answer under way: one timer, and what writes its events.
pub(super) struct Answer {
    script: Script,
    speech: Speech,
    wire: Box<dyn Wire>,
    /// The delta being written.
    delta: Vec<u8>,
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

impl Answer {
    pub(super) fn new(asked: &Asked, script: Script, speech: Speech, guard: Guard) -> Self {
        let start = Instant::now();
        Self {
            wire: asked.wire(guard.index(), &speech),
            delta: Vec::new(),
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
                Some(Ok(self.wire.opening().into()))
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
            let error = self.wire.error(&fault(script));
            self.end(Stage::Over);
            return Some(error.into());
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
    fn torn(&mut self, at: usize) -> Bytes {
        let mut out = Vec::new();
        if let Some(bytes) = self.script.cut_bytes.filter(|_| at < self.speech.len()) {
            let text = self.token(&mut out, at);
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
        Some(self.wire.closing(&self.speech.finish).into())
    }

    fn end(&mut self, stage: Stage) {
        self.stage = stage;
        self.guard.ends(Ending::Finished);
    }

    /// Writes a token's event; says where in `out` its text begins.
    fn token(&mut self, out: &mut Vec<u8>, at: usize) -> usize {
        self.delta.clear();
        self.speech.write(at, &mut self.delta);
        self.wire.delta(&self.delta, out)
    }
}

/// What `error_after` says.
fn fault(script: &Script) -> Fault {
    let status = script.error_status.and_then(|it| StatusCode::from_u16(it).ok());
    let message = script.error_message.clone();
    Fault {
        status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        code: script.error_code.clone(),
        message: message.unwrap_or_else(|| "the script fails here".to_owned()),
    }
}
