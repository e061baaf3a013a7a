//! Log lines on standard error, filtered by `RUST_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::environment;

/// Installs the log for this process. `default` is the filter when `RUST_LOG`
/// is not set or cannot be read, which is said. A second call changes nothing.
pub fn telemetry(default: &str) {
    let (filter, wrong) = filter(environment::get("RUST_LOG").as_deref(), default);
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if let Err(error) = installed {
        tracing::debug!(%error, "the log was installed before");
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, used = default, "RUST_LOG cannot be read and is ignored");
    }
}

/// The filter to use, and what is wrong with the one asked for.
fn filter(asked: Option<&str>, default: &str) -> (EnvFilter, Option<ParseError>) {
    match asked.map(EnvFilter::try_new).transpose() {
        Ok(filter) => (filter.unwrap_or_else(|| EnvFilter::new(default)), None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_told_and_replaced() {
        for (asked, used, told) in [
            (None, "info", false),
            (Some("warn,broker=trace"), "broker=trace,warn", false),
            (Some("broker=loud"), "info", true),
        ] {
            let (filter, wrong) = filter(asked, "info");
            assert_eq!((filter.to_string().as_str(), wrong.is_some()), (used, told));
        }
    }
}
