//! Notices an HTTP/1 request that states its body's length in two ways, which
//! proxies may read differently. The HTTP library drops one of the two before
//! a handler could see both.
//!
//! Looks at lines alone: between two empty lines there may be one
//! `content-length` or one `transfer-encoding`. No JSON body has such a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LENGTH: &[u8] = b"content-length:";
const ENCODING: &[u8] = b"transfer-encoding:";

/// Reads along with a connection.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    /// Bytes of the line so far; counts no further than a name is long.
    column: usize,
    is_length: bool,
    is_encoding: bool,
    /// Statements of length since the last empty line.
    statements: u32,
    verdict: Verdict,
}

/// What was found; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict(Arc<State>);

#[derive(Debug, Default)]
struct State {
    ambiguous: AtomicBool,
    over: AtomicBool,
}

impl Verdict {
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.0.ambiguous.load(Ordering::Relaxed)
    }

    /// From here on the connection is another protocol's.
    pub(crate) fn over(&self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

impl Framing {
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        if self.verdict.0.over.load(Ordering::Relaxed) {
            return;
        }
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _other => self.column(byte.to_ascii_lowercase()),
            }
        }
    }

    fn column(&mut self, byte: u8) {
        let at = self.column;
        let fits = |name: &[u8], so_far: bool| (so_far || at == 0) && name.get(at) == Some(&byte);
        let complete = |name: &[u8]| at + 1 == name.len();
        self.is_length = fits(LENGTH, self.is_length);
        self.is_encoding = fits(ENCODING, self.is_encoding);
        if (self.is_length && complete(LENGTH)) || (self.is_encoding && complete(ENCODING)) {
            self.statements += 1;
            if self.statements > 1 {
                self.verdict.0.ambiguous.store(true, Ordering::Relaxed);
            }
        }
        self.column = at.saturating_add(1);
    }

    fn end_line(&mut self) {
        if self.column == 0 {
            self.statements = 0;
        }
        self.column = 0;
        self.is_length = false;
        self.is_encoding = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_an_upgrade_is_not_read() {
        let mut framing = Framing::default();
        framing.verdict().over();
        framing.read(b"content-length: 1\r\ncontent-length: 2\r\n");
        assert!(!framing.verdict().is_ambiguous());
    }

    #[test]
    fn two_statements_of_length_in_one_head_are_noticed() {
        let length = "Content-Length: 4\r\n";
        let encoding = "transfer-encoding: chunked\r\n";
        let head = "POST / HTTP/1.1\r\nHost: a\r\n";
        for (request, expected) in [
            (format!("{head}{length}\r\nbody"), false),
            (format!("{head}{encoding}\r\n"), false),
            (format!("{head}{length}{encoding}\r\n"), true),
            (format!("{head}{encoding}{length}\r\n"), true),
            (format!("{head}{length}{length}\r\n"), true),
            (format!("{head}{length}\r\nbody{head}{encoding}\r\n"), false),
            (format!("{head}X-Content-Length: 4\r\n{encoding}\r\n"), false),
        ] {
            let mut whole = Framing::default();
            whole.read(request.as_bytes());
            assert_eq!(whole.verdict().is_ambiguous(), expected, "{request}");
            let mut parts = Framing::default();
            for byte in request.as_bytes() {
                parts.read(&[*byte]);
            }
            assert_eq!(parts.verdict().is_ambiguous(), expected, "{request}");
        }
    }
}
