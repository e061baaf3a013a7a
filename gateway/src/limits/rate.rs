//! A rate for each of many, as token buckets, and how a refusal tells of it.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::{Code, Refusal};

/// After so many takes those who have all their tokens back are forgotten, so
/// that names which come once cost memory for a while only.
const SWEEP: u32 = 4096;

/// What one of many may take, and how fast it comes back.
#[derive(Debug)]
pub(crate) struct Rate<K: Hash + Eq + Clone> {
    name: &'static str,
    quota: Quota,
    limiter: RateLimiter<K, HashMapStateStore<K>, DefaultClock>,
    takes: AtomicU32,
}

/// Somebody has taken all there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted {
    /// What the limit is called.
    pub(crate) name: &'static str,
    /// How many may be taken in `window`.
    pub(crate) quota: u32,
    pub(crate) window: Duration,
    /// When there is one again.
    pub(crate) wait: Duration,
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// So many a second, and so many at once.
    pub(crate) fn per_second(name: &'static str, each: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::new(name, Quota::per_second(each).allow_burst(burst))
    }

    /// So many a minute, and as many at once.
    pub(crate) fn per_minute(name: &'static str, each: NonZeroU32) -> Self {
        Self::new(name, Quota::per_minute(each))
    }

    fn new(name: &'static str, quota: Quota) -> Self {
        let limiter =
            RateLimiter::new(quota, HashMapStateStore::default(), DefaultClock::default());
        Self { name, quota, limiter, takes: AtomicU32::new(0) }
    }

    /// Takes one.
    pub(crate) fn take(&self, of: &K) -> Result<(), Exhausted> {
        if self.takes.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP) {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(of).map_err(|not_yet| Exhausted {
            name: self.name,
            quota: self.quota.burst_size().get(),
            window: self.quota.burst_size_replenished_in(),
            wait: not_yet.wait_time_from(DefaultClock::default().now()),
        })
    }
}

impl Exhausted {
    /// The refusal that says when to come back.
    pub(crate) fn refuse(self, why: &str) -> Refusal {
        Refusal::new(Code::TooManyRequests, format!("{why}; see Retry-After")).exhausted(self)
    }

    /// `RateLimit-Policy`, as draft-ietf-httpapi-ratelimit-headers-10 has it.
    pub(crate) fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.quota, seconds(self.window))
    }

    /// `RateLimit`, as the same draft has it.
    pub(crate) fn limit(&self) -> String {
        format!("\"{}\";r=0;t={}", self.name, seconds(self.wait))
    }

    /// `Retry-After`, in whole seconds.
    pub(crate) fn retry_after(&self) -> u64 {
        seconds(self.wait)
    }
}

/// Rounded up: who comes back too early is refused again.
fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_tokens_and_is_told_when_more_come() {
        let [each, burst] = [1, 3].map(|it| NonZeroU32::new(it).unwrap());
        let rate = Rate::per_second("user", each, burst);
        for _ in 0..3 {
            assert_eq!(rate.take(&"a"), Ok(()));
        }
        let exhausted = rate.take(&"a").unwrap_err();
        assert_eq!(rate.take(&"b"), Ok(()));
        assert_eq!(exhausted.policy(), "\"user\";q=3;w=3");
        assert_eq!(exhausted.limit(), "\"user\";r=0;t=1");
        assert_eq!(exhausted.retry_after(), 1);
    }

    #[test]
    fn names_that_come_once_are_forgotten() {
        let each = NonZeroU32::new(1_000_000).unwrap();
        let rate = Rate::per_second("user", each, NonZeroU32::MIN);
        for name in 0..SWEEP * 4 {
            assert_eq!(rate.take(&name), Ok(()));
        }
        assert!(rate.limiter.len() < 2 * SWEEP as usize, "{}", rate.limiter.len());
    }

    #[test]
    fn times_are_rounded_up_to_a_second_at_least() {
        for (milliseconds, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
        }
    }
}
