//! The one reader of wall time. Nothing decides by it: deadlines use the
//! monotonic `tokio::time::Instant`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the Unix epoch; zero for a clock set before it.
pub fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this file owns wall time")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
