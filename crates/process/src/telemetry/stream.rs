//! Where log lines go: standard error, and beside what somebody draws there,
//! never into it. Colours only on a terminal that nobody asked to stay plain.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, PoisonError, RwLock};

use crate::environment;

/// Takes what is drawn on standard error away, calls, and draws it again.
pub type Aside = Arc<dyn Fn(&mut dyn FnMut()) + Send + Sync>;

/// What is drawn there at this moment.
static DRAWN: RwLock<Option<Aside>> = RwLock::new(None);

/// Has every log line written with the help of this, which takes a drawing out of
/// its way; `None` once nothing is drawn any more. It must not log itself.
pub fn put_aside(aside: Option<Aside>) {
    *DRAWN.write().unwrap_or_else(PoisonError::into_inner) = aside;
}

/// Whether log lines may have colours: on a terminal, unless `NO_COLOR` is set
/// or `TERM` is `dumb`.
pub(super) fn is_coloured() -> bool {
    let colourless = environment::get("NO_COLOR").is_some();
    decide(io::stderr().is_terminal(), colourless, environment::get("TERM").as_deref())
}

fn decide(terminal: bool, colourless: bool, kind: Option<&str>) -> bool {
    terminal && !colourless && kind != Some("dumb")
}

/// Writes whole lines to standard error.
#[derive(Debug, Default)]
pub(super) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let drawn = DRAWN.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(aside) = drawn else { return io::stderr().write(bytes) };
        let mut written = Ok(0);
        aside(&mut || written = io::stderr().write_all(bytes).map(|()| bytes.len()));
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn only_a_terminal_that_nobody_asked_to_stay_plain_has_colours() {
        for (terminal, colourless, kind, expected) in [
            (true, false, Some("xterm"), true),
            (true, false, None, true),
            (true, true, Some("xterm"), false),
            (true, false, Some("dumb"), false),
            (false, false, Some("xterm"), false),
        ] {
            assert_eq!(decide(terminal, colourless, kind), expected, "{terminal} {kind:?}");
        }
    }

    #[test]
    fn a_line_is_written_while_what_is_drawn_is_out_of_its_way() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        put_aside(Some(Arc::new(move |write| {
            counted.fetch_add(1, Ordering::Relaxed);
            write();
        })));
        assert_eq!(Lines.write(b"a line beside a drawing\n").unwrap(), 24);
        put_aside(None);
        assert_eq!(Lines.write(b"a line alone\n").unwrap(), 13);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
