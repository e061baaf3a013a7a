//! How many places each of many takes: connections of an address, streams of a
//! user.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts what is open, by its owner.
#[derive(Debug)]
pub(crate) struct Places<K: Eq + Hash> {
    most: usize,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

/// One place; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place<K: Eq + Hash> {
    owner: K,
    taken: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// Whether the owner has a place.
    pub(crate) fn has(&self, owner: &K) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).contains_key(owner)
    }

    /// `None` when the owner has as many as it may have.
    pub(crate) fn enter(&self, owner: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(owner.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { owner, taken: Arc::clone(&self.taken) })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn nobody_has_more_places_than_he_may_and_gets_them_back() {
        let places = Places::new(2);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse::<IpAddr>().unwrap());
        let first = places.enter(a).unwrap();
        let _second = places.enter(a).unwrap();
        assert!(places.enter(a).is_none());
        assert!(places.enter(b).is_some());
        drop(first);
        assert!(places.enter(a).is_some());
        assert!(!places.taken.lock().unwrap().contains_key(&b));
    }
}
