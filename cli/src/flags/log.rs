//! How a process that serves writes its log.

use clap::Args;
use process::telemetry::Format;

/// How the log on standard error is written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Log {
    /// `text` for people, or `json`, one object a line; `RUST_LOG` says what is
    /// logged
    #[arg(
        long = "log-format",
        env = "WEIR_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) format: Format,
}
