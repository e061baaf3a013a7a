//! Reading on a thread that may panic, or be left behind: it costs only its file.
//!
//! Refuses to begin another while too many are left behind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The reader's stack, in bytes: what is nested may be read by recursion.
const STACK: usize = 8 * 1024 * 1024;

/// The most readers that are left behind at a time.
pub(super) const MAX_BEHIND: usize = 2;

/// What became of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Reads,
    LeftBehind,
    Ended,
}

/// A reader, and the count of those that were left behind.
#[derive(Debug, Clone)]
struct Reader {
    behind: &'static AtomicUsize,
    fate: Arc<Mutex<Fate>>,
}

impl Reader {
    fn leave(&self) {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if *fate == Fate::Reads {
            *fate = Fate::LeftBehind;
            self.behind.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn end(&self) {
        let mut fate = self.fate.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *fate, Fate::Ended) == Fate::LeftBehind {
            self.behind.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Ends a reader however its thread ends.
struct Ends(Reader);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Does something on a thread of its own, for so long; `behind` counts those
/// that took longer and have not ended yet.
pub(super) fn apart<T: Send + 'static>(
    behind: &'static AtomicUsize,
    time: Duration,
    read: impl FnOnce(Instant) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    if behind.load(Ordering::Acquire) >= MAX_BEHIND {
        return Err(format!("not read: {MAX_BEHIND} others still take too long"));
    }
    let until = Instant::now() + time;
    let (sender, receiver) = sync_channel(1);
    let reader = Reader { behind, fate: Arc::new(Mutex::new(Fate::Reads)) };
    let ends = Ends(reader.clone());
    let thread = std::thread::Builder::new().name("pdf".to_owned()).stack_size(STACK);
    let spawned = thread.spawn(move || {
        let ends = ends;
        let read = read(until);
        // It has ended when its result is there.
        drop(ends);
        // Nobody listens any more to a reader that was left behind.
        drop(sender.send(read));
    });
    spawned.map_err(|error| format!("no thread to read it on: {error}"))?;
    receiver.recv_timeout(time).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => {
                reader.leave();
                too_long(time)
            }
            RecvTimeoutError::Disconnected => "not a PDF that can be read".to_owned(),
        })
    })
}

pub(super) fn too_long(time: Duration) -> String {
    format!("takes longer than {} s to read", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_breaks_or_hangs_costs_only_its_file() {
        static BEHIND: AtomicUsize = AtomicUsize::new(0);
        let broken = apart(&BEHIND, Duration::from_secs(20), |_| -> Result<(), String> {
            assert!(std::hint::black_box(false), "on purpose");
            Ok(())
        });
        assert_eq!(broken.unwrap_err(), "not a PDF that can be read");
        assert_eq!(BEHIND.load(Ordering::Acquire), 0);
        let (stop, stopped) = sync_channel::<()>(1);
        let soon = Duration::from_millis(20);
        let hung = apart(&BEHIND, soon, move |_| stopped.recv().map_err(|it| it.to_string()));
        assert!(hung.unwrap_err().starts_with("takes longer"));
        drop(stop);
    }

    #[test]
    fn no_more_begin_while_too_many_are_left_behind() {
        static BEHIND: AtomicUsize = AtomicUsize::new(0);
        let soon = Duration::from_millis(20);
        let mut stops = Vec::new();
        for _ in 0..MAX_BEHIND {
            let (stop, stopped) = sync_channel::<()>(1);
            stops.push(stop);
            let hung = apart(&BEHIND, soon, move |_| stopped.recv().map_err(|it| it.to_string()));
            assert!(hung.unwrap_err().starts_with("takes longer"));
        }
        let long = Duration::from_secs(20);
        let refused = apart(&BEHIND, long, |_| Ok(())).unwrap_err();
        assert!(refused.contains("2 others"), "{refused}");
        drop(stops);
        while BEHIND.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        apart(&BEHIND, long, |_| Ok(())).unwrap();
    }
}
