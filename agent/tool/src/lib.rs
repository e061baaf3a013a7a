//! The port to what an agent can do: a tool has a name, a schema and an effect,
//! and is called with arguments that fit.
//!
//! Decides nothing about who may call what: that is the agent's policy.

mod arguments;
pub mod mcp;

use std::fmt;

use async_trait::async_trait;
use proto::{Citation, Session};
use serde_json::{Map, Value};

pub use arguments::arguments;

/// What a tool is.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// In `[A-Za-z0-9_-]`, at most 64 bytes; unique in an agent.
    pub name: String,
    /// For the model.
    pub description: String,
    /// JSON Schema of an object.
    pub parameters: Value,
    /// What a call does to the world.
    pub effect: Effect,
}

/// What calling a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it may be called at any time, also twice and in parallel.
    Reads,
    /// Calling it again with the same arguments changes nothing more.
    Repeatable,
    /// Unknown, or something that must not happen twice.
    Once,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who asks, and where.
    pub session: Session,
    /// Its id, unique in the session.
    pub id: String,
    /// They fit the schema.
    pub arguments: Map<String, Value>,
}

/// What a call answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// For the model.
    pub text: String,
    /// The call failed; `text` says why, without secrets.
    pub is_error: bool,
    /// It is not known whether the call ran, and it may have changed something:
    /// whoever wants it again decides that first. An error always.
    pub unknown: bool,
    /// Passages of documents, which the agent numbers and shows to the model
    /// behind the text; their own numbers mean nothing.
    pub sources: Vec<Citation>,
}

impl Output {
    /// A result.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A failure, in words for the model.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true, ..Self::default() }
    }

    /// A failure after which it is not known whether the call ran.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true, unknown: true, sources: Vec::new() }
    }
}

/// Something that an agent can do.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync {
    /// What it is. Does not change for this value.
    fn spec(&self) -> &Spec;

    /// Does it. Dropping the future cancels the call where that is possible.
    async fn call(&self, call: Call) -> Output;
}

/// Shortens a text to at most so many bytes, between two characters, and says
/// so at its end.
pub(crate) fn cut(text: &mut String, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    let end = text.floor_char_boundary(bytes);
    let left = text.len() - end;
    text.truncate(end);
    text.push_str(" … (");
    text.push_str(&left.to_string());
    text.push_str(" bytes left out)");
}
