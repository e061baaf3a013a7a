//! Which refusals are worth a line in a log: whoever knocks again and again fills
//! none.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often one reason is told, and how many reasons in that time.
const TELL: (Duration, usize) = (Duration::from_secs(10), 8);

/// The reasons that were told lately.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    since: Option<Instant>,
    reasons: Vec<String>,
}

impl Reasons {
    /// Whether this reason should be told: it was not in the last 10 s, and not
    /// too many others were.
    pub fn is_news(&self, why: &str) -> bool {
        // Some have the time in them.
        let why = why.replace(|it: char| it.is_ascii_digit(), "");
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.since.is_none_or(|since| since.elapsed() >= TELL.0) {
            *told = Told { since: Some(Instant::now()), reasons: Vec::new() };
        }
        let is_news = told.reasons.len() < TELL.1 && !told.reasons.contains(&why);
        if is_news {
            told.reasons.push(why);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_told_now_and_then_and_not_all_of_many() {
        let reasons = Reasons::default();
        assert!(reasons.is_news("no certificate"));
        assert!(!reasons.is_news("no certificate"));
        assert!(reasons.is_news("expired at 1"));
        assert!(!reasons.is_news("expired at 23"));
        let others = (1..100).filter(|it| reasons.is_news(&"x".repeat(*it))).count();
        assert_eq!(others, TELL.1 - 2);
        tokio::time::advance(TELL.0).await;
        assert!(reasons.is_news("no certificate"));
    }
}
