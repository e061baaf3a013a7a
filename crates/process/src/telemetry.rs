//! Log lines on standard error, filtered by `RUST_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::environment;

/// Installs the log for this process. `default` is the filter when `RUST_LOG`
/// is not set. A second call changes nothing.
pub fn telemetry(default: &str) {
    let filter = environment::get("RUST_LOG")
        .and_then(|it| EnvFilter::try_new(it).ok())
        .unwrap_or_else(|| EnvFilter::new(default));
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = installed {
        tracing::debug!(%error, "the log was installed before");
    }
}
