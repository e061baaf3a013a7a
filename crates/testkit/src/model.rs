//! A language model that does what its caller's question says: a real HTTP
//! server on loopback that speaks OpenAI's chat completions and embeddings, and
//! DashScope's own text generation.
//!
//! Asked for the model `script`, it reads the last user message as a
//! [`Script`]; any other question that it was not taught, and every question to
//! the model `echo`, is answered with [`echo`]. The models `embed` and `embed-…` turn texts into
//! vectors, the same for the same text and near each other for words of one
//! meaning; `embed-status-503` answers with that status. It refuses other
//! models, scripts with unknown fields, tool calls and results that do not pair,
//! and every other place.

mod call;
mod embedding;
mod lessons;
mod request;
mod script;
mod server;
mod speech;
mod tools;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ::process::Lifecycle;
use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

pub use call::{Call, Ending};
pub use request::Heard;
pub use script::{BodyKind, Script};
pub use tools::{ToolCall, ToolStyle};

use call::Calls;
use lessons::Lessons;

/// A running model. Dropping it closes its port and all its connections.
#[derive(Debug)]
#[expect(clippy::module_name_repetitions, reason = "read alone, `Model` would be a real one")]
pub struct FakeModel {
    address: SocketAddr,
    calls: Arc<Calls>,
    lessons: Arc<Lessons>,
    life: Lifecycle,
}

/// What a question that is no script is answered with; `nth` is the number of
/// user messages that the model was shown.
pub fn echo(question: &str, nth: usize) -> String {
    format!("{question} (user message {nth})")
}

impl FakeModel {
    /// A model on a free loopback port.
    pub async fn start() -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// A model on this address; an error when the port is taken.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("the fake model cannot have {address}"))?;
        let address = listener.local_addr()?;
        let (calls, lessons) = (Arc::<Calls>::default(), Arc::<Lessons>::default());
        let (life, known) = (Lifecycle::new(), (Arc::clone(&calls), Arc::clone(&lessons)));
        life.spawn(server::serve(listener, known, life.clone()));
        Ok(Self { address, calls, lessons, life })
    }

    /// What `OPENAI_BASE_URL` is set to: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Where DashScope's own API is: `http://127.0.0.1:PORT/api/v1`.
    pub fn dashscope_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// From now on, answers this question, word for word, as a script says: for a
    /// question that people are to read.
    pub fn teach(&self, question: &str, script: Script) {
        self.lessons.learn(question, script);
    }

    /// Every call so far, in order of arrival, refused ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.all()
    }

    /// All calls, once there are at least `n`. An error after 30 s.
    pub async fn wait_for_calls(&self, n: usize) -> Result<Vec<Call>> {
        self.wait_for(&format!("{n} calls"), |calls| calls.len() >= n).await
    }

    /// The first call whose client hung up before its answer was complete,
    /// once there is one. An error after 30 s.
    pub async fn wait_for_hangup(&self) -> Result<Call> {
        let hung_up = |call: &Call| call.ending == Ending::HungUp;
        let calls = self.wait_for("a hang-up", |calls| calls.iter().any(hung_up));
        let found = calls.await?.into_iter().find(hung_up);
        found.context("waited for a call that hung up")
    }

    /// All calls, once `seen` says so. `what` names it in the error after 30 s.
    pub async fn wait_for(
        &self,
        what: &str,
        seen: impl Fn(&[Call]) -> bool + Send + Sync,
    ) -> Result<Vec<Call>> {
        self.calls.wait_for(what, seen).await
    }

    /// Waits until no call is open, for 30 s at most.
    pub async fn settle(&self) {
        let closed = |calls: &[Call]| calls.iter().all(|it| it.ending != Ending::Open);
        // Who asks looks at the calls; that one is still open is the finding.
        let waited = self.wait_for("a quiet moment", closed).await;
        drop(waited);
    }

    /// Lets every answer that waits at its `hold_after`, now or later, go on.
    pub fn release(&self) {
        self.calls.release();
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.life.abort();
    }
}
