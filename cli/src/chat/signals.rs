//! Signals that end a conversation from outside, or continue it: the terminal is
//! left as it was found, and taken up again as it was.

use super::echo::Modes;

/// Waits for one that ends the conversation; its exit code. `before` is how the
/// terminal was found.
#[cfg(unix)]
pub(super) async fn end(before: &Modes) -> std::io::Result<u8> {
    use tokio::signal::unix::{SignalKind, signal};

    let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
    let (mut term, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut continued = signal(continued)?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(143),
            _ = hangup.recv() => return Ok(129),
            _ = continued.recv() => before.again(),
        }
    }
}

/// Waits for ever.
#[cfg(not(unix))]
pub(super) async fn end(_: &Modes) -> std::io::Result<u8> {
    std::future::pending().await
}
