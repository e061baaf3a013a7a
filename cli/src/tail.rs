//! `weir tail`: a session's events, one line each, for as long as one likes.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt as _;

use crate::client::Client;
use crate::flags::Tail;
use crate::{Ended, plain};

/// The pause before a cut stream is taken up again.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(flags: Tail) -> Ended {
    let client = Client::new(&flags.peer)?;
    let mut last: Option<String> = None;
    loop {
        let mut frames =
            client.events(&flags.session, flags.after.as_deref(), last.as_deref()).await?;
        loop {
            let frame = tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => return Ok(ExitCode::from(130)),
                frame = frames.next() => frame,
            };
            let Some(Ok(frame)) = frame else { break };
            let mut out = std::io::stdout().lock();
            let id = frame.id.as_deref().unwrap_or("-");
            let line = format!("{id} {} {}", frame.kind, frame.data);
            let line = if out.is_terminal() { plain::line(&line) } else { line };
            writeln!(out, "{line}")?;
            out.flush()?;
            last = frame.id.or(last);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
