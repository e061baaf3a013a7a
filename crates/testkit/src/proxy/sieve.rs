//! Loses some of the messages that a nats-server sends to a client, whole, and
//! nothing else. Pure.
//!
//! Knows the client protocol as far as to tell messages apart; what it does not
//! know it passes on, line by line.

use std::fmt;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};

/// Whether a message of this subject with this payload passes.
type Keep = dyn Fn(&str, &[u8]) -> bool + Send + Sync;

/// Decides on messages; clones share the decision.
#[derive(Clone)]
pub(super) struct Sieve(Arc<Keep>);

/// One connection's bytes from the server, as far as they are undecided.
#[derive(Debug)]
pub(super) struct Sifting {
    sieve: Sieve,
    buffer: BytesMut,
}

/// A message as its control line announces it.
#[derive(Debug, PartialEq, Eq)]
struct Announced<'a> {
    subject: &'a str,
    /// Bytes of its headers, and of headers and payload.
    headers: usize,
    total: usize,
}

impl fmt::Debug for Sieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sieve").finish_non_exhaustive()
    }
}

impl Sieve {
    pub(super) fn new(keep: impl Fn(&str, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(keep))
    }

    pub(super) fn sifting(self) -> Sifting {
        Sifting { sieve: self, buffer: BytesMut::new() }
    }
}

impl Sifting {
    /// Takes bytes as they came, and gives those that pass so far.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.buffer.extend_from_slice(bytes);
        let mut passed = Vec::new();
        while let Some(end) = self.buffer.windows(2).position(|it| it == b"\r\n") {
            let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let head = end + 2;
            let Some(message) = announced(&line) else {
                passed.extend_from_slice(&self.buffer[..head]);
                self.buffer.advance(head);
                continue;
            };
            let whole = head + message.total + 2;
            if self.buffer.len() < whole {
                break;
            }
            let payload = &self.buffer[head + message.headers..head + message.total];
            if (self.sieve.0)(message.subject, payload) {
                passed.extend_from_slice(&self.buffer[..whole]);
            }
            self.buffer.advance(whole);
        }
        passed
    }
}

/// `MSG subject sid [reply] total` or `HMSG subject sid [reply] headers total`.
fn announced(line: &str) -> Option<Announced<'_>> {
    let mut words = line.split_ascii_whitespace();
    let has_headers = match words.next()? {
        "MSG" => false,
        "HMSG" => true,
        _ => return None,
    };
    let subject = words.next()?;
    let total = words.next_back()?.parse().ok()?;
    let headers = if has_headers { words.next_back()?.parse().ok()? } else { 0 };
    (headers <= total).then_some(Announced { subject, headers, total })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: &[u8] = b"INFO {\"max_payload\":1}\r\nPING\r\n\
        MSG live.u.s 3 5\r\nfirst\r\n\
        HMSG live.u.s 3 12 18\r\nNATS/1.0\r\n\r\nsecond\r\n\
        MSG _INBOX.a 4 reply.to 0\r\n\r\n+OK\r\n";

    fn sifted(chunk: usize, keep: fn(&str, &[u8]) -> bool) -> Vec<u8> {
        let mut sifting = Sieve::new(keep).sifting();
        TALK.chunks(chunk).flat_map(|it| sifting.pass(it)).collect()
    }

    #[test]
    fn what_is_kept_passes_byte_by_byte_however_it_comes() {
        for chunk in [1, 2, 7, 1000] {
            assert_eq!(sifted(chunk, |_, _| true), TALK, "in pieces of {chunk}");
        }
    }

    #[test]
    fn a_message_is_lost_whole_by_its_subject_or_payload() {
        for chunk in [1, 3, 1000] {
            let others = sifted(chunk, |subject, _| !subject.starts_with("live."));
            let text = String::from_utf8(others).unwrap();
            assert_eq!(
                text,
                "INFO {\"max_payload\":1}\r\nPING\r\nMSG _INBOX.a 4 reply.to 0\r\n\r\n+OK\r\n"
            );
            let first = String::from_utf8(sifted(chunk, |_, it| it != b"second")).unwrap();
            assert!(first.contains("first") && !first.contains("HMSG"), "{first}");
        }
    }

    #[test]
    fn a_control_line_that_is_no_message_announces_none() {
        for line in ["", "PING", "MSG", "MSG a 1 x", "HMSG a 1 9 5", "-ERR 'x'"] {
            assert_eq!(announced(line), None, "{line}");
        }
    }
}
