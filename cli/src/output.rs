//! Where a client writes: what was asked for to standard output, everything else
//! to standard error. A reader that has enough and closes the pipe is no fault;
//! it ends the command without a word.

use std::io::{ErrorKind, Write as _};

use serde::Serialize;

use crate::plain;
use crate::terminal::{Paint, Style};

/// Why standard output takes no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its reader has closed it.
    #[error("nobody reads standard output")]
    Closed,
    /// It cannot be written to, such as a file on a full disk.
    #[error("standard output: {0}")]
    Failed(std::io::Error),
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::Closed } else { Self::Failed(error) }
    }
}

/// Writes a text to standard output, at once.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Error> {
    print(&format!("{text}\n"))
}

/// Writes a value to standard output, as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    line(&serde_json::to_string(value).map_err(std::io::Error::from)?)
}

/// Writes to standard error. What nobody reads there is lost, and nothing else.
pub(crate) fn say(text: &str) {
    let _unread = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a line to standard error.
pub(crate) fn note(text: &str) {
    say(&format!("{text}\n"));
}

/// Says on standard error what happens beside what was asked for, in brackets
/// and set off where that is possible.
pub(crate) fn aside(text: &str) {
    let style = Style::of(&std::io::stderr());
    note(&style.paint(Paint::Dim, &format!("[{}]", plain::line(text))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_pipe_is_no_fault() {
        let of = |kind: ErrorKind| Error::from(std::io::Error::from(kind));
        assert!(matches!(of(ErrorKind::BrokenPipe), Error::Closed));
        assert!(matches!(of(ErrorKind::StorageFull), Error::Failed(_)));
    }
}
