//! `weir tail`: a session's events, one line each, for as long as one likes.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt as _;

use crate::Ended;
use crate::client::Client;
use crate::flags::Tail;

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
            writeln!(out, "{} {} {}", frame.id, frame.kind, frame.data)?;
            out.flush()?;
            last = Some(frame.id);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
