//! Notices that folders have changed: told by the system where it can, and by
//! looking now and then everywhere.
//!
//! Waits until a burst of changes is over. What goes wrong is said, and the index
//! stays as it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use process::Lifecycle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::library::{Library, Looked};
use crate::shelf::SETTLES;

/// A burst of changes is over when nothing has changed for this long, and is
/// looked at after that time even if it goes on.
const QUIET: Duration = Duration::from_millis(200);
const BURST: Duration = Duration::from_secs(2);

/// How often folders are looked at when the system tells, and when it does not.
const SELDOM: Duration = Duration::from_secs(30);
const OFTEN: Duration = Duration::from_secs(2);

/// How changes are noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The system tells, where it can.
    Told,
    /// By looking.
    #[cfg(test)]
    Looking,
}

/// What the system's watcher leaves for the one who looks.
#[derive(Debug, Default)]
struct Bell {
    changed: Notify,
    /// A folder itself was moved or removed: who stands in its place must be
    /// watched anew.
    uprooted: AtomicBool,
}

/// Watches until the drain.
pub(crate) fn begin(library: Arc<Library>, life: &Lifecycle, way: Way) {
    let drained = life.clone();
    life.spawn_as("watched folders", async move {
        tokio::select! {
            biased;
            () = drained.draining() => {}
            () = keep(library, way) => {}
        }
    });
}

async fn keep(library: Arc<Library>, way: Way) {
    let bell = Arc::new(Bell::default());
    let mut ears = listen(&library, &bell, way).await;
    let mut trouble = String::new();
    let mut soon = Duration::ZERO;
    loop {
        let told = timeout(soon, bell.changed.notified()).await.is_ok();
        if told {
            hush(&bell).await;
        }
        let began = Instant::now();
        let looked = look(&library).await;
        let back = looked.is_ok() && !trouble.is_empty();
        soon = match looked {
            Ok(Looked::Unsettled) => SETTLES,
            Ok(Looked::Settled) if ears.is_some() => SELDOM,
            Ok(Looked::Settled) | Err(_) => OFTEN,
        };
        say(looked, &mut trouble);
        if (bell.uprooted.swap(false, Ordering::Relaxed) || back) && way == Way::Told {
            ears = listen(&library, &bell, way).await;
            // What changed before was not heard.
            soon = Duration::ZERO;
        }
        // Folders that change all the time cost half a core at most.
        sleep(began.elapsed()).await;
    }
}

/// Waits for the end of a burst.
async fn hush(bell: &Bell) {
    let rings = async { while timeout(QUIET, bell.changed.notified()).await.is_ok() {} };
    drop(timeout(BURST, rings).await);
}

async fn look(library: &Arc<Library>) -> Result<Looked, String> {
    let library = Arc::clone(library);
    let looked = tokio::task::spawn_blocking(move || library.look());
    let looked = looked.await.map_err(|error| error.to_string())?;
    looked.map_err(|error| error.to_string())
}

/// Says what is wrong, once.
fn say(looked: Result<Looked, String>, trouble: &mut String) {
    let now = looked.err().unwrap_or_default();
    if now != *trouble {
        if now.is_empty() {
            tracing::info!("the knowledge can be read again");
        } else {
            tracing::warn!(error = now, "the knowledge cannot be read; it stays as it was");
        }
    }
    *trouble = now;
}

/// Has the system tell of changes; `None` where it cannot.
async fn listen(library: &Library, bell: &Arc<Bell>, way: Way) -> Option<RecommendedWatcher> {
    if way != Way::Told {
        return None;
    }
    let folders = library.folders().to_owned();
    let bell = Arc::clone(bell);
    let armed = tokio::task::spawn_blocking(move || armed(&folders, bell)).await;
    let armed = armed
        .map_err(|error| error.to_string())
        .and_then(|it| it.map_err(|error| error.to_string()));
    match armed {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let seconds = OFTEN.as_secs();
            tracing::warn!(error, seconds, "no word of changes in the knowledge: looking instead");
            None
        }
    }
}

fn armed(folders: &[PathBuf], bell: Arc<Bell>) -> notify::Result<RecommendedWatcher> {
    let roots: Vec<PathBuf> = folders.iter().filter_map(|it| it.canonicalize().ok()).collect();
    let heard = roots.clone();
    // Links that lead inside lead to what is watched anyway.
    let config = notify::Config::default().with_follow_symlinks(false);
    let ring = move |event: notify::Result<Event>| {
        if event.as_ref().is_ok_and(|it| !matters(it, &heard)) {
            return;
        }
        let uprooted = event.is_ok_and(|it| is_uprooted(&it, &heard));
        bell.uprooted.fetch_or(uprooted, Ordering::Relaxed);
        bell.changed.notify_one();
    };
    let mut watcher = RecommendedWatcher::new(ring, config)?;
    for root in &roots {
        watcher.watch(root, RecursiveMode::Recursive)?;
        // Only the folder above tells that another took its place.
        if let Some(Err(error)) =
            root.parent().map(|it| watcher.watch(it, RecursiveMode::NonRecursive))
        {
            tracing::debug!(%error, "no word of the folder above");
        }
    }
    Ok(watcher)
}

/// Whether an event is about what is below the roots, and no mere reading.
fn matters(event: &Event, roots: &[PathBuf]) -> bool {
    let reads = matches!(event.kind, EventKind::Access(kind)
        if kind != AccessKind::Close(AccessMode::Write));
    let inside = |path: &Path| roots.iter().any(|root| path.starts_with(root));
    !reads && (event.paths.is_empty() || event.paths.iter().any(|it| inside(it)))
}

fn is_uprooted(event: &Event, roots: &[PathBuf]) -> bool {
    let moved = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(_));
    moved && event.paths.iter().any(|path| roots.iter().any(|root| root == path))
}

#[cfg(test)]
mod tests;
