//! Questions of people that are answered by a script, for those who look at the
//! page: a question that is a script reads like one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Script;

/// What each question means.
#[derive(Debug, Default)]
pub(super) struct Lessons(Mutex<HashMap<String, Script>>);

impl Lessons {
    /// From now on, this question means this script.
    pub(super) fn learn(&self, question: &str, script: Script) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(question.to_owned(), script);
    }

    /// What a question means, if it was learnt.
    pub(super) fn meaning(&self, question: &str) -> Option<Script> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(question).cloned()
    }
}
