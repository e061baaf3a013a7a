//! Who issues tokens: the keys of now, and how newer ones come.
//!
//! A set at a URL is fetched at the start, every ten minutes, and when a token
//! names a key that it lacks, but not more often than once a minute, whoever
//! asks how often. When a fetch fails, or a file breaks, the keys stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::changes::Stamp;
use super::jwt::{Claims, KeySet, Verdict};
use super::remote::Remote;
use super::{Bad, Jwt, Source};

/// How often a set at a URL is fetched.
const REFRESH: Duration = Duration::from_mins(10);
/// How long a token of a new key waits for the fetch that may bring it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest file, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Judges tokens by the keys of now.
#[derive(Debug)]
pub(super) struct Issuer {
    wanted: Jwt,
    place: Place,
    keys: RwLock<Arc<KeySet>>,
    seen: Mutex<Stamp>,
    /// Somebody needs newer keys.
    asked: Notify,
    /// When keys were last fetched.
    fetched: watch::Sender<Instant>,
}

#[derive(Debug)]
enum Place {
    Secret(PathBuf),
    File(PathBuf),
    Remote(Remote),
}

impl Place {
    fn of(source: &Source) -> Result<Self, String> {
        Ok(match source {
            Source::Secret(path) => Self::Secret(path.clone()),
            Source::Jwks(place) if place.contains("://") => Self::Remote(Remote::at(place)?),
            Source::Jwks(place) => Self::File(PathBuf::from(place)),
        })
    }

    async fn keys(&self) -> Result<KeySet, String> {
        match self {
            Self::Secret(path) | Self::File(path) => self.parse(&read(path)?),
            Self::Remote(remote) => self.parse(&remote.fetch().await?),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<KeySet, String> {
        match self {
            Self::Secret(_) => KeySet::secret(text),
            Self::File(_) | Self::Remote(_) => KeySet::parse(text),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Secret(path) | Self::File(path) => Some(path),
            Self::Remote(_) => None,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        return Err(format!("must be a file of {MAX_BYTES} bytes at most"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

impl Issuer {
    pub(super) async fn open(wanted: Jwt) -> Result<Self, String> {
        let wrong = |said: String| format!("{}: {said}", wanted.keys);
        let place = Place::of(&wanted.keys).map_err(wrong)?;
        let seen = Mutex::new(place.path().map_or(Stamp::none(), Stamp::of));
        let keys = place.keys().await.map_err(wrong)?;
        tracing::info!(source = %wanted.keys, keys = keys.len(), "keys of tokens are in use");
        let keys = RwLock::new(Arc::new(keys));
        let fetched = watch::Sender::new(Instant::now());
        Ok(Self { wanted, place, keys, seen, asked: Notify::new(), fetched })
    }

    /// What a token says, if it is good.
    pub(super) async fn judge(&self, token: &str) -> Result<Claims, Bad> {
        let mut verdict = self.keys().judge(token, &self.wanted);
        if verdict == Verdict::UnknownKey {
            self.newer().await;
            verdict = self.keys().judge(token, &self.wanted);
        }
        match verdict {
            Verdict::Good(claims) => Ok(claims),
            Verdict::Bad(bad) => Err(bad),
            Verdict::UnknownKey => Err(Bad::Invalid("its key is not known")),
        }
    }

    fn keys(&self) -> Arc<KeySet> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the next fetch, if one is due and may come soon.
    async fn newer(&self) {
        let mut fetched = self.fetched.subscribe();
        let rested = fetched.borrow_and_update().elapsed() >= self.wanted.pause;
        if !rested || !matches!(self.place, Place::Remote(_)) {
            return;
        }
        self.asked.notify_one();
        let _or_judged_by_what_is_there = timeout(PATIENCE, fetched.changed()).await;
    }

    /// Looks whether the file has changed; reads it then. Blocks.
    pub(super) fn look(&self) {
        let Some(path) = self.place.path() else { return };
        let stamp = Stamp::of(path);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == stamp {
                return;
            }
            *seen = stamp;
        }
        self.renew(read(path).and_then(|text| self.place.parse(&text)));
    }

    /// Fetches, for ever; for sets at a URL only.
    pub(super) async fn refresh(&self) {
        let Place::Remote(_) = &self.place else { return };
        loop {
            let last = *self.fetched.borrow();
            tokio::select! {
                () = sleep_until(last + REFRESH) => {}
                () = self.asked.notified() => {}
            }
            sleep_until(last + self.wanted.pause).await;
            self.renew(self.place.keys().await);
            // Those who asked meanwhile have what they asked for.
            let _asked = self.asked.notified().now_or_never();
            self.fetched.send_replace(Instant::now());
        }
    }

    fn renew(&self, keys: Result<KeySet, String>) {
        let source = &self.wanted.keys;
        match keys {
            Ok(keys) => {
                tracing::info!(%source, keys = keys.len(), "keys of tokens were read again");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            }
            Err(error) => tracing::error!(%source, error, "keys of tokens stay as they were"),
        }
    }
}
