//! What the system lets the process hold.

use super::finding::Finding;

const CHECK: &str = "open files";
/// Every stream is a file; below this, one busy page is too much.
const LEAST: u64 = 256;
/// Below this, a gateway refuses what it has room for otherwise.
const USUAL: u64 = 4096;

pub(super) fn look() -> Vec<Finding> {
    vec![judge(process::file_limit())]
}

/// A process that serves raises the soft limit to the hard one itself.
fn judge(limit: Option<(u64, u64)>) -> Finding {
    let advice = "raise it: `ulimit -Hn`, LimitNOFILE= of systemd, --ulimit of a container";
    match limit {
        None => Finding::off(CHECK, "the system does not say how many there may be"),
        Some((_, hard)) if hard < LEAST => {
            Finding::fail(CHECK, format!("at most {hard}: each stream is one"), advice)
        }
        Some((_, hard)) if hard < USUAL => {
            Finding::warn(CHECK, format!("at most {hard}: each stream is one"), advice)
        }
        Some((_, u64::MAX)) => Finding::ok(CHECK, "as many as are wanted"),
        Some((_, hard)) => Finding::ok(CHECK, format!("at most {hard}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn what_can_be_raised_counts() {
        for (limit, outcome) in [
            (None, Outcome::Off),
            (Some((64, 128)), Outcome::Fail),
            (Some((64, 1024)), Outcome::Warn),
            (Some((64, 4096)), Outcome::Ok),
            (Some((1024, u64::MAX)), Outcome::Ok),
        ] {
            assert_eq!(judge(limit).outcome, outcome, "{limit:?}");
        }
    }
}
