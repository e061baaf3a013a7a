//! What the server said this connection may not do. It says so beside the
//! questions, and a question that was denied is only met with silence: this is
//! how the silence gets its reason, and how it ends at once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// How many denials are remembered.
const MOST: usize = 16;

/// The last denials.
#[derive(Debug, Default)]
pub(super) struct Denied {
    denials: Mutex<VecDeque<Denial>>,
    /// How many there ever were.
    many: watch::Sender<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Denial {
    /// Which one, counted from 1.
    number: u64,
    subscription: bool,
    subject: String,
}

impl Denied {
    /// Notes an error of the server, if it is a denial.
    pub(super) fn note(&self, error: &str) {
        let Some((subscription, subject)) = denial(error) else { return };
        let number = *self.many.borrow() + 1;
        {
            let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
            denials.retain(|it| (it.subscription, it.subject.as_str()) != (subscription, subject));
            if denials.len() == MOST {
                denials.pop_front();
            }
            denials.push_back(Denial { number, subscription, subject: subject.to_owned() });
        }
        self.many.send_replace(number);
    }

    /// How many denials there were so far.
    pub(super) fn count(&self) -> u64 {
        *self.many.borrow()
    }

    /// Waits for one behind the first `since` that leaves a question without
    /// answer, and says it.
    pub(super) async fn heard(&self, since: u64, subject: &str, inbox: &str) -> String {
        let mut many = self.many.subscribe();
        loop {
            many.borrow_and_update();
            if let Some(why) = self.reason(since, subject, inbox) {
                return why;
            }
            // Never closed: this is its sender.
            many.changed().await.ok();
        }
    }

    /// Why a question to this subject whose answer goes to such an inbox has
    /// none, if it was said behind the first `since` denials.
    pub(super) fn reason(&self, since: u64, subject: &str, inbox: &str) -> Option<String> {
        let denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let found = denials.iter().rev().find(|it| {
            let mine = match it.subject.split_once('.') {
                Some((root, _)) if it.subscription => root == inbox,
                Some(_) | None => !it.subscription && it.subject == subject,
            };
            mine && it.number > since
        })?;
        let what = if found.subscription { "listen to" } else { "publish to" };
        Some(format!("the server does not let this user {what} {:?}", found.subject))
    }
}

/// `Permissions Violation for Publish to "x"`, or `for Subscription to "x"`,
/// perhaps with more behind it.
fn denial(error: &str) -> Option<(bool, &str)> {
    let (_, rest) = error.split_once("ermissions Violation for ")?;
    let (kind, rest) = rest.split_once(" to \"")?;
    let (subject, _) = rest.split_once('"')?;
    match kind {
        "Publish" => Some((false, subject)),
        "Subscription" => Some((true, subject)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_question_is_told_from_others() {
        let denied = Denied::default();
        denied.note(r#"Permissions Violation for Publish to "jobs.a.b""#);
        denied.note("maximum connections exceeded");
        assert_eq!(
            denied.reason(0, "jobs.a.b", "_INBOX").unwrap(),
            r#"the server does not let this user publish to "jobs.a.b""#
        );
        assert_eq!(denied.reason(0, "jobs.a.c", "_INBOX"), None);
        assert_eq!(denied.reason(denied.count(), "jobs.a.b", "_INBOX"), None);
        denied.note(r#"Permissions Violation for Subscription to "_INBOX.x.*" using queue "q""#);
        assert!(denied.reason(0, "jobs.a.c", "_INBOX").unwrap().contains("listen to"));
        assert_eq!(denied.reason(0, "jobs.a.c", "_INBOX_worker"), None);
    }

    #[test]
    fn only_the_last_denials_are_remembered() {
        let denied = Denied::default();
        for at in 0..100 {
            denied.note(&format!("Permissions Violation for Publish to \"a.{at}\""));
        }
        assert_eq!(denied.reason(0, "a.83", "_INBOX"), None);
        assert!(denied.reason(0, "a.84", "_INBOX").is_some());
    }

    #[tokio::test]
    async fn whoever_waits_hears_of_its_own_denial_only() {
        let denied = Denied::default();
        denied.note(r#"Permissions Violation for Publish to "a""#);
        let since = denied.count();
        let heard = async {
            tokio::join!(denied.heard(since, "a", "_INBOX"), async {
                denied.note(r#"Permissions Violation for Publish to "b""#);
                tokio::task::yield_now().await;
                denied.note(r#"Permissions Violation for Publish to "a""#);
            })
        };
        assert!(heard.await.0.ends_with(r#"publish to "a""#));
    }
}
