//! How many connections each peer address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts open connections by address.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    most: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a peer; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// `None` when the peer has as many as it may have.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_no_more_places_than_it_may_and_gets_them_back() {
        let peers = Peers::new(2);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|it| it.parse().unwrap());
        let first = peers.enter(a).unwrap();
        let _second = peers.enter(a).unwrap();
        assert!(peers.enter(a).is_none());
        assert!(peers.enter(b).is_some());
        drop(first);
        assert!(peers.enter(a).is_some());
        assert!(!peers.open.lock().unwrap().contains_key(&b));
    }
}
