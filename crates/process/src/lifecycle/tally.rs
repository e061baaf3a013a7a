//! How many tasks of which kind are there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tasks by what they are called. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    services: BTreeMap<&'static str, usize>,
    kinds: BTreeMap<&'static str, usize>,
}

/// One task, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    tally: Tally,
    name: &'static str,
    service: bool,
}

impl Tally {
    /// Counts a service by its name.
    pub(super) fn service(&self, name: &'static str) -> Counted {
        self.count(name, true)
    }

    /// Counts a task by its kind.
    pub(super) fn task(&self, kind: &'static str) -> Counted {
        self.count(kind, false)
    }

    fn count(&self, name: &'static str, service: bool) -> Counted {
        *self.counts().of(service).entry(name).or_default() += 1;
        Counted { tally: self.clone(), name, service }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn of(&mut self, service: bool) -> &mut BTreeMap<&'static str, usize> {
        if service { &mut self.services } else { &mut self.kinds }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        let counts = counts.of(self.service);
        if let Some(count) = counts.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(self.name);
            }
        }
    }
}

/// `edge, 2 turns`; nothing when there is none.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        let services = counts.services.keys().map(|it| (*it).to_owned());
        let kinds = counts.kinds.iter().map(|(kind, count)| format!("{count} {kind}"));
        f.write_str(&services.chain(kinds).collect::<Vec<_>>().join(", "))
    }
}
