//! Wire formats in which a client hears a session. Each is a small pure
//! encoder from entries to frames: no IO, no clock.

pub(crate) mod answer;
pub(crate) mod chat;
pub(crate) mod invoke;
pub(crate) mod messages;
pub(crate) mod native;
pub(crate) mod openai;
pub(crate) mod plain;
pub(crate) mod said;
pub(crate) mod stream;

use std::fmt::Write as _;
use std::io;

use broker::{Position, Stored};
use proto::{Ending, event};
use serde::Serialize;

/// Encodes entries for one client, in order.
pub(crate) trait Dialect: Send + 'static {
    /// What is said before the first entry.
    fn open(&mut self, out: &mut String);

    /// The frames of an entry, without the first `skip` of them.
    fn entry(&mut self, at: Position, stored: &Stored, skip: usize, out: &mut String);

    /// Entries are missing here.
    fn gap(&mut self, gap: &event::Kind, out: &mut String);

    /// The client's credential has ended, and with it this stream.
    fn expired(&mut self, _out: &mut String) {}

    /// Whether it has said all that it can, although the turn goes on.
    fn is_over(&self) -> bool {
        false
    }

    /// The running turn up to a place, as one entry.
    fn so_far(&mut self, at: Position, stored: &Stored, out: &mut String) {
        self.entry(at, stored, 0, out);
    }
}

/// How a turn that was erased with its session is explained; its status is
/// `cancelled`.
pub(crate) const ERASED: &str = "The session was deleted.";

/// How an ending is called in answers.
pub(crate) fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Unspecified => "unknown",
        Ending::Completed => "completed",
        Ending::Interrupted => "interrupted",
        Ending::Failed => "failed",
        Ending::Cancelled => "cancelled",
    }
}

/// How the systems that Weir replaces call an ending.
pub(crate) fn compatible_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Completed => "completed",
        Ending::Interrupted => "interrupted",
        Ending::Cancelled => "cancelled",
        Ending::Failed | Ending::Unspecified => "error",
    }
}

/// A frame with an event name and a line of JSON.
fn frame(event: &str, data: &impl Serialize, out: &mut String) {
    let _infallible = write!(out, "event: {event}\ndata: ");
    json(data, out);
    out.push_str("\n\n");
}

/// Appends one line of JSON: control characters are escaped, so no text can
/// end the line.
fn json(value: &impl Serialize, out: &mut String) {
    serde_json::to_writer(Text(out), value)
        .expect("what is encoded has text keys and cannot fail to be written");
}

/// A string that takes the UTF-8 that the JSON encoder writes.
struct Text<'a>(&'a mut String);

impl io::Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.push_str(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
