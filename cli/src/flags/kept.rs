//! How much is kept, and for how long.

use std::time::Duration;

use broker::Limits;
use clap::Args;
use process::amount::Time;

/// What a session may have waiting, and how long its log is kept. All parts that
/// share a broker should say the same.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Kept {
    /// Unfinished turns that a session may have, the running one included
    #[arg(long, env = "WEIR_QUEUE_DEPTH", value_name = "N", default_value_t = 8,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    queue_depth: u32,
    /// How long what was said can be read again, as 24h or 7d: 10m to 365d
    #[arg(long, env = "WEIR_RETENTION", value_name = "TIME", default_value = "24h",
          value_parser = retention)]
    retention: Duration,
}

impl Kept {
    pub(crate) fn limits(self) -> Limits {
        let Self { queue_depth, retention } = self;
        Limits { queue_depth, retention, ..Limits::default() }
    }
}

fn retention(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_mins(10)..=Duration::from_hours(365 * 24);
    let time = text.parse().map(|Time(it)| it).ok().filter(|it| bounds.contains(it));
    time.ok_or_else(|| "must be 10m to 365d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_time_within_its_bounds() {
        assert_eq!(retention("7d"), Ok(Duration::from_hours(7 * 24)));
        for bad in ["", "24", "9m", "366d", "-1h"] {
            assert!(retention(bad).is_err(), "{bad}");
        }
    }
}
