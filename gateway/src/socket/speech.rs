//! The two protocols of the socket: what a message asks for, and how answers and
//! events are told.

pub(super) mod native;
pub(super) mod plain;

use broker::From;
use bytes::Bytes;

use super::command::{Answer, Command};
use crate::caller::Owned;
use crate::problem::Refusal;
use crate::stream::Told;

/// A message that asks for nothing that can be done.
#[derive(Debug)]
pub(super) struct Misheard {
    pub(super) reference: Option<String>,
    pub(super) refusal: Refusal,
}

/// One of the protocols, for one socket.
pub(super) trait Speech: Send {
    /// What is said first.
    fn open(&self) -> Option<Bytes>;

    /// Where a socket begins to follow its session that was not told where.
    fn begins(&self) -> From;

    /// What a message asks for.
    fn hear(&self, session: &Owned, text: &str) -> Result<Command, Misheard>;

    /// What a command came to.
    fn answer(&mut self, reference: Option<&str>, answer: &Answer) -> Option<Bytes>;

    /// Why a command was not done.
    fn refuse(&self, reference: Option<&str>, refusal: &Refusal) -> Bytes;

    /// What happens in the session.
    fn tell(&mut self, told: &Told) -> Vec<Bytes>;

    /// The turns whose end is waited for here, where it matters which of them the
    /// session's erasure ends.
    fn unended(&self) -> &[String] {
        &[]
    }

    /// The session was erased, which is the end of these turns.
    fn erased(&mut self, _gone: &[String]) -> Vec<Bytes> {
        Vec::new()
    }

    /// The client's credential has ended, and with it the socket.
    fn expired(&self) -> Bytes;
}
